"""The findings of `lint` as plain text for a terminal: a row for each kind, a column for each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatir.console import aligned
from chatir.datasets.lint import Example, LintReport
from chatir.measures.labels import run_names

FILES_PER_TABLE = 6
WIDTH = 100
"""Characters shown of an image's path and of a text."""


def lint_table(reports: Sequence[LintReport]) -> str:
    """The reports as aligned tables of at most `FILES_PER_TABLE` files, each followed by one example of each finding.

    The files' own characters are shown only where they are printable: no text reaches the terminal as a command.
    """
    names = [_printable(name) for name in run_names([report.file for report in reports])]
    tables = []
    for start in range(0, len(reports), FILES_PER_TABLE):
        part = slice(start, start + FILES_PER_TABLE)
        tables.append("\n".join([*_table(names[part], reports[part]), *_examples(names[part], reports[part])]))
    return "\n\n".join(tables)


def _table(names: Sequence[str], reports: Sequence[LintReport]) -> Iterator[str]:
    kinds = dict.fromkeys(kind for report in reports for kind in report.defects)
    rows = [["", *names]]
    rows.append(["dialogs", *(str(report.dialogs) for report in reports)])
    rows.append(["rounds", *(str(report.rounds) for report in reports)])
    rows += [[kind, *(str(report.defects.get(kind, "-")) for report in reports)] for kind in kinds]
    return aligned(rows)


def _examples(names: Sequence[str], reports: Sequence[LintReport]) -> Iterator[str]:
    for name, report in zip(names, reports, strict=True):
        if report.examples:
            yield f"\n{name}, for example"
        for kind, (example, *_) in report.examples.items():
            yield f"  {kind}: {_example(example)}"


def _example(example: Example) -> str:
    place = "" if example.round is None else f" round {example.round}" if example.round else " caption"
    text = repr(example.text)
    return f"{_cut(_printable(example.img))}{place}: {text[0]}{_cut(text[1:-1])}{text[-1]}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
