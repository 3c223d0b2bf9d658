"""Targets, from each of the files in which the field keeps them."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from chatir import Dialog, Round
from chatir.datasets.formats.visdial import VISDIAL_IMAGE, image_from_template
from chatir.errors import InputError
from chatir.simulate import Targets, read_dialogs


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(targets: Targets) -> str:
    """The one line that a user is told; it names the file."""
    with pytest.raises(InputError) as told:
        list(targets)
    line = str(told.value)
    assert line.startswith(f"{targets.path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{targets.path}: ")


# ChatIR's query JSON


def test_the_rounds_of_a_query_file_are_what_people_said(tmp_path: Path) -> None:
    items = [
        {"img": "a.jpg", "dialog": ["a cat", "is it black? no", "asleep? yes"], "id": "a#1", "split": "val"},
        {"img": "b.jpg", "dialog": ["a dog"]},
    ]
    first, second = Targets(written(tmp_path / "q.json", json.dumps(items)))
    assert first.rounds == ()
    assert first.said == (Round.parse("is it black? no"), Round.parse("asleep? yes"))
    assert (first.image, first.caption, first.id, first.extra) == ("a.jpg", "a cat", "a#1", {"split": "val"})
    assert second == Dialog("b.jpg", "a dog")


@pytest.mark.parametrize("name", ["q.JSON", "queries"])
def test_a_file_of_any_other_ending_is_read_as_json(tmp_path: Path, name: str) -> None:
    assert list(Targets(written(tmp_path / name, '[{"img": "a.jpg", "dialog": ["a cat"]}]'))) == [
        Dialog("a.jpg", "a cat")
    ]


# The official VisDial v1.0 JSON

QUESTIONS = ["is it sunny", "is it red?", "how many people are there ", "what? really ?"]
ANSWERS = ["yes", "no", "can't tell"]


def visdial(*dialogs: Any, split: str = "val", **data: Any) -> str:
    data = {"questions": QUESTIONS, "answers": ANSWERS, "dialogs": dialogs} | data
    return json.dumps({"version": "1.0", "split": split, "data": data})


def turn(question: Any, answer: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, "gt_index": 3, "answer_options": [0, 1, 2]}


def dialog(*turns: Any, image_id: Any = 185565, caption: Any = "a busy desk") -> dict[str, Any]:
    return {"image_id": image_id, "caption": caption, "dialog": turns}


def test_visdial_tables_become_questions_with_their_mark_and_answers(tmp_path: Path) -> None:
    path = written(tmp_path / "visdial.json", visdial(dialog(turn(0, 0), turn(1, 1), turn(2, 2), turn(3, 0))))
    (target,) = Targets(path)
    assert (target.image, target.caption) == ("unlabeled2017/000000185565.jpg", "a busy desk")
    assert target.rounds == ()
    assert [str(said) for said in target.said] == [
        "is it sunny? yes",
        "is it red? no",
        "how many people are there? can't tell",
        "what? really ? yes",
    ]


def test_the_template_makes_the_image_of_its_number(tmp_path: Path) -> None:
    path = written(tmp_path / "visdial.json", visdial(dialog(image_id=7), dialog(image_id=123456789012)))
    template = "VisualDialog_test2018/VisualDialog_test2018_{image_id:012d}.jpg"
    assert [target.image for target in Targets(path, image_template=template)] == [
        "VisualDialog_test2018/VisualDialog_test2018_000000000007.jpg",
        "VisualDialog_test2018/VisualDialog_test2018_123456789012.jpg",
    ]


def test_the_last_question_of_a_test_dialog_was_not_answered_and_is_not_said(tmp_path: Path) -> None:
    open_end = {"question": 1, "answer_options": [0, 1]}
    path = written(tmp_path / "test.json", visdial(dialog(turn(0, 0), open_end), dialog(open_end), split="test"))
    answered, unanswered = Targets(path)
    assert [str(said) for said in answered.said] == ["is it sunny? yes"]
    assert unanswered.said == ()


def test_a_visdial_file_and_the_released_queries_give_the_same_targets(shared: Path, tmp_path: Path) -> None:
    released = shared / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json"
    questions: dict[str, int] = {}
    answers: dict[str, int] = {}
    dialogs = []
    for said in read_dialogs(released):
        turns = [
            turn(
                questions.setdefault(one.question.removesuffix("?"), len(questions)),
                answers.setdefault(one.answer, len(answers)),
            )
            for one in said.rounds
        ]
        number = int(Path(said.image).stem)
        dialogs.append(dialog(*turns, image_id=number, caption=said.caption))
    path = written(tmp_path / "visdial.json", visdial(*dialogs, questions=list(questions), answers=list(answers)))

    def seen(targets: Targets) -> list[tuple[Any, ...]]:
        return [
            (
                target.id,
                target.image,
                target.caption,
                target.rounds,
                [(q.question, q.answer, str(q)) for q in target.said],
            )
            for target in targets
        ]

    assert len(dialogs) == 2064
    assert seen(Targets(path)) == seen(Targets(released))


WRONG_VISDIAL = {
    "a question beyond the table": (
        visdial(dialog(), dialog(turn(4, 0))),
        "data.dialogs.1: question 4 is not in the table of 4",
    ),
    "an answer beyond the table": (visdial(dialog(turn(0, 3))), "data.dialogs.0: answer 3 is not in the table of 3"),
    "a question before the table": (visdial(dialog(turn(-1, 0))), "data.dialogs.0: question -1 is not in the table"),
    "an answer before the table": (visdial(dialog(turn(0, -3))), "data.dialogs.0: answer -3 is not in the table"),
    "text for an index": (
        visdial(dialog(turn("0", 0))),
        "VisDial JSON: data.dialogs.0.dialog.0.question: input should be",
    ),
    "true for an index": (
        visdial(dialog(turn(0, True))),
        "VisDial JSON: data.dialogs.0.dialog.0.answer: input should be",
    ),
    "a fraction for an index": (visdial(dialog(turn(0.0, 0))), "VisDial JSON: data.dialogs.0.dialog.0.question: input"),
    "no question": (visdial(dialog({"answer": 0})), "VisDial JSON: data.dialogs.0.dialog.0.question: field required"),
    "text for a round": (visdial(dialog("q? a")), "VisDial JSON: data.dialogs.0.dialog.0: must be an object"),
    "text for an image number": (
        visdial(dialog(image_id="185565")),
        "VisDial JSON: data.dialogs.0.image_id: input should",
    ),
    "no image number": (
        visdial({"caption": "a", "dialog": []}),
        "VisDial JSON: data.dialogs.0.image_id: field required",
    ),
    "no caption": (visdial({"image_id": 1, "dialog": []}), "VisDial JSON: data.dialogs.0.caption: field required"),
    "a number for a caption": (visdial(dialog(caption=3)), "VisDial JSON: data.dialogs.0.caption: input should be"),
    "NUL in a caption": (visdial(dialog(caption="a\0b")), "data.dialogs.0: caption holds a NUL character"),
    "no rounds": (visdial({"image_id": 1, "caption": "a"}), "VisDial JSON: data.dialogs.0.dialog: field required"),
    "a list for a dialog": (visdial([1, "a"]), "VisDial JSON: data.dialogs.0: must be an object"),
    "an empty caption": (visdial(dialog(caption=" ")), "data.dialogs.0: caption is empty"),
    "no questions": ('{"data": {"answers": [], "dialogs": []}}', "VisDial JSON: data.questions: field required"),
    "no answers": ('{"data": {"questions": [], "dialogs": []}}', "VisDial JSON: data.answers: field required"),
    "no dialogs": ('{"data": {"questions": [], "answers": []}}', "VisDial JSON: data.dialogs: field required"),
    "a number in a table": (visdial(questions=["is it?", 5]), "VisDial JSON: data.questions.1: input should be"),
    "NUL in a question": (visdial(questions=["is it?", "\0"]), "data.questions.1 holds a NUL character"),
    "half a character in an answer": (visdial(answers=["\ud83d"]), "data.answers.0 holds a lone surrogate"),
}


@pytest.mark.parametrize(("content", "told"), WRONG_VISDIAL.values(), ids=WRONG_VISDIAL)
def test_wrong_visdial_json_is_refused_naming_the_field(tmp_path: Path, content: str, told: str) -> None:
    assert refused(Targets(written(tmp_path / "visdial.json", content))).startswith(told)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "unlabeled2017/1.jpg",
        "{}",
        "{0}",
        "{other}",
        "{image_id}{other}",
        "{image_id.__class__}",
        "{image_id.real}",
        "{image_id[0]}",
        "{image_id!r:>9x}",
        "{image_id!z}",
        "{image_id:s}",
        "{image_id:{other}}",
        "{image_id:{image_id}}",
        "{image_id:c}",
        "{image_id",
        "image_id}",
        "{{image_id}}",
    ],
)
def test_a_template_names_the_image_number_and_nothing_else(template: str) -> None:
    with pytest.raises(InputError) as told:
        image_from_template(template, 2_000_000)
    assert str(told.value).startswith(f"image template {template!r}: ")
    assert str(told.value).endswith(f"it must name {{image_id}}, as {VISDIAL_IMAGE!r}")


@pytest.mark.parametrize(
    ("template", "image"),
    [("{image_id}.png", "42.png"), ("a/{image_id:x}/{image_id:06d}", "a/2a/000042"), ("{{}}/{image_id:>4}", "{}/  42")],
)
def test_a_template_is_a_format_string(template: str, image: str) -> None:
    assert image_from_template(template, 42) == image


@pytest.mark.parametrize("template", ["/{image_id}.jpg", "../{image_id}.jpg", "a\n{image_id}"])
def test_a_template_may_not_lead_out_of_the_image_root(tmp_path: Path, template: str) -> None:
    targets = Targets(written(tmp_path / "visdial.json", visdial(dialog())), image_template=template)
    assert refused(targets).startswith(f"data.dialogs.0: image path {template.format(image_id=185565)!r}")


# JSON lines and CSV

TWO = [Dialog("a.jpg", "a cat"), Dialog("b.jpg", 'a "dog", café', id="b#1")]
JSONL = '{"image": "a.jpg", "caption": "a cat"}\n{"image": "b.jpg", "caption": "a \\"dog\\", café", "id": "b#1"}\n'
CSV = 'image,caption,id\na.jpg,a cat,\nb.jpg,"a ""dog"", café",b#1\n'

GOOD = {
    "t.jsonl": JSONL,
    "t.ndjson": JSONL,
    "T.JSONL": JSONL,
    "without a last line end.jsonl": JSONL.rstrip("\n"),
    "blank lines.jsonl": "\n" + JSONL.replace("\n", "\n \n\n"),
    "Windows line ends.jsonl": JSONL.replace("\n", "\r\n"),
    "byte order mark.jsonl": "\ufeff" + JSONL,
    "more keys.jsonl": JSONL.replace("}", ', "split": ["val"]}'),
    "null id.jsonl": JSONL.replace("cat", 'cat", "id": null, "x": "'),
    "t.csv": CSV,
    "t.CSV": CSV,
    "without a last line end.csv": CSV.rstrip("\n"),
    "blank lines.csv": "\n" + CSV.replace("\n", "\n\n\n"),
    "Windows line ends.csv": CSV.replace("\n", "\r\n"),
    "old Mac line ends.csv": CSV.replace("\n", "\r"),
    "byte order mark.csv": "\ufeff" + CSV,
    "other columns.csv": 'n,caption,,id,image,\n1,a cat,,,a.jpg,\n2,"a ""dog"", café",x,b#1,b.jpg,\n',
}


@pytest.mark.parametrize("name", GOOD)
def test_a_row_is_a_target(tmp_path: Path, name: str) -> None:
    assert list(Targets(written(tmp_path / name, GOOD[name]))) == TWO


def test_a_line_end_inside_a_caption_is_part_of_it(tmp_path: Path) -> None:
    (row,) = Targets(written(tmp_path / "t.csv", 'image,caption\na.jpg,"a cat\r\n\nand a dog"\n'))
    assert row.caption == "a cat\r\n\nand a dog"
    (row,) = Targets(written(tmp_path / "t.jsonl", '{"image": "a.jpg", "caption": "a cat\\n\u2028and a dog"}\n'))
    assert row.caption == "a cat\n\u2028and a dog"


def test_a_table_without_rows_has_no_targets(tmp_path: Path) -> None:
    assert list(Targets(written(tmp_path / "t.csv", "image,caption\n"))) == []
    assert list(Targets(written(tmp_path / "t.jsonl", "\n"))) == []


ROW = '{"image": "a.jpg", "caption": "a cat"}\n'
HEAD = "image,caption\na.jpg,a cat\n"
WRONG = {
    "a line that is not JSON": ("t.jsonl", ROW + "\nnope\n", "line 3: is not valid JSON: Expecting value (column 1)"),
    "a line cut short": ("t.jsonl", ROW + '{"image": "a.jpg",\n', "line 2: is not valid JSON: Expecting property name"),
    "an object over two lines": ("t.jsonl", '{"image":\n"a.jpg", "caption": "x"}', "line 1: is not valid JSON"),
    "two objects in a line": ("t.jsonl", ROW.strip() + ROW, "line 1: is not valid JSON: Extra data (column 39)"),
    "a list for a row": ("t.jsonl", ROW + '["b.jpg", "a dog"]\n', "line 2: the row: must be an object"),
    "no caption": ("t.jsonl", ROW * 2 + '{"image": "b.jpg"}\n', "line 3: caption: field required"),
    "no image": ("t.jsonl", '{"caption": "a cat"}\n', "line 1: image: field required"),
    "a number for a caption": (
        "t.jsonl",
        '{"image": "a.jpg", "caption": 3}',
        "line 1: caption: input should be a valid string",
    ),
    "null for a caption": (
        "t.jsonl",
        '{"image": "a.jpg", "caption": null}',
        "line 1: caption: input should be a valid",
    ),
    "a number for an id": (
        "t.jsonl",
        '{"image": "a.jpg", "caption": "x", "id": 3}',
        "line 1: id: input should be a valid",
    ),
    "NUL in a caption": (
        "t.jsonl",
        '{"image": "a.jpg", "caption": "a\\u0000"}',
        "line 1: caption holds a NUL character",
    ),
    "half a character in a caption": (
        "t.jsonl",
        '{"image": "a", "caption": "\\ud83d"}',
        "line 1: caption holds a lone surrogate",
    ),
    "NUL in an id": ("t.jsonl", '{"image": "a", "caption": "x", "id": "\\u0000"}', "line 1: id holds a NUL character"),
    "an image that leads out": (
        "t.jsonl",
        ROW + '{"image": "../a.jpg", "caption": "x"}',
        "line 2: image path '../a.jpg'",
    ),
    "an empty caption": ("t.jsonl", ROW + '{"image": "b.jpg", "caption": ""}', "line 2: caption is empty"),
    "a blank caption in a table": ("t.csv", HEAD + "b.jpg,\u3000\n", "line 3: caption is empty"),
    "an empty id": ("t.jsonl", '{"image": "b.jpg", "caption": "x", "id": ""}', "line 1: id is empty"),
    "a blank id in a table": ("t.csv", "image,caption,id\na.jpg,x, \n", "line 2: id is empty"),
    "an empty image": ("t.jsonl", '{"image": "", "caption": "x"}', "line 1: image path '' is empty"),
    "a line nested deeply": ("t.jsonl", ROW + "[" * 100_000, "line 2: is not JSON that can be read"),
    "a line with a huge number": ("t.jsonl", ROW + "9" * 100_000, "line 2: is not JSON that can be read"),
    "an empty JSONL": ("t.jsonl", "", "is empty"),
    "Latin-1 JSONL": (
        "t.jsonl",
        (ROW * 999).encode() + b'{"caption": "caf\xe9"',
        "is not UTF-8 text (byte 0xe9 after '",
    ),
    "UTF-16 JSONL cut short": ("t.jsonl", (ROW * 2).encode("utf-16")[:-1], "is not UTF-16 text (byte 0x0a after "),
    "too few fields": ("t.csv", HEAD + "b.jpg\n", "line 3: has not as many fields as the header (2)"),
    "too many fields": ("t.csv", HEAD + "b.jpg,a dog, a cow\n", "line 3: has not as many fields as the header (2)"),
    "a blank field only": ("t.csv", HEAD + " \n", "line 3: has not as many fields as the header (2)"),
    "a wrong row below a long one": (
        "t.csv",
        HEAD + '\nb.jpg,"a\n\r\ndog"\n\nc.jpg\n',
        "line 8: has not as many fields",
    ),
    "a wrong row of several lines": ("t.csv", HEAD + 'b.jpg,"a\ndog",x\n', "line 3: has not as many fields"),
    "a quote that never ends": (
        "t.csv",
        HEAD + 'b.jpg,"a dog\n' + "c.jpg,a cow\n" * 99,
        "line 3: is not valid CSV: unexpected end",
    ),
    "text after a quote": ("t.csv", HEAD + 'b.jpg,"a" dog\n', "line 3: is not valid CSV: ',' expected after '\"'"),
    "an endless field": ("t.csv", HEAD + "b.jpg," + "x" * 200_000, "line 3: is not valid CSV: field larger than"),
    "no caption column": (
        "t.csv",
        "image,text\na.jpg,x\n",
        "line 1: no column ['caption']; the columns are ['image', 'text']",
    ),
    "no header": (
        "t.csv",
        "a.jpg,a cat\n",
        "line 1: no column ['caption', 'image']; the columns are ['a.jpg', 'a cat']",
    ),
    "only blank lines": ("t.csv", "\n\n", "line 1: no column ['caption', 'image']; the columns are []"),
    "two caption columns": ("t.csv", "image,caption,caption\na.jpg,x,y\n", "line 1: column ['caption'] more than once"),
    "NUL in a CSV caption": ("t.csv", HEAD + "b.jpg,a\0dog\n", "line 3: caption holds a NUL character"),
    "NUL in a CSV image": ("t.csv", HEAD + "b\0.jpg,a dog\n", "line 3: image path 'b\\x00.jpg'"),
    "an empty CSV": ("t.csv", "", "is empty"),
    "a CSV image": ("t.csv", b"\x89PNG\r\n", "is not UTF-8 text"),
}


@pytest.mark.parametrize(("name", "content", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_row_is_refused_naming_its_line(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    assert refused(Targets(written(tmp_path / name, content))).startswith(told)


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.json"])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(Targets(tmp_path / name)) == "no such file or directory"


# How they are read


def rows(name: str, count: int) -> str:
    if name.endswith(".csv"):
        return "image,caption\n" + "".join(f"{n}.jpg,picture {n}\n" for n in range(count))
    if name.endswith(".jsonl"):
        return "".join(f'{{"image": "{n}.jpg", "caption": "picture {n}"}}\n' for n in range(count))
    return json.dumps([{"img": f"{n}.jpg", "dialog": [f"picture {n}"]} for n in range(count)])


FORMATS = pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.json"])


@FORMATS
def test_targets_can_be_iterated_again_and_side_by_side(tmp_path: Path, name: str) -> None:
    targets = Targets(written(tmp_path / name, rows(name, 5)))
    assert list(targets) == list(targets)
    assert [(a.image, b.image) for a, b in zip(targets, targets, strict=True)] == [(f"{n}.jpg",) * 2 for n in range(5)]


@FORMATS
@pytest.mark.parametrize(("limit", "count"), [(None, 5), (1, 1), (5, 5), (6, 5)])
def test_a_limit_keeps_the_first_targets(tmp_path: Path, name: str, limit: int | None, count: int) -> None:
    targets = Targets(written(tmp_path / name, rows(name, 5)), limit)
    assert [target.caption for target in targets] == [f"picture {n}" for n in range(count)]


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv"])
def test_a_limit_stops_reading_before_a_wrong_row(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, rows(name, 3) + '"\n')
    assert len(list(Targets(path, limit=3))) == 3
    assert refused(Targets(path, limit=4)).startswith(f"line {5 if name == 't.csv' else 4}: is not valid")


@FORMATS
def test_a_pipe_is_refused_for_a_run_reads_its_targets_more_than_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe or a device"):
        next(iter(Targets(tmp_path / name)))


def test_a_big_file_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with path.open("w") as file:
        file.writelines(f'{{"image": "{n}.jpg", "caption": "{"x" * 10_000}"}}\n' for n in range(3000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in Targets(path)) == 3000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 10
    finally:
        tracemalloc.stop()
