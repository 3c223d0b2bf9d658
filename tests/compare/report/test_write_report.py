"""The file: whole or not at all, complete without a script, and nothing in it that is not ours."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from compare.report.reports import pictures, two_runs, written

from chatir.compare.report.page import LEFT_OUT, NOTES
from chatir.compare.tables import tables
from chatir.errors import InputError

SVG = b'<svg width="100pt"><metadata><dc:title>Hits &amp; misses</dc:title></metadata></svg>'
VOID = {"meta", "link", "img", "input", "source", "br", "hr"}


class Page(HTMLParser):
    """The elements of a page, its texts, and elements that are left open or closed twice."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open, self.unbalanced = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, text):
        self.texts.append(text)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(tmp_path):
    path = written(two_runs(), tmp_path / "report.html", figures={"hits": (SVG, SVG + b" ")})
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_is_well_formed(page):
    assert (page.open, page.unbalanced) == ([], [])


def test_every_figure_of_the_tables_is_in_the_page_without_a_script(page):
    shown = [table for table in tables(two_runs()) if table.key not in LEFT_OUT]
    cells = [cell.text for table in shown for row in table.rows for cell in row]
    assert len(cells) > 50
    assert set(cells) <= set(page.texts)


def test_verdicts_notes_method_and_provenance_are_in_the_page(page):
    text = "".join(page.texts)
    for told in (": repeats itself less than greedy", "another answerer", "a note", "0" * 64, "greedy.json"):
        assert told in text
    assert text.count("How was tested.") == 1


def test_notes_beyond_the_first_few_are_folded(tmp_path):
    notes = tuple(f"note {number}" for number in range(NOTES + 2))
    text = written(replace(two_runs(), notes=notes), tmp_path / "report.html").read_text(encoding="utf-8")
    before, _, after = text.partition("<summary>2 more notes</summary>")
    assert [note in before for note in notes] == [True] * NOTES + [False] * 2
    assert all(note in after for note in notes[NOTES:])


def test_style_and_script_are_those_that_the_policy_names(tmp_path):
    text = written(two_runs(), tmp_path / "report.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    for inline in re.findall(r"<style>(.*?)</style>|<script type=\"module\">(.*?)</script>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256("".join(inline).encode()).digest()).decode()
        assert f"sha256-{digest}" in policy.replace("&#39;", "'")
    assert "unsafe" not in policy


def test_nothing_is_asked_for_from_elsewhere_and_nothing_is_inline(page):
    for name, attributes in page.elements:
        assert not [attribute for attribute in attributes if attribute.startswith("on") or attribute == "style"], name
        for attribute in ("src", "srcset"):
            assert attributes.get(attribute, "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")


def test_a_figure_has_a_light_and_a_dark_side_and_a_title(page):
    sides = (page.of("img")[0]["src"], page.of("source")[0]["srcset"])
    assert [base64.b64decode(side.partition("base64,")[2]) for side in sides] == [SVG, SVG + b" "]
    assert page.of("source")[0]["media"] == "(prefers-color-scheme: dark)"
    assert page.of("img")[0]["alt"].startswith("Hits & misses")
    assert page.of("img")[0]["width"] == "160"


def test_the_same_comparison_gives_the_same_file(tmp_path):
    comparison = two_runs()
    root = pictures(tmp_path / "images", comparison)
    one, two = (written(comparison, tmp_path / name, images=root).read_bytes() for name in ("one.html", "two.html"))
    assert one == two


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError) as told:
        written(two_runs(), tmp_path / "none" / "report.html")
    assert "report.html" in str(told.value)
    assert "\n" not in str(told.value)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match=r"folder\.html"):
        written(two_runs(), tmp_path / "folder.html")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


def test_what_was_there_stays_if_the_page_cannot_be_made(tmp_path):
    path = written(two_runs(), tmp_path / "report.html")
    before = path.read_bytes()
    comparison = two_runs()
    first, second = comparison.runs
    with pytest.raises(ValueError, match="one order"):
        written(replace(comparison, runs=(first, replace(second, dialogs=second.dialogs[::-1]))), path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_comparison_of_one_run_without_ranks_or_verdicts_has_a_page(tmp_path):
    comparison = two_runs()
    alone = replace(
        comparison, runs=(replace(comparison.runs[0], retrieval={}),), verdicts=(), differences=(), notes=()
    )
    page = Page(written(alone, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert (page.open, page.unbalanced) == ([], [])
    targets = {attributes["href"].removeprefix("#") for attributes in page.of("a")}
    assert targets <= {attributes.get("id") for _, attributes in page.elements}
