"""What a Markdown reader makes of a comparison: the tables as they are, and nothing that a file has smuggled in."""

from dataclasses import replace

import pytest
from compare.comparisons import compared, side_by_side
from compare.full_comparison import HOSTILE, PLAIN, full
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from chatir.compare.comparison import Verdict
from chatir.compare.tables import tables
from chatir.compare.tables.markdown import as_markdown
from chatir.console import printable

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MEANT = {"text", "strong_open", "strong_close", "text_special"}
"""What may stand in a line."""


def read(comparison):
    return READER.parse(as_markdown(comparison))


def plain(inline):
    return "".join(child.content for child in inline.children)


def single_spaced(text):
    return " ".join(printable(text).split())


def lines_of(tokens, opening):
    """What the reader shows of each block of a kind."""
    return [plain(tokens[place + 1]) for place, token in enumerate(tokens) if token.type == opening]


def items_of(tokens):
    return [plain(tokens[place + 2]) for place, token in enumerate(tokens) if token.type == "list_item_open"]


@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_a_reader_finds_every_cell_where_it_belongs(names):
    made = full(names)
    cells = [single_spaced(text) for text in lines_of(read(made), "td_open")]
    assert cells == [
        single_spaced(cell.text + cell.mark) for table in tables(made) for row in table.rows for cell in row
    ]


def test_heads_tell_direction_and_unit():
    heads = every = lines_of(read(full(PLAIN)), "th_open")
    assert heads[:4] == ["run", "retriever", "repeats ↓ (per dialog)", "Hits@10 ↑ (%, round 4)"]
    heads = heads[7:]
    assert heads[:4] == ["run", "repeats ↓ (per dialog)", "exact repeats ↓ (per dialog)", "dialogs with repeats ↓ (%)"]
    assert len(every) == sum(len(table.columns) for table in tables(full(PLAIN)))


def test_figures_stand_to_the_right_and_names_to_the_left():
    styles = [token.attrs["style"].split(":")[1] for token in read(full(PLAIN)) if token.type == "th_open"]
    numeric = [one.numeric for table in tables(full(PLAIN)) for one in table.columns]
    assert styles == ["right" if one else "left" for one in numeric]


@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_just_what_is_best_is_bold(names):
    made = full(names)
    tokens = read(made)
    cells = [tokens[place + 1].children for place, token in enumerate(tokens) if token.type == "td_open"]
    bold = [any(child.type == "strong_open" for child in children) for children in cells]
    assert bold == [cell.best for table in tables(made) for row in table.rows for cell in row]
    assert any(bold)


def test_names_and_texts_are_only_ever_text():
    tokens = read(full())
    assert {token.type for token in tokens} & {"html_block", "code_block", "fence", "hr"} == set()
    children = {child.type for token in tokens for child in token.children or ()}
    assert children <= MEANT


def test_every_table_has_its_title_what_it_measures_and_its_marks():
    made = full()
    tokens = read(made)
    paragraphs = {single_spaced(text) for text in lines_of(tokens, "paragraph_open")}
    assert lines_of(tokens, "heading_open")[1:] == [single_spaced(table.title) for table in tables(made)]
    for table in tables(made):
        assert single_spaced(table.about) in paragraphs
        assert not table.marks or "; ".join(map(str, table.marks)) in paragraphs


def test_verdicts_come_first_then_tables_then_notes_and_method():
    text = as_markdown(full(PLAIN))
    parts = (
        "- ChatGPT\\_BLIP2 finds more",
        "### Repetition",
        "### Failed",
        "was left out of",
        "\n\nTested by flipping",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert text.endswith("9,999.\n")


@pytest.mark.parametrize(
    "sentence",
    ["# head", "1. one", "12) one", "- item", "+ item", "> quote", "    code", "===", "---", "* * *", "~~~", "```",
     "[a]: b", "| a | b |\n| - | - |", "<br>", "&amp;", "![a](b)", "[a](b)", "**a**", "a  \nb", "\\", "a\\", "\\*a\\*",
     "\\<br>", "$a$"],
)  # fmt: skip
def test_what_begins_a_block_or_a_span_elsewhere_is_text_here(sentence):
    made = replace(
        side_by_side(compared("A")),
        verdicts=(Verdict("A", "B", "runs", (), sentence),),
        method=sentence,
        notes=(sentence,),
    )
    tokens = read(made)
    shown = printable(sentence).strip()
    assert items_of(tokens) == [shown, shown]
    assert lines_of(tokens, "paragraph_open")[-1] == shown


@pytest.mark.parametrize("link", ["https://evil.example/x", "www.evil.example", "mailto:a@b.example"])
def test_no_address_becomes_a_link(link):
    """GitHub makes links of bare addresses; a backslash within one stops it."""
    text = as_markdown(side_by_side(compared(link)))
    assert link not in text
    assert f"{link} (baseline)" in lines_of(read(side_by_side(compared(link))), "td_open")


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_any_text_is_read_as_it_stands(name, sentence):
    made = side_by_side(compared(name), compared("B"))
    tokens = read(replace(made, method=f"{sentence}.", notes=(f"{name}{sentence}.",)))
    assert single_spaced(lines_of(tokens, "td_open")[0]) == single_spaced(name)
    assert single_spaced(lines_of(tokens, "paragraph_open")[-1]) == single_spaced(f"{sentence}.")
    assert single_spaced(items_of(tokens)[-1]) == single_spaced(f"{name}{sentence}.")
