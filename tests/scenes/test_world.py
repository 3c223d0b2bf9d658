"""Scenes: seeded, distinct, of known content, and never one that a built-in model was trained on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

from chatir.datasets.scenes.world import BACKGROUNDS, COLORS, PLACES, SHAPES, SIZES, Scene, Thing, scenes

SOME = list(islice(scenes(0), 3000))


def test_the_same_seed_gives_the_same_scenes_down_to_where_things_stand() -> None:
    again = list(islice(scenes(0), 100))
    assert again == SOME[:100]
    assert [thing.shift for scene in again for thing in scene.things] == [
        thing.shift for scene in SOME[:100] for thing in scene.things
    ]
    assert list(islice(scenes(1), 100)) != again


def test_scenes_of_one_stream_are_distinct_by_content() -> None:
    assert len({scene.content for scene in SOME}) == len(SOME) == len(set(SOME))


def test_where_in_its_cell_a_thing_stands_is_no_content() -> None:
    scene = SOME[0]
    moved = replace(scene, things=tuple(replace(thing, shift=(4, -4)) for thing in scene.things))
    assert moved == scene
    assert moved.content == scene.content
    assert moved.held_out == scene.held_out


def test_what_is_held_out_and_what_is_trained_on_never_meet() -> None:
    """Single things are few: two free streams of this length would share hundreds of them."""
    trained = {scene.content for scene in islice(scenes("one", held_out=False, distinct=False), 20_000)}
    assert not trained & {scene.content for scene in islice(scenes("two"), 20_000)}
    assert len(trained & {scene.content for scene in islice(scenes("two", held_out=False), 20_000)}) > 100


def test_a_stream_that_need_not_be_distinct_keeps_its_share_of_single_things() -> None:
    late = list(islice(scenes("any", distinct=False), 20_000))[-5000:]
    assert 0.06 < sum(len(scene.things) == 1 for scene in late) / len(late) < 0.11


def test_which_contents_are_held_out_never_changes() -> None:
    held_out = Scene("white", (Thing("star", "red", "small", "middle left"),))
    trained = Scene("white", (Thing("star", "red", "small", "top right"),))
    assert (held_out.held_out, trained.held_out) == (True, False)


def test_a_quarter_of_all_contents_is_held_out() -> None:
    others = [Scene(color, scene.things) for scene in SOME for color in BACKGROUNDS if color != scene.background]
    assert 0.23 < sum(scene.held_out for scene in others) / len(others) < 0.27


def test_a_scene_holds_one_to_four_things_of_distinct_shapes_in_distinct_places() -> None:
    assert {len(scene.things) for scene in SOME} == {1, 2, 3, 4}
    for scene in SOME:
        places = [PLACES.index(thing.place) for thing in scene.things]
        assert places == sorted(set(places))
        assert len({thing.shape for thing in scene.things}) == len(scene.things)


def test_every_value_occurs_about_as_often_as_any_other() -> None:
    things = [thing for scene in SOME for thing in scene.things]
    for values, seen in (
        (BACKGROUNDS, Counter(scene.background for scene in SOME)),
        (SHAPES, Counter(thing.shape for thing in things)),
        (COLORS, Counter(thing.color for thing in things)),
        (SIZES, Counter(thing.size for thing in things)),
        (PLACES, Counter(thing.place for thing in things)),
    ):
        assert set(seen) == set(values)
        assert max(seen.values()) < 1.5 * min(seen.values())


def test_a_scene_tells_what_it_shows_by_shape_and_by_place() -> None:
    star = Thing("star", "red", "small", "top left")
    scene = Scene("white", (star, Thing("heart", "blue", "big", "center")))
    assert scene.thing("star") is scene.at("top left") is star
    assert scene.thing("circle") is scene.at("bottom left") is None
    assert scene.content == "white; small red star top left; big blue heart center"
