import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.datasets.dialogue_json import write_dialogs
from chatir.datasets.lint import FINDINGS, REFERENCE_FINDINGS, Example, lint
from chatir.dialog import Dialog, Round
from chatir.errors import InputError
from chatir.measures.defects import DEFECTS

CAPTION = "a dog on a beach"
ROUNDS = [f"is it number {n}? no, {n + 1}" for n in range(10)]


@pytest.fixture
def write(tmp_path):
    def write(*dialogs, name="dialogs.json"):
        """Write a dialogue file; a dialog is (image, texts) or (image, texts, id)."""
        path = tmp_path / name
        items = [dict(zip(("img", "dialog", "id"), dialog, strict=False)) for dialog in dialogs]
        path.write_text(json.dumps(items))
        return path

    return write


def found(report):
    return {kind: count for kind, count in report.defects.items() if count}


def dialog(caption=CAPTION, **changed):
    """A clean dialog, but for the rounds given as r1, r2, ..."""
    texts = [caption, *ROUNDS]
    for name, text in changed.items():
        texts[int(name[1:])] = text
    return texts


def test_a_clean_file_has_every_kind_at_zero_and_no_example(write):
    path = write(("a.jpg", dialog()), ("b.jpg", dialog()))
    report = lint(path)
    assert report.as_json() == {
        "file": str(path),
        "dialogs": 2,
        "rounds": 20,
        "defects": dict.fromkeys(DEFECTS + FINDINGS, 0),
        "examples": {},
    }
    assert tuple(lint(path, reference=path).defects) == DEFECTS + FINDINGS + REFERENCE_FINDINGS


def test_the_file_is_named_as_it_was_typed(write, monkeypatch):
    monkeypatch.chdir(write(("a.jpg", dialog())).parent)
    assert lint("./dialogs.json").file == "./dialogs.json"


def test_defects_of_rounds_come_with_image_round_and_whole_text(write):
    long = "is it sunny? Answer: " + "yes " * 100 + "yes"
    report = lint(write(("a.jpg", dialog(r3=long, r7="is it")), ("b.jpg", dialog("no mark; answer: 1"))))
    assert found(report) == {"leaked_label": 1, "missing_question_mark": 1}
    assert report.as_json()["examples"] == {
        "missing_question_mark": [{"img": "a.jpg", "round": 7, "text": "is it"}],
        "leaked_label": [{"img": "a.jpg", "round": 3, "text": long}],
    }


def test_only_the_first_three_examples_are_kept(write):
    report = lint(write(("a.jpg", [CAPTION, *["is it?"] * 10])))
    assert report.defects["empty_answer"] == 10
    assert [example.round for example in report.examples["empty_answer"]] == [1, 2, 3]


def test_the_number_of_rounds_is_told(write):
    path = write(("a.jpg", dialog()[:10]), ("b.jpg", dialog()[:2]), ("c.jpg", dialog()))
    report = lint(path)
    assert (report.dialogs, report.rounds) == (3, 20)
    assert report.examples["wrong_round_count"] == [
        Example("a.jpg", None, "9 rounds instead of 10"),
        Example("b.jpg", None, "1 round instead of 10"),
    ]
    assert lint(path, rounds=9).defects["wrong_round_count"] == 2


def test_an_image_named_twice_is_found_unless_ids_tell_its_dialogs_apart(write):
    report = lint(write(("a.jpg", dialog()), ("b.jpg", dialog()), ("a.jpg", dialog()), ("a.jpg", dialog())))
    assert found(report) == {"duplicate_image": 2}
    [example, _] = report.examples["duplicate_image"]
    assert example == Example("a.jpg", None, "'a.jpg' is named again at entry 2, first at entry 0")
    assert not found(lint(write(("a.jpg", dialog(), "1"), ("a.jpg", dialog(), "2"))))
    assert found(lint(write(("a.jpg", dialog(), "1"), ("b.jpg", dialog(), "1")))) == {"duplicate_image": 1}


def test_an_image_is_named_twice_however_its_path_is_written(write):
    report = lint(
        write(("b/a.jpg", dialog()), ("b\\.\\a.jpg", dialog()), ("caf\u00e9", dialog()), ("cafe\u0301", dialog()))
    )
    assert found(report) == {"duplicate_image": 2}
    reference = write(("./b/a.jpg", dialog()), ("cafe\u0301", dialog()), name="reference.json")
    report = lint(write(("b/a.jpg", dialog()), ("caf\u00e9", dialog())), reference=reference)
    assert not found(report)


def test_empty_captions_and_ids_are_found(write):
    report = lint(write(("a.jpg", dialog("")), ("b.jpg", dialog(), ""), ("c.jpg", dialog(" "), "c")))
    assert found(report) == {"empty_caption": 2, "empty_id": 1, "odd_spacing": 1}
    assert report.examples["empty_caption"][0] == Example("a.jpg", 0, "")
    assert report.examples["empty_id"] == [Example("b.jpg", None, "its id is empty")]


