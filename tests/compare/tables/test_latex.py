"""That a comparison's LaTeX compiles, fits on a page, and prints what was counted, whatever names hold."""

import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from compare.comparisons import compared, primary, side_by_side
from compare.full_comparison import HOSTILE, PLAIN, full

from chatir.compare.tables import tables
from chatir.compare.tables.latex import as_latex

ONE_COLUMN, TWO_COLUMNS = r"\documentclass{article}", r"\documentclass[twocolumn]{article}"
MOST_OVERFULL = 2.0
"""Points that a line may reach beyond its box: less than anybody sees."""
EVERYTHING = "".join(map(chr, range(0x20, 0x7F)))
LIGATURES = {0x1B: "ff", 0x1C: "fi", 0x1D: "fl", 0x1E: "ffi", 0x1F: "ffl", 0x84: "†"}
"""By their places in the fonts of the T1 encoding, and of TS1."""

needs_latex = pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")


def compile_(folder, comparison, kind=ONE_COLUMN, everything=True):
    """The log of pdflatex, which made the document without an error."""
    body = as_latex(comparison, everything=everything)
    source = "\n".join(
        [
            kind,
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{booktabs,graphicx}",
            r"\begin{document}",
            body,
            r"\end{document}",
        ]
    )
    (folder / "paper.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace")
    errors = [line for line in done.stdout.splitlines() if line.startswith("!")]
    assert (done.returncode, errors) == (0, [])
    return done.stdout


def printed(folder):
    """The text of the document, its words single-spaced."""
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext is not installed")
    command = ["pdftotext", "-layout", "-enc", "UTF-8", "paper.pdf", "-"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=True)
    return " ".join(done.stdout.translate(LIGATURES).split())


@needs_latex
@pytest.mark.parametrize("kind", [ONE_COLUMN, TWO_COLUMNS])
@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_it_compiles_and_everything_is_on_the_page(tmp_path, names, kind):
    log = compile_(tmp_path, full(names), kind)
    overfull = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert [points for points in overfull if points > MOST_OVERFULL] == []
    assert "Float too large" not in log


@needs_latex
def test_figures_names_and_marks_are_printed_as_they_are(tmp_path):
    made = full(PLAIN)
    compile_(tmp_path, made)
    text = printed(tmp_path)
    assert "ChatGPT_BLIP2" in text
    assert "Human_BLIP2 (baseline)" in text
    assert "[−0.375, +0.125]" in text  # noqa: RUF001 - a true minus
    for title in (table.title for table in tables(made)):
        assert f"{title}." in text


@needs_latex
def test_every_ascii_character_is_printed(tmp_path):
    """In pieces, because a long one would be folded; and where a row's end would take it for an option."""
    pieces = ["[3pt]", "*x", *(EVERYTHING[start : start + 8].strip() for start in range(0, len(EVERYTHING), 8))]
    made = side_by_side(compared("A"), *(compared(piece) for piece in pieces))
    compile_(tmp_path, replace(made, differences=()))
    text = printed(tmp_path).replace("’", "'").replace("‘", "`")  # noqa: RUF001
    times = text.count("A (baseline)")
    assert times >= 4
    assert [piece for piece in pieces if text.count(piece) < times] == []


@needs_latex
def test_more_rows_than_a_page_has_go_on_on_the_next(tmp_path):
    runs = [compared(f"run number {number}", dialogs=compared("A").dialogs) for number in range(40)]
    made = side_by_side(*runs, differences=[one for run in runs[1:] for one in primary(runs[0].name, run.name)])
    log = compile_(tmp_path, made)
    assert "Float too large" not in log
    text = printed(tmp_path)
    assert "Primary differences from run number 0 (baseline), continued." in text
    assert text.count("run number 39") == as_latex(made, everything=True).count("run number 39") >= 8


@needs_latex
@pytest.mark.parametrize("names", [PLAIN, HOSTILE])
def test_unless_all_is_asked_for_there_is_one_table_that_fits_a_page_of_two_columns(tmp_path, names):
    log = compile_(tmp_path, full(names), TWO_COLUMNS, everything=False)
    assert [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)] == []
    text = as_latex(full(names))
    assert text.count(r"\caption") == 1
    assert "Method." not in text
    assert "Tested by flipping" in as_latex(full(names), method=True)


@needs_latex
def test_the_summary_says_what_is_decided_by_daggers(tmp_path):
    held = [replace(one, withheld="gate") if one.metric == "bri" else one for one in primary("A", "B")]
    made = side_by_side(compared("A"), compared("B", seed=1), differences=held)
    first, second = made.summaries
    second = replace(second, estimates=tuple(replace(one, between_seeds=0.5) for one in second.estimates))
    compile_(tmp_path, replace(made, summaries=(first, second)), everything=False)
    text = printed(tmp_path)
    assert re.search(r"A \(baseline\) .* 4\.0 3\.000 \[1\.5, 6\.0\] B ", text)
    assert re.search(r"± 0\.5 \[\d+, \d+\] ?† ?4\.0 3\.000 ± 0\.500 \[1\.5, 6\.0\] ?‡", text)
    assert "‡: differs over all rounds, but round by round neither is shown to rank targets better" in text
    assert "decision" not in text


def test_every_table_has_a_caption_and_a_label_of_its_own():
    made = full(PLAIN)
    labels = re.findall(r"\\label\{(.*?)\}", as_latex(made, everything=True))
    assert labels == [f"tab:chatir-{table.key}" for table in tables(made)]
    assert (
        as_latex(made, everything=True).count(r"\begin{table*}")
        == as_latex(made, everything=True).count(r"\caption{")
        == len(labels)
    )


def test_captions_tell_what_was_measured_and_how_it_was_tested():
    captions = re.findall(r"\\caption\{(.*)\}", as_latex(full(PLAIN), everything=True))
    assert captions[0].startswith("Summary. 12 images, 4 rounds a dialog. Ranked by CLIP in 1,000 images.")
    assert "BRI, repeats by the paired sign-{}flip permutation test" in captions[0]
    assert "of the corpus in the 10 best so far" in captions[0]
    assert captions[1].startswith("Repetition. 12 images, 4 rounds a dialog. A question repeats")
    assert "; $\\downarrow$: lower is better" in captions[1]
    assert not any("flipping" in caption for caption in captions)
    assert r"\paragraph{Method.} Tested by flipping signs; B = 9,999." in as_latex(full(PLAIN), everything=True)


def test_what_is_best_is_bold_and_a_mark_takes_no_room():
    made = side_by_side(compared("A", seed=1), compared("B", seed=3))
    told = replace(made, differences=tuple(primary("A", "B")))
    bold = {cell.text for table in tables(told) for row in table.rows for cell in row if cell.best}
    assert bold
    assert set(re.findall(r"\\textbf\{([\d.]+)\}", as_latex(told, everything=True))) == bold
    assert r"\rlap{\textsuperscript{\textdagger{}}}" in as_latex(told, everything=True)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [("a_b%$#&{}", r"a\_b\%\$\#\&\{\}"), ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
     ("<|>", r"\textless{}\textbar{}\textgreater{}"), ("a--b", "a-{}-{}b"), ("é—ž", "é—ž"), ("名", "{[}U+540D]"),
     ("a\nb\x1b", r"a\textbackslash{}nb\textbackslash{}x1b")],
)  # fmt: skip
def test_a_name_is_only_ever_text(name, escaped):
    assert f"\n{escaped} (baseline) & " in as_latex(side_by_side(compared(name)), everything=True)


def test_packages_are_told():
    assert as_latex(side_by_side(compared("A"))).startswith(r"% \usepackage{booktabs,graphicx}")
