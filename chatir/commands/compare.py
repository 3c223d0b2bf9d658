"""`chatir compare`: hold runs against each other."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatir.commands.arguments import FILE, check_folder, cutoff_option, format_option
from chatir.commands.completing import measures
from chatir.console import note, say, shown_progress
from chatir.errors import InputError

if TYPE_CHECKING:
    from chatir.compare.comparison import Comparison


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE|DIR...")
@click.option(
    "--baseline",
    metavar="NAME",
    help="The run that the others are held against: its name as the table shows it, or its file. [default: the first "
    "file]",
)
@click.option("--all-pairs", is_flag=True, help="Test every pair of runs, not only those with the baseline.")
@cutoff_option("COMPARE", "1,5,10", more="; 10, which verdicts are about, is always among them")
@click.option(
    "--near-duplicates",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="COSINE",
    help="Count questions too that mean about what an earlier one of their dialog means: whose sentence embeddings "
    "(all-MiniLM-L6-v2) have this cosine at least; from 0.95 on, most are rewordings.",
)
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Show the N dialogs of each run that repeat most.",
)
@click.option(
    "--measures",
    "names",
    metavar="NAME[,NAME...]",
    shell_complete=measures,
    help="Measures to print, by their names in JSON, such as hits@10,bri. Figures and report hold all. [default: all]",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Print every table and note; the formats json, csv and markdown always hold them.",
)
@click.option("--method", is_flag=True, help="Print how it was tested; json and markdown always hold it.")
@format_option("COMPARE", "table", "json", "csv", "markdown", "latex")
@click.option("--figures", type=FILE, metavar="DIR", help="Folder to draw figures into, each as PDF, SVG and PNG.")
@click.option(
    "--report", type=FILE, metavar="FILE.html", help="Page to write for a browser: summary, dialogs, figures, tables."
)
@click.option(
    "--images",
    type=FILE,
    metavar="DIR",
    help="Folder of the images, for the report. [default: what 'chatir fetch images' brought]",
)
@click.option(
    "--thumbnails",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="N",
    help="Targets of which the report shows the best images after each round: those whose ranks change or differ most.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Seed of all resampling."
)
def compare(
    files: tuple[Path, ...],
    baseline: str | None,
    all_pairs: bool,
    ks: list[int],
    near_duplicates: float | None,
    worst: int,
    names: str | None,
    everything: bool,
    method: bool,
    form: str,
    figures: Path | None,
    report: Path | None,
    images: Path | None,
    thumbnails: int,
    seed: int,
) -> None:
    """Say who asks better, and how sure one can be.

    Dialogue files are held against one of them, over the images and rounds that all have: what they repeat and say,
    what is wrong with their texts, how their targets were ranked (by 'chatir score', from the run file beside each),
    and how their answers agree. Runs that differ in their seed only are taken together. A verdict is about the
    questioners only where targets, answerer and settings are the same, as the run files tell; else it names what
    differs. A table prints the primary figures and the verdicts; --all and --method print the rest.

    A folder stands for the dialogue files in it. Of several files, as outputs/* names them, those that are no dialogue
    files are skipped, and a note says so; a damaged dialogue file is an error.
    """
    from chatir.compare import compare as compare_files
    from chatir.compare.chosen_measures import check_measures, only_measures
    from chatir.compare.summary_words import PRIMARY
    from chatir.measures.names import PRIMARY_K

    check_folder(images)
    _check_outputs(files, figures, report)
    chosen = [name.strip() for name in names.split(",")] if names is not None else []
    check_measures(chosen, [*ks, PRIMARY_K])
    with shown_progress(sys.stderr) as progress:
        comparison = compare_files(
            files,
            baseline=baseline,
            ks=ks,
            all_pairs=all_pairs,
            near_duplicates=near_duplicates,
            worst=worst,
            seed=seed,
            report=progress,
        )
    if figures is not None:
        from chatir.compare.figures import save_figures

        paths = save_figures(comparison, figures)
        note(f"{len(paths)} files of figures in {figures}")
    if report is not None:
        _write_report(comparison, report, images, thumbnails)
    if names is not None:
        comparison = only_measures(comparison, chosen)
    each_run = not set(chosen) <= set(PRIMARY)
    say(_printed(comparison, form, everything=everything, each_run=each_run, method=method))


def _check_outputs(files: tuple[Path, ...], figures: Path | None, report: Path | None) -> None:
    """Raise InputError for what cannot be written, before anything is computed."""
    if figures is not None and figures.exists() and not figures.is_dir():
        raise InputError(f"--figures {figures}: is no folder")
    if report is None:
        return
    if report.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--report {report}: a page needs a name that ends in .html")
    if report.is_dir():
        raise InputError(f"--report {report}: is a folder, but a file is to be written there")
    if not report.parent.is_dir():
        raise InputError(f"--report {report}: there is no folder {report.parent}")


def _write_report(comparison: Comparison, path: Path, images: Path | None, thumbnails: int) -> None:
    from chatir.compare.figures import svg_figures
    from chatir.compare.report import write_report
    from chatir.datasets.data_folder import default_images

    light, dark = svg_figures(comparison, "light"), svg_figures(comparison, "dark")
    figures = {name: (light[name], dark[name]) for name in light}
    root = images or default_images()
    write_report(comparison, path, figures=figures, images=root, thumbnails=thumbnails, note=note)
    note(f"the report is in {path}")


def _printed(comparison: Comparison, form: str, **parts: bool) -> str:
    """The comparison as it is asked for; parts: of `as_text` and `as_latex`."""
    import json

    if form == "json":
        from chatir.compare.comparison_json import as_json

        return json.dumps(as_json(comparison), indent=2)
    if form == "markdown":
        from chatir.compare.tables.markdown import as_markdown

        return as_markdown(comparison).removesuffix("\n")
    if form in ("latex", "csv"):
        for line in comparison.notes:
            note(line)
    if form == "latex":
        from chatir.compare.tables.latex import as_latex

        return as_latex(comparison, **parts).removesuffix("\n")
    if form == "csv":
        from chatir.compare.tables.frames import as_csv

        return as_csv(comparison).removesuffix("\n")
    from chatir.compare.tables.terminal import as_text

    if sys.stdout is None or not sys.stdout.isatty():
        return as_text(comparison, width=None, color=False, **parts)
    width, color = shutil.get_terminal_size().columns, "NO_COLOR" not in os.environ
    return as_text(comparison, width=width, color=color, **parts)
