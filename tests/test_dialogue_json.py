"""Dialogue files: what is read is what is written, and a half-written file is never seen."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir import Dialog, Round
from chatir.errors import InputError
from chatir.simulate import read_dialogs, write_dialogs
from chatir.storage import files
from chatir.storage.image_names import dialog_key, image_problem

RELEASED = ["VisDial_v1.0_queries_val", "ChatGPT_BLIP2", "FLAN_ALPACA_XXL_BLIP2"]
OLD = b"what was there before"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place for a dialogue file that holds something already."""
    path = tmp_path / "dialogs.json"
    path.write_bytes(OLD)
    return path


def written(folder: Path, content: bytes | str | list[Any]) -> Path:
    path = folder / "dialogs.json"
    if isinstance(content, list):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path) -> str:
    """The one line that a user is told; it names the file."""
    with pytest.raises(InputError) as told:
        read_dialogs(path)
    line = str(told.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


# What is kept


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_file_is_written_back_byte_for_byte(shared: Path, tmp_path: Path, name: str) -> None:
    released = shared / "data" / "chatir" / "dialogues" / f"{name}.json"
    dialogs = read_dialogs(released)
    assert len(dialogs) == 2064
    assert {len(dialog.rounds) for dialog in dialogs} == {10}
    write_dialogs(tmp_path / "copy.json", dialogs)
    assert (tmp_path / "copy.json").read_bytes() == released.read_bytes()


def test_rounds_without_their_text_are_written_as_the_release_writes_them(shared: Path, tmp_path: Path) -> None:
    released = shared / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json"
    made = [
        Dialog(dialog.image, dialog.caption, tuple(Round(turn.question, turn.answer) for turn in dialog.rounds))
        for dialog in read_dialogs(released)
    ]
    write_dialogs(tmp_path / "copy.json", made)
    assert (tmp_path / "copy.json").read_bytes() == released.read_bytes()


def test_the_file_is_what_json_dump_writes_of_the_whole_list(tmp_path: Path) -> None:
    write_dialogs(tmp_path / "x.json", [Dialog("a.jpg", "café", [Round("is it?", "yes")]), Dialog("b.jpg", "x")])  # type: ignore[arg-type]
    assert (tmp_path / "x.json").read_text() == json.dumps(
        [{"img": "a.jpg", "dialog": ["café", "is it? yes"]}, {"img": "b.jpg", "dialog": ["x"]}]
    )
    write_dialogs(tmp_path / "none.json", [])
    assert (tmp_path / "none.json").read_bytes() == b"[]"


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8")) | st.text(st.sampled_from("ab? \n\té.:"))
images = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(
    lambda t: not image_problem(t)
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
extras = st.dictionaries(st.text().filter(lambda key: key not in ("img", "dialog", "id")), values, max_size=2)
made_here = st.builds(
    Dialog,
    image=images,
    caption=texts,
    rounds=st.lists(st.builds(Round.parse, texts), max_size=12).map(tuple),
    id=st.none() | texts,
    extra=extras,
)


@given(st.lists(made_here, max_size=4, unique_by=lambda dialog: dialog_key(dialog.id, dialog.image)))
def test_what_is_written_is_read_back_and_written_again_to_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, dialogs: list[Dialog]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    first, second = folder / "first.json", folder / "second.json"
    write_dialogs(first, dialogs)
    read = read_dialogs(first)
    assert read == dialogs
    write_dialogs(second, read)
    assert second.read_bytes() == first.read_bytes()


@given(
    st.lists(
        st.tuples(images, st.lists(texts, min_size=1), texts, extras),
        max_size=3,
        unique_by=lambda item: dialog_key(item[2], item[0]),
    )
)
def test_a_file_made_elsewhere_is_written_back_as_the_same_json(
    tmp_path_factory: pytest.TempPathFactory, content: list[tuple[str, list[str], str, dict[str, Any]]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "elsewhere.json"
    items = [extra | {"id": name, "dialog": texts, "img": image} for image, texts, name, extra in content]
    path.write_text(json.dumps(items, indent=1))
    write_dialogs(path, read_dialogs(path))
    assert json.loads(path.read_text()) == items


def test_extra_keys_and_ids_are_kept(tmp_path: Path) -> None:
    items = [
        {"img": "a.jpg", "dialog": ["a cat"], "id": "a.jpg#0", "ranks": [3, 1], "by": {"model": "x", "cost": None}},
        {"img": "b.jpg", "dialog": ["a dog"], "id": "b.jpg"},
        {"img": "c.jpg", "dialog": ["a cow"]},
    ]
    path = written(tmp_path, items)
    dialogs = read_dialogs(path)
    assert [dialog.id for dialog in dialogs] == ["a.jpg#0", "b.jpg", "c.jpg"]
    assert dialogs[0].extra == {"ranks": [3, 1], "by": {"model": "x", "cost": None}}
    write_dialogs(path, dialogs)
    assert json.loads(path.read_text()) == items


@pytest.mark.parametrize("count", [0, 1, 10, 11, 500])
def test_any_number_of_rounds_may_be_read(tmp_path: Path, count: int) -> None:
    (dialog,) = read_dialogs(
        written(tmp_path, [{"img": "a.jpg", "dialog": ["a cat", *(f"is it {n}? no" for n in range(count))]}])
    )
    assert [turn.question for turn in dialog.rounds] == [f"is it {n}?" for n in range(count)]


def test_a_round_without_a_mark_is_all_question_and_is_written_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path, [{"img": "a.jpg", "dialog": ["a cat", "Is the desk well", "", " is it? ", "? yes"]}])
    before = path.read_bytes()
    (dialog,) = read_dialogs(path)
    assert [(turn.question, turn.answer) for turn in dialog.rounds] == [
        ("Is the desk well", ""),
        ("", ""),
        (" is it?", " "),
        ("?", "yes"),
    ]
    write_dialogs(path, [dialog])
    assert path.read_bytes() == before


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf[{"img": "a.jpg", "dialog": ["caf\xc3\xa9"]}]')
    assert read_dialogs(path) == [Dialog("a.jpg", "café")]


# What is refused


def test_an_image_named_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    items = [{"img": image, "dialog": ["a cat"]} for image in ("a.jpg", "b.jpg", "c.jpg", "b.jpg")]
    told = refused(written(tmp_path, items))
    assert told == "entry 3: 'b.jpg' is named twice (first at entry 1); give each entry an 'id' of its own"


def test_an_image_named_twice_is_two_dialogs_when_each_has_an_id(tmp_path: Path) -> None:
    items = [{"img": "a.jpg", "dialog": [f"caption {n}"], "id": f"a.jpg#{n}"} for n in range(5)]
    dialogs = read_dialogs(written(tmp_path, items))
    assert [(dialog.image, dialog.id) for dialog in dialogs] == [("a.jpg", f"a.jpg#{n}") for n in range(5)]
    items[4]["id"] = "a.jpg#2"
    assert refused(written(tmp_path, items)).startswith("entry 4: 'a.jpg#2' is named twice (first at entry 2)")


def test_an_id_may_not_be_another_entrys_image(tmp_path: Path) -> None:
    items = [{"img": "a.jpg", "dialog": ["x"]}, {"img": "b.jpg", "dialog": ["x"], "id": "a.jpg"}]
    assert "'a.jpg' is named twice (first at entry 0)" in refused(written(tmp_path, items))


GOOD = {"img": "a.jpg", "dialog": ["a cat", "is it? no"]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"img": "a.jpg"}, "is an object, but a dialogue file is a list"),
        (3.5, "is a number, but a dialogue file is a list"),
        (None, "is missing or null, but a dialogue file is a list"),
        ([GOOD, "a.jpg"], "entry 1: is text"),
        ([GOOD, {"dialog": ["a cat"]}], "entry 1: 'img' is missing or null"),
        ([GOOD, {"img": ["b.jpg"], "dialog": ["a cat"]}], "entry 1: 'img' is a list"),
        ([GOOD, {"img": "b.jpg"}], "entry 1 ('b.jpg'): 'dialog' is missing or null"),
        ([GOOD, {"img": "b.jpg", "dialog": []}], "entry 1 ('b.jpg'): 'dialog' is empty"),
        ([GOOD, {"img": "b.jpg", "dialog": {"0": "a cat"}}], "entry 1 ('b.jpg'): 'dialog' is an object"),
        ([GOOD, {"img": "b.jpg", "dialog": [True]}], "entry 1 ('b.jpg'): the caption is true or false"),
        ([GOOD, {"img": "b.jpg", "dialog": ["x", "q? a", 7]}], "entry 1 ('b.jpg'): round 2 is a number"),
        ([GOOD, {"img": "b.jpg", "dialog": ["x", ["q?", "a"]]}], "entry 1 ('b.jpg'): round 1 is a list"),
        ([GOOD, {"img": "b.jpg", "dialog": ["x", "q? \0"]}], "entry 1 ('b.jpg'): round 1 holds a NUL character"),
        ([GOOD, {"img": "b.jpg", "dialog": ["\ud800"]}], "entry 1 ('b.jpg'): the caption holds a lone surrogate"),
        ([GOOD, {"img": "b.jpg", "dialog": ["x"], "id": 2}], "entry 1 ('b.jpg'): 'id' is a number"),
        ([GOOD, {"img": "b.jpg", "dialog": ["x"], "id": None}], "entry 1 ('b.jpg'): 'id' is missing or null"),
        ([GOOD, {"img": "b.jpg", "dialog": ["x"], "id": "\udfff"}], "entry 1 ('b.jpg'): 'id' holds a lone surrogate"),
        ([GOOD, {"img": "../b.jpg", "dialog": ["x"]}], "entry 1: image path '../b.jpg'"),
        ([GOOD, {"img": "/b.jpg", "dialog": ["x"]}], "entry 1: image path '/b.jpg' is absolute"),
    ],
)
def test_wrong_content_is_refused_naming_entry_and_round(tmp_path: Path, content: Any, told: str) -> None:
    assert refused(written(tmp_path, json.dumps(content))).startswith(told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is not valid JSON"),
        (b" \n", "is not valid JSON"),
        (json.dumps([GOOD]).encode("utf-16")[:-1], "is not UTF-16 text (byte 0x5d after "),
        (json.dumps([GOOD]).encode("utf-16-be"), "is not valid JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not UTF-8 text (byte 0x89 after ''"),
        (b'[{"img": "caf\xe9.jpg"}]', 'is not UTF-8 text (byte 0xe9 after \'[{"img": "caf\''),
        (json.dumps([GOOD]).encode()[:-9], "is not valid JSON: Unterminated string starting at (column 39)"),
        (b"[\n{},\n{]", "is not valid JSON: Expecting property name enclosed in double quotes (line 3, column 2)"),
        (b"[" * 100_000, "is not JSON that can be read"),
        (b'{"a":' * 100_000, "is not JSON that can be read"),
        (b"[" + b"9" * 100_000 + b"]", "is not JSON that can be read"),
        (b"[] []", "is not valid JSON: Extra data"),
    ],
)
def test_what_is_no_json_is_refused_naming_the_file(tmp_path: Path, content: bytes, told: str) -> None:
    assert refused(written(tmp_path, content)).startswith(told)