@pytest.mark.parametrize("image", ["", "/a.jpg", "../a.jpg", "C:\\a.jpg", "a\x1b[2J.jpg"])
def test_an_image_path_that_cannot_be_used_is_found(write, image):
    report = lint(write((image, dialog())))
    assert found(report) == {"malformed_image": 1}
    assert report.examples["malformed_image"][0].img == image


CONTROL, SPACING = "control_characters", "odd_spacing"


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("a dog", []),
        ("un café à côté, 犬 🐕", []),
        ("a\u00a0dog", []),
        ("a\ndog", [CONTROL]),
        ("a\tdog", [CONTROL]),
        ("a \n dog", [CONTROL]),
        ("a dog\n", [CONTROL]),
        ("\n\n", [CONTROL]),
        ("a \x1b[31mred dog", [CONTROL]),
        ("a\u202edog", [CONTROL]),
        ("\ufeffa dog", [CONTROL]),
        ("a\u2028dog", [CONTROL]),
        (" a dog", [SPACING]),
        ("a dog ", [SPACING]),
        ("a  dog", [SPACING]),
        ("a \u00a0dog", [SPACING]),
        ("a dog \n", [CONTROL, SPACING]),
        ("\ta  dog", [CONTROL, SPACING]),
    ],
)
def test_characters_and_spacing_are_told_apart_in_captions_and_rounds(write, text, kinds):
    assert [kind for kind in found(lint(write(("a.jpg", dialog(text))))) if kind != "empty_caption"] == kinds
    report = lint(write(("a.jpg", dialog(r5=text))))
    assert [kind for kind in found(report) if kind in (CONTROL, SPACING)] == kinds
    assert all(report.examples[kind] == [Example("a.jpg", 5, text)] for kind in kinds)


def test_what_is_no_dialogue_file_is_refused(tmp_path, write):
    path = tmp_path / "odd.json"
    path.write_text('[{"img": "a.jpg", "dialog": ["a dog", 3]}]')
    with pytest.raises(InputError, match=r"odd\.json: entry 0 .*round 1 is a number"):
        lint(path)
    with pytest.raises(InputError, match=r"odd\.json"):
        lint(write(("a.jpg", dialog())), reference=path)


WORDS = st.text("abcé犬", min_size=1, max_size=5)
WELL_FORMED = st.builds(lambda question, answer: Round(f"{question}?", answer), WORDS, WORDS)


@given(st.lists(st.tuples(WORDS, st.lists(WELL_FORMED, min_size=10, max_size=10)), max_size=4))
def test_what_we_write_has_no_findings(tmp_path_factory, dialogs):
    path = tmp_path_factory.mktemp("lint") / "dialogs.json"
    write_dialogs(path, [Dialog(f"{n}.jpg", caption, tuple(rounds)) for n, (caption, rounds) in enumerate(dialogs)])
    assert not found(lint(path, reference=path))


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ANY_DIALOG = st.tuples(ANY_TEXT, st.lists(ANY_TEXT | st.text("? \n:", max_size=4), min_size=1, max_size=4))


@given(st.lists(ANY_DIALOG, max_size=5), st.lists(ANY_DIALOG, max_size=5))
def test_counts_stay_within_the_file(tmp_path_factory, dialogs, others):
    folder = tmp_path_factory.mktemp("lint")
    path, reference = folder / "here.json", folder / "there.json"
    for file, items in ((path, dialogs), (reference, others)):
        file.write_text(json.dumps([{"img": img, "dialog": texts} for img, texts in items]))
    report = lint(path, reference)
    counts = report.defects
    assert all(counts[kind] <= report.rounds for kind in DEFECTS)
    assert all(counts[kind] <= report.rounds + report.dialogs for kind in FINDINGS)
    assert counts["missing_dialog"] <= len(others)
    assert all(len(report.examples.get(kind, [])) == min(3, count) for kind, count in counts.items())


def test_released_files_have_only_the_findings_known_of_them(shared):
    folder = shared / "data" / "chatir" / "dialogues"
    people, chatgpt, flan = (
        found(lint(folder / f"{name}.json"))
        for name in ("VisDial_v1.0_queries_val", "ChatGPT_BLIP2", "FLAN_ALPACA_XXL_BLIP2")
    )
    assert people == {"odd_spacing": 22}
    assert chatgpt == {
        "leaked_label": 151,
        "multiple_question_marks": 140,
        "empty_answer": 1,
        "soft_refusal": 7,
        "control_characters": 151,
        "odd_spacing": 3,
    }
    assert flan == {
        "missing_question_mark": 55,
        "leaked_label": 13_547,
        "multiple_question_marks": 1155,
        "empty_answer": 431,
        "odd_spacing": 213,
    }
