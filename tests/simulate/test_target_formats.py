"""Files of targets told apart by what they hold: those that are read, and those that are named for what they are."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from chatir import Dialog, Round
from chatir.datasets.target_checks import check_all_targets
from chatir.errors import InputError
from chatir.simulate import Targets

LADDER = [
    Dialog("1001_ab.jpg", "A child in a coat climbs a ladder ."),
    Dialog("1001_ab.jpg", "A girl on a ladder ."),
    Dialog("1002_cd.jpg", "Two dogs on a road ."),
]
DOG = [Dialog("a.jpg", "a dog")]
DAY, NO_DOG = Round("is it day?", "yes"), Round("is there a dog?", "no")
AS_TABLE = "not read yet; write its captions as a table with the columns image and caption"

FIELD: dict[str, list[Dialog] | str] = {
    "captions.txt": LADDER,
    "captions_val2017.json": f"is COCO captions: {AS_TABLE}",
    "dataset_flickr8k.json": f"is Karpathy's split of a caption data set: {AS_TABLE}",
    "flat_visdial.json": "is a flat list of VisDial dialogs: not read yet; the official VisDial JSON is read",
    "flickr30k_test.json": f"is a list of images with several captions each, as LAVIS and BLIP have it: {AS_TABLE}",
    "meta.jsonl": "is metadata of an image folder, as Hugging Face's datasets have it: not read yet; rename file_name",
    "results.csv": f"is Flickr30k's results.csv: {AS_TABLE}",
    "results_20130124.token": f"is Flickr captions, numbered by #0 to #4: {AS_TABLE}",
    "semicolon.csv": DOG,
    "tsv.csv": DOG,
    "visdial_0.9_val.json": [Dialog("val2014/COCO_val2014_000000000139.jpg", "a room", said=(DAY, NO_DOG))],
    "visdial_1.0_test.json": [Dialog("unlabeled2017/000000000139.jpg", "a room", said=(DAY,))],
    "win.csv": [Dialog("images\\a.jpg", "a dog")],
}
"""What is right for each file of the field: its targets, or how the line begins that says what it is."""


def check(path: Path, right: list[Dialog] | str) -> None:
    targets = Targets(path)
    if isinstance(right, list):
        assert list(targets) == list(targets) == right
        return
    with pytest.raises(InputError) as told:
        list(targets)
    assert str(told.value).startswith(f"{path}: {right}")
    assert "\n" not in str(told.value)


def field() -> list[str]:
    """The field's files of today, and those that are expected: a new one without an expectation fails."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "field" / "formats"
    return sorted({*FIELD, *(path.name for path in folder.glob("*"))})


@pytest.mark.parametrize("name", field())
def test_each_file_of_the_field_is_read_or_named(shared: Path, name: str) -> None:
    folder = shared / "fixtures" / "field" / "formats"
    if not folder.is_dir():
        pytest.skip("the files of the field (../shared/fixtures/field) are not beside the project")
    assert name in FIELD, "what is right for it?"
    check(folder / name, FIELD[name])


def visdial(version: str | None, split: str | None) -> str:
    told = {"version": version, "split": split, "data": {"questions": ["is it day"], "answers": ["yes"]}}
    told["data"] |= {"dialogs": [{"image_id": 7, "caption": "x", "dialog": [{"question": 0, "answer": 0}]}]}
    return json.dumps({key: value for key, value in told.items() if value is not None})


def seven(image: str) -> list[Dialog]:
    return [Dialog(image, "x", said=(DAY,))]


