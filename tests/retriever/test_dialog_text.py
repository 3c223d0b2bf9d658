"""A dialog's text, and its tokens: joined as the released evaluation joins them, cut as the model demands."""

from __future__ import annotations

from pathlib import Path

import pytest
from retriever import tiny_encoders

from chatir import Dialog, Round
from chatir.errors import InputError
from chatir.retriever.encoders.dialog_text import TextReader, dialog_text
from chatir.storage.files import read_json

DIALOG = Dialog("a.png", "a red heart", (Round("is it big?", "yes"), Round.parse("what color?  red "), Round("no", "")))


def test_caption_and_rounds_are_joined_by_the_separator() -> None:
    assert dialog_text(DIALOG, ", ") == "a red heart, is it big? yes, what color?  red , no"
    assert dialog_text(DIALOG, " [SEP] ") == "a red heart [SEP] is it big? yes [SEP] what color?  red  [SEP] no"
    assert dialog_text(Dialog("a.png", "a red heart"), ", ") == "a red heart"
    assert dialog_text(" as it stands ", ", ") == " as it stands "


def test_released_dialogs_are_read_as_the_released_evaluation_reads_them(shared: Path) -> None:
    for found in read_json(shared / "data/chatir/dialogues/VisDial_v1.0_queries_val.json")[:200]:
        caption, *rounds = found["dialog"]
        dialog = Dialog(found["img"], caption, tuple(map(Round.parse, rounds)))
        assert dialog_text(dialog, ", ") == ", ".join(found["dialog"])


@pytest.mark.parametrize("text", ["a \0 b", "half a \ud83d pair"])
def test_what_no_tokenizer_takes_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="the text holds a"):
        dialog_text(text, ", ")


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader(tiny_encoders.tokenizer(), limit=10)


def of_tokens(reader: TextReader, count: int) -> str:
    """A text of so many tokens, <s> and </s> included."""
    text = " ".join(["a"] * (count - 2))
    assert len(reader.tokenizer(text)["input_ids"]) == count
    return text


def test_a_text_is_cut_where_the_limit_is_and_still_ends_as_texts_do(reader: TextReader) -> None:
    texts = [of_tokens(reader, count) for count in (3, 9, 10, 11, 40)]
    rows = reader.rows(texts)
    assert [len(row) for row in rows] == [3, 9, 10, 10, 10]
    assert all((row[0], row[-1]) == (2, 1) for row in rows)
    assert reader.overlong(texts) == [False, False, False, True, True]


def test_rows_are_padded_to_the_longest_and_the_padding_is_masked(reader: TextReader) -> None:
    ids, mask = reader.padded([(2, 5, 1), (2, 5, 6, 7, 1)])
    assert ids.tolist() == [[2, 5, 1, 0, 0], [2, 5, 6, 7, 1]]
    assert mask is not None
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


def test_without_padding_there_is_no_mask(reader: TextReader) -> None:
    assert reader.padded([(2, 5, 1), (2, 6, 1)])[1] is None


def test_a_tokenizer_s_side_of_padding_is_kept() -> None:
    tokenizer = tiny_encoders.tokenizer()
    tokenizer.padding_side = "left"
    ids, mask = TextReader(tokenizer, 10).padded([(2, 5, 1), (2, 5, 6, 1)])
    assert ids.tolist() == [[0, 2, 5, 1], [2, 5, 6, 1]]
    assert mask is not None
    assert mask.tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]


def test_a_width_is_padded_to_and_not_told(reader: TextReader) -> None:
    wide = TextReader(reader.tokenizer, 10, width=12)
    ids, mask = wide.padded([(2, 5, 1)])
    assert (list(ids.shape), mask, wide.cost((2, 5, 1))) == ([1, 12], None, 12)


def test_many_texts_are_many_rows(reader: TextReader) -> None:
    texts = [f"star {number}" for number in range(2500)]
    assert reader.rows(texts) == [row for text in texts for row in reader.rows([text])]
