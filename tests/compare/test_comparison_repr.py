"""What a notebook shows of a comparison: its extent, and a line for each verdict."""

from __future__ import annotations

from pathlib import Path

from compare.made_runs import made_run, named, same_question

from chatir.compare import compare
from chatir.simulate import write_dialogs


def test_a_comparison_is_shown_in_a_line_for_each_verdict(tmp_path: Path) -> None:
    files = [made_run(tmp_path, name, targets=12, ask=same_question) for name in ("A", "B", "C")]
    comparison = compare(files, baseline="B")
    head, *lines = repr(comparison).splitlines()
    assert head == "Comparison of 3 runs (A, B, C): 12 images, 3 rounds, baseline B"
    assert lines == [f"  {verdict.sentence}" for verdict in comparison.verdicts]
    assert len(lines) == 2


def test_many_runs_are_counted_and_no_name_is_obeyed(tmp_path: Path) -> None:
    files = [tmp_path / f"\x1b[31m{number}.json" for number in range(8)]
    for file in files:
        write_dialogs(file, named(2))
    told = repr(compare(files))
    assert "\x1b" not in told
    assert "\\x1b[31m5 and 2 more)" in told
    assert len(told.splitlines()) == 8