def test_a_wrong_byte_is_told_by_what_stands_before_it_however_far_in_it_is(tmp_path: Path) -> None:
    content = json.dumps([GOOD | {"id": str(n)} for n in range(2000)]).encode().replace(b'"1999"', b'"19\xff"')
    assert 'it? no"], "id": "19\'' in refused(written(tmp_path, content))


def test_a_folder_a_missing_file_and_an_impossible_name_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == "is a directory, but a file is needed"
    assert refused(tmp_path / "none.json") == "no such file or directory"
    assert refused(written(tmp_path, [GOOD]) / "x.json") == "not a directory"
    assert refused(tmp_path / ("x" * 300)) == "file name too long"


# Whole or not at all


def interrupted() -> Iterator[Dialog]:
    for number in range(5000):
        yield Dialog(f"{number}.jpg", "a cat")
    raise KeyboardInterrupt


def broken() -> Iterator[Dialog]:
    yield from (Dialog(f"{number}.jpg", "a cat") for number in range(5000))
    raise RuntimeError("the run file is damaged")


@pytest.mark.parametrize(("dialogs", "error"), [(interrupted, KeyboardInterrupt), (broken, RuntimeError)])
def test_a_writer_that_stops_half_way_leaves_the_old_file(
    out: Path, dialogs: Callable[[], Iterator[Dialog]], error: type[BaseException]
) -> None:
    with pytest.raises(error):
        write_dialogs(out, dialogs())
    assert out.read_bytes() == OLD
    assert list(out.parent.iterdir()) == [out]


