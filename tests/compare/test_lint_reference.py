import json
import random

import pytest

from chatir.datasets.lint import REFERENCE_FINDINGS, Example, lint

ROUNDS = ["is it red? no", "is it old? no", "Is it red? yes"]


@pytest.fixture
def differences(tmp_path):
    def differences(here, there):
        """The report on a file against a reference; a dialog is (image, texts) or (image, texts, id)."""
        for name, dialogs in (("here.json", here), ("there.json", there)):
            items = [dict(zip(("img", "dialog", "id"), dialog, strict=False)) for dialog in dialogs]
            (tmp_path / name).write_text(json.dumps(items))
        return lint(tmp_path / "here.json", tmp_path / "there.json", rounds=3)

    return differences


def found(report):
    return {kind: report.defects[kind] for kind in REFERENCE_FINDINGS if report.defects[kind]}


def dialog(caption, *rounds):
    return [caption, *(rounds or ROUNDS)]


def test_dialogs_that_only_one_of_the_two_files_has_are_named(differences):
    here = [("c.jpg", dialog("only here")), ("a.jpg", dialog("dog"))]
    report = differences(here, [("a.jpg", dialog("dog")), ("b.jpg", dialog("only there"))])
    assert found(report) == {"missing_dialog": 1, "extra_dialog": 1}
    assert report.examples["missing_dialog"] == [Example("b.jpg", None, "only there")]
    assert report.examples["extra_dialog"] == [Example("c.jpg", None, "only here")]


def test_another_caption_is_found(differences):
    report = differences([("a.jpg", dialog("a dog"))], [("a.jpg", dialog("a cat"))])
    assert found(report) == {"different_caption": 1}
    assert report.examples["different_caption"] == [Example("a.jpg", 0, "a dog")]


def test_dialogs_of_one_image_are_matched_by_their_ids(differences):
    one, two = ("a.jpg", dialog("one"), "1"), ("a.jpg", dialog("two"), "2")
    assert not found(differences([two, one], [one, two]))
    assert found(differences([("a.jpg", dialog("two"), "1"), two], [one, two])) == {"different_caption": 1}


def test_a_dialog_named_twice_is_compared_once(differences):
    twice = [("a.jpg", dialog("dog")), ("a.jpg", dialog("cat"))]
    assert not found(differences(twice, twice[:1]))
    assert not found(differences(twice[:1], twice))


def test_rounds_in_another_order_are_found_whatever_their_answers(differences):
    report = differences(
        [("a.jpg", dialog("dog", "is it OLD ? Answer: yes", "is it red? maybe", "is it red? no"))],
        [("a.jpg", dialog("dog"))],
    )
    assert found(report) == {"reordered_rounds": 1}
    [example] = report.examples["reordered_rounds"]
    assert example == Example("a.jpg", None, "the reference's rounds in the order 2, 1, 3")


@pytest.mark.parametrize(
    "rounds",
    [
        ["is it red? yes", "is it old? yes", "is it red? no"],
        ["is it old? no", "is it red? no", "is it big? no"],
        ["is it old? no", "is it red? no"],
        ["is it old? no", "is it red? no", "is it old? no"],
    ],
)
def test_other_questions_are_not_another_order(differences, rounds):
    assert not found(differences([("a.jpg", dialog("dog", *rounds))], [("a.jpg", dialog("dog"))]))


def test_a_shuffled_copy_of_a_released_file_is_found_out(shared, tmp_path):
    released = shared / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json"
    entries = json.loads(released.read_text())
    random.Random(0).shuffle(entries)
    for entry in entries[:7]:
        caption, *rounds = entry["dialog"]
        entry["dialog"] = [caption, *rounds[1:], rounds[0]]
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(entries[:-2]))
    report = lint(copy, reference=released)
    assert {kind: report.defects[kind] for kind in REFERENCE_FINDINGS} == {
        "missing_dialog": 2,
        "extra_dialog": 0,
        "different_caption": 0,
        "reordered_rounds": 7,
    }
    [example, *_] = report.examples["reordered_rounds"]
    assert example.text == "the reference's rounds in the order 2, 3, 4, 5, 6, 7, 8, 9, 10, 1"
