"""The symbolic reader: it hears every fact of a dialog, and only those."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import torch

from chatir.datasets.scenes.people import people_dialog
from chatir.datasets.scenes.world import Scene, Thing, scenes
from chatir.dialog import Dialog, Round
from tools.scene_models.facts import agreement, told, told_by_caption, truths

SCENES = list(islice(scenes(1), 200))
DIALOGS = [people_dialog(scene, str(n), random.Random(n)) for n, scene in enumerate(SCENES)]
STAR = Scene("white", (Thing("star", "red", "small", "top left"),))


def test_every_fact_of_a_true_dialog_holds_in_its_own_scene() -> None:
    true = truths(SCENES)
    for rounds in (0, 3, 10):
        facts = [told(dialog, rounds) for dialog in DIALOGS]
        assert {len(some) for some in facts} == {3 + rounds}
        assert (agreement(facts, true).diagonal() == 3 + rounds).all()


def test_a_false_answer_is_counted_against_a_scene() -> None:
    dialog = Dialog("x", "a single star on a light background", (Round("what color is the star?", "it is blue"),))
    others = [STAR, Scene("white", (replace(STAR.things[0], color="blue"),)), Scene("navy", STAR.things)]
    assert agreement([told(dialog, 1)], truths(others)).tolist() == [[3.0, 4.0, 2.0]]


def test_what_is_not_of_this_world_tells_nothing() -> None:
    odd = (Round("is there a dog?", "yes"), Round("is there a star?", "who knows"), Round("where is the star?", "red"))
    dialog = Dialog("x", "a single star on a light background", odd)
    assert told(dialog, 3) == told_by_caption(dialog.caption)


def test_captions_tell_three_facts() -> None:
    alone = told_by_caption("a picture of a star, nothing else, on a dark background")
    more = told_by_caption("a star and something else on a dark background")
    assert len(set(alone)) == len(set(more)) == 3
    assert len(set(alone) & set(more)) == 2


def test_distinct_contents_have_distinct_truths() -> None:
    rows = {tuple(row) for row in truths(SCENES).tolist()}
    assert len(rows) == len(SCENES)
    assert truths([STAR]).dtype == torch.int64
