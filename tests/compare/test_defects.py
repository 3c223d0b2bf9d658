import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatir.measures.defects import DEFECTS, round_defects

CLEAN = dict.fromkeys(DEFECTS, 0)


@pytest.mark.parametrize(
    ("text", "defects"),
    [
        ("is it sunny? yes", []),
        ("is it sunny?yes", []),
        ("what is the answer? to eat", []),
        ("is it sunny yes", ["missing_question_mark"]),
        ("", ["missing_question_mark", "empty_question"]),
        (" \n", ["missing_question_mark", "empty_question"]),
        ("what color is the pizza? Answer: white red and white", ["leaked_label"]),
        ("QUESTION : what color is it? white", ["leaked_label"]),
        ("is it sunny? yes\nquestion:", ["leaked_label"]),
        ("is the questionanswer: odd? yes", []),
        ("What is the weather like? Is it sunny or cloudy? sunny", ["multiple_question_marks"]),
        ("is it sunny?? yes", ["multiple_question_marks"]),
        ("? yes", ["empty_question"]),
        (" ?? yes", ["multiple_question_marks", "empty_question"]),
        ("is it sunny?", ["empty_answer"]),
        ("is it sunny? \t\n", ["empty_answer"]),
        ("?", ["empty_question", "empty_answer"]),
        ("Answer: yes", ["missing_question_mark", "leaked_label"]),
        ("is it sunny? I'm sorry, but I can't view images.", ["soft_refusal"]),
        ("I'm sorry, but I can't view images.", ["missing_question_mark", "soft_refusal"]),
        ("As an AI, I see no image. What is on it? a dog", ["soft_refusal"]),
        ("is it sunny? i can't tell", []),
    ],
)
def test_a_round_has_these_defects(text, defects):
    assert round_defects(text) == defects


@given(st.text(alphabet="a ?:\n", max_size=8) | st.text())
def test_each_kind_is_told_once_and_in_order(text):
    defects = round_defects(text)
    assert defects == [kind for kind in DEFECTS if kind in defects]
    assert ("missing_question_mark" in defects) == ("?" not in text)
    assert not {"missing_question_mark", "empty_answer"} <= set(defects)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VisDial_v1.0_queries_val", {}),
        ("ChatGPT_BLIP2", {"leaked_label": 151, "multiple_question_marks": 140, "empty_answer": 1, "soft_refusal": 7}),
        (
            "FLAN_ALPACA_XXL_BLIP2",
            {
                "missing_question_mark": 55,
                "leaked_label": 13_547,
                "multiple_question_marks": 1155,
                "empty_answer": 431,
            },
        ),
    ],
)
def test_the_released_files_have_their_known_defects(shared, name, expected):
    entries = json.loads((shared / "data" / "chatir" / "dialogues" / f"{name}.json").read_text())
    rounds = [text for entry in entries for text in entry["dialog"][1:]]
    assert len(rounds) == 20_640
    assert CLEAN | Counter(kind for text in rounds for kind in round_defects(text)) == CLEAN | expected