TWO = [Dialog("a.jpg", "a dog"), Dialog("b.jpg", "a cat; a cow", id="b")]
HEADER = "image;id;caption\n"
OWN: dict[str, tuple[str, str | bytes, list[Dialog] | str]] = {
    "a table called JSON": ("t.json", "image,caption\na.jpg,a dog\n", DOG),
    "a table without an ending": ("targets", "image\tcaption\r\na.jpg\ta dog\r\n", DOG),
    "semicolons and quotes": ("t.csv", f'{HEADER}a.jpg;;"a dog"\nb.jpg;b;"a cat; a cow"\n', TWO),
    "tabs and old line ends": ("t.tsv", "image\tid\tcaption\ra.jpg\t\ta dog\rb.jpg\tb\ta cat; a cow", TWO),
    "a byte order mark": ("t.txt", "\ufeffimage;caption\r\na.jpg;a dog", DOG),
    "UTF-16, as Excel writes text": ("t.txt", "image\tcaption\r\na.jpg\ta dog\r\n".encode("utf-16"), DOG),
    "spaces after commas": ("t.csv", 'image, caption\na.jpg, "a dog"\n', DOG),
    "commas in a table of tabs": ("t.csv", "caption\tn,m\timage\na dog\t1,2\ta.jpg\n", DOG),
    "JSON lines called JSON": ("t.json", '\n{"image": "a.jpg", "caption": "a dog"}\n\n', DOG),
    "several JSON lines called text": (
        "t.txt",
        '{"image": "a.jpg", "caption": "a dog"}\n{"image": "b.jpg", "id": "b", "caption": "a cat; a cow"}',
        TWO,
    ),
    "a long line of JSON lines": (
        "t.txt",
        f'  {{"x": "{"x" * 2**17}", "image": "a.jpg", "caption": "a dog"}}\n{{"image": "a", "caption": "b"}}',
        [*DOG, Dialog("a", "b")],
    ),
    "a list of rows": ("t.json", '[{"image": "a.jpg", "caption": "a dog", "image_id": 3}]', DOG),
    "dialogue JSON called JSON lines": ("t.jsonl", '[{"img": "a.jpg", "dialog": ["a dog"]}]', DOG),
    "VisDial over several lines": (
        "v.json",
        json.dumps(json.loads(visdial("1.0", "val")), indent=1),
        seven("unlabeled2017/000000000007.jpg"),
    ),
    "VisDial called JSON lines": ("v.jsonl", visdial("0.9", "val"), seven("val2014/COCO_val2014_000000000007.jpg")),
    "JSON lines with more keys": (
        "t.jsonl",
        '{"file_name": "x", "text": "y", "image": "a.jpg", "caption": "a dog"}',
        DOG,
    ),
    "rows with more keys": ("t.json", '[{"image": "a.jpg", "caption": "a dog", "reference": "b", "dialog": []}]', DOG),
    "dialogue JSON with more keys": (
        "t.json",
        '[{"image_id": 7, "image": "x", "img": "a.jpg", "caption": ["y"], "dialog": ["a dog"]}]',
        [Dialog("a.jpg", "a dog", extra={"image_id": 7, "image": "x", "caption": ["y"]})],
    ),
    "VisDial of no version": ("v.json", visdial(None, None), seven("unlabeled2017/000000000007.jpg")),
    "VisDial 0.9, train": ("v.json", visdial("0.9", "train"), seven("train2014/COCO_train2014_000000000007.jpg")),
    "VisDial 0.9, val": ("v.json", visdial("0.9", "val"), seven("val2014/COCO_val2014_000000000007.jpg")),
    "VisDial 0.9 of another split": (
        "v.json",
        visdial("0.9", "test"),
        "VisDial JSON of version 0.9 with the split 'test'",
    ),
    "COCO captions": (
        "c.json",
        '{"images": [{"id": 7, "file_name": "7.jpg"}],\n"annotations": [{"image_id": 7, "id": 1, "caption": "x"}]}',
        f"is COCO captions: {AS_TABLE}",
    ),
    "COCO instances": (
        "c.json",
        '{"images": [{"id": 7}], "annotations": [{"image_id": 7, "bbox": []}]}',
        "is COCO annotations without captions: name the captions_*.json",
    ),
    "Karpathy's": ("k.json", '{"images": [{"filename": "7.jpg", "sentences": [{"raw": "x"}]}]}', "is Karpathy's split"),
    "caption lists": ("f.json", '[{"image": "7.jpg", "caption": ["x", "y"]}]', "is a list of images with several"),
    "flat VisDial": ("f.json", '[{"image_id": 7, "caption": "x", "dialog": []}]', "is a flat list of VisDial dialogs"),
    "Flickr30k's table": ("r.csv", "image_name| comment_number| comment\n7.jpg| 0| x\n", "is Flickr30k's results.csv"),
    "Flickr's tokens": ("r.txt", "7.jpg#0\tA dog .\n7.jpg#1\tA cat .\n", "is Flickr captions, numbered"),
    "metadata as a table": ("metadata.csv", "file_name,text\n7.jpg,x\n", "is metadata of an image folder"),
    "metadata in one line": ("metadata.json", '{"file_name": "7.jpg", "text": "x"}', "is metadata of an image folder"),
    "FashionIQ": ("f.json", '[{"target": "B7", "candidate": "B8", "captions": ["is red"]}]', "is FashionIQ"),
    "CIRR": ("c.json", '[{"pairid": 1, "reference": "d-1", "caption": "show two"}]', "is CIRR"),
    "no VisDial": (
        "v.json",
        '{"version": "1.0", "data": []}',
        "is a JSON object of unknown kind (its keys: 'version', 'data')",
    ),
    "an empty object": (
        "v.json",
        "{}",
        "is a JSON object of unknown kind (its keys: none); chatir reads dialogue JSON, ",
    ),
    "words": (
        "notes.txt",
        "a cat and a dog\n",
        "line 1: no column ['caption', 'image']; the columns are ['a cat and a dog']",
    ),
    "a quote that never ends": ("t.json", '"image,caption\n', "is not valid JSON: "),
}


@pytest.mark.parametrize(("name", "content", "right"), OWN.values(), ids=OWN)
def test_the_content_tells_what_a_file_is(
    tmp_path: Path, name: str, content: str | bytes, right: list[Dialog] | str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check(path, right)


def test_a_template_that_is_named_goes_before_the_version(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(visdial("0.9", "test"))
    assert list(Targets(path, image_template="{image_id}.png")) == seven("7.png")


def test_several_captions_of_an_image_need_ids_and_the_line_shows_some(tmp_path: Path) -> None:
    path = tmp_path / "captions.txt"
    path.write_text("image,caption\n7.jpg,x\n7.jpg,y\n")
    with pytest.raises(InputError) as told:
        check_all_targets(Targets(path), 1, [])
    assert str(told.value) == (
        f"{path}: target 1: '7.jpg' is named twice (first as target 0); give each an 'id' of its own, as '7.jpg#0'"
    )


@pytest.mark.parametrize("name", ["t.txt", "t.json"])
def test_a_big_table_is_streamed_whatever_its_ending(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("w") as file:
        file.write("image\tcaption\n")
        file.writelines(f"{n}.jpg\t{'x' * 10_000}\n" for n in range(3000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in Targets(path)) == 3000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 10
    finally:
        tracemalloc.stop()