def test_until_the_last_dialog_is_written_the_old_file_stands(out: Path) -> None:
    def watching() -> Iterator[Dialog]:
        for number in range(5000):
            assert out.read_bytes() == OLD
            yield Dialog(f"{number}.jpg", "a cat")

    write_dialogs(out, watching())
    assert len(read_dialogs(out)) == 5000
    assert list(out.parent.iterdir()) == [out]


def test_what_a_killed_writer_left_is_reused_by_the_next_one(out: Path) -> None:
    program = (
        "import os, sys; from chatir import Dialog; from chatir.simulate import write_dialogs\n"
        "def dying():\n"
        "    yield from (Dialog(f'{n}.jpg', 'a cat') for n in range(10_000))\n"
        "    os._exit(9)\n"
        "write_dialogs(sys.argv[1], dying())"
    )
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", program, str(out)]).returncode == 9
        assert {file.name for file in out.parent.iterdir()} == {out.name, f".{out.name}.part"}
    assert out.read_bytes() == OLD
    write_dialogs(out, [Dialog("a.jpg", "a cat")])
    assert [dialog.image for dialog in read_dialogs(out)] == ["a.jpg"]
    assert list(out.parent.iterdir()) == [out]


def test_two_writers_of_one_file_wait_for_each_other(out: Path) -> None:
    inside = threading.Event()

    def slowly() -> Iterator[Dialog]:
        inside.set()
        for number in range(200):
            time.sleep(0.001)
            yield Dialog(f"{number}.jpg", "a cat")

    first = threading.Thread(target=write_dialogs, args=(out, slowly()))
    first.start()
    inside.wait()
    write_dialogs(out, [Dialog("a.jpg", "a cat")])
    first.join()
    assert len(read_dialogs(out)) == 1, "the second one writes when the first one is done"
    assert list(out.parent.iterdir()) == [out]


def test_a_writer_that_never_ends_keeps_no_other_waiting_for_ever(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.05)

    def slowly() -> Iterator[Dialog]:
        write_dialogs(out, [Dialog("b.jpg", "a dog")])
        assert [dialog.image for dialog in read_dialogs(out)] == ["b.jpg"]
        yield Dialog("a.jpg", "a cat")

    write_dialogs(out, slowly())
    assert [dialog.image for dialog in read_dialogs(out)] == ["a.jpg"]
    assert list(out.parent.iterdir()) == [out]


def test_a_full_disk_leaves_the_old_file_and_is_told_in_one_line(out: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    program = (
        "import resource, sys; from chatir import Dialog; from chatir.simulate import write_dialogs\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (65536, {limit}))\n"
        "try: write_dialogs(sys.argv[1], (Dialog(f'{n}.jpg', 'a cat') for n in range(10_000)))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    told = subprocess.run([sys.executable, "-c", program, out], capture_output=True, text=True, check=True).stdout
    assert told == f"InputError {out}: file too large\n"
    assert out.read_bytes() == OLD
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_in_the_files_place_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "x.json"
    folder.mkdir()
    (folder / "mine").touch()
    with pytest.raises(InputError, match=r"x\.json: is a directory"):
        write_dialogs(folder, [Dialog("a.jpg", "a cat")])
    assert sorted(tmp_path.rglob("*")) == [folder, folder / "mine"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("none/x.json", "no such file or directory"),
        ("file/x.json", "not a directory"),
        ("x" * 300, "file name too long"),
    ],
)
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, place: str, told: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{place}: {told}"):
        write_dialogs(tmp_path / place, [])
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
