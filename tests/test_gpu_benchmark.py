"""`make bench-gpu`: with models of no size, each of its parts runs on any machine, and what fails is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as bench
from benchmarks.gpu.common import Bench, Row


@pytest.mark.slow
def test_each_part_runs_and_what_recovers_gives_the_same_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    assert bench.main(["--tiny", "--json", str(file)]) == 0, capsys.readouterr().out
    printed = capsys.readouterr().out
    lines = json.loads(file.read_text())["lines"]
    assert {line["part"] for line in lines} == {*bench.PARTS}
    assert all(line["row"]["what"] in printed and line["row"]["figure"] > 0 for line in lines)
    few, whole, full, after = (line["row"]["beside"] for line in lines if line["part"] == "recovery")
    assert int(few.split()[0]) > 1, "answers that are all alike show nothing"
    assert "0 of 8 answers differ; no notes" in whole
    assert "0 of 8 answers differ; " in full
    assert "out of memory; 4 at once" in full
    assert "0 of 8 answers differ; " in after
    assert "8 at once again" in after


def test_a_part_that_fails_is_told_and_takes_no_other_along(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Bench) -> Iterator[Row]:
        yield Row("before it", 2.5, "s")
        raise ValueError("no luck\nand more")

    def works(_: Bench) -> Iterator[Row]:
        yield Row("done", 12345.6, "texts/s")

    monkeypatch.setattr(bench, "PARTS", {"one": bench.Part(fails, 1), "two": bench.Part(works, 1)})
    assert bench.main(["--tiny"]) == 1
    _, _, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert rows == [["one", "before", "it", "2.5000", "s"], ["one", "failed:", "ValueError:", "no", "luck"],
                    ["two", "done", "12,345.6", "texts/s"]]  # fmt: skip
    assert bench.main(["--tiny", "--only", "two"]) == 0


def test_a_part_that_does_not_fit_the_card_is_told_and_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "cards", lambda: range(1))
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda *_: (8 * 10**9, 8 * 10**9))
    (line,) = bench.lines("together", bench.PARTS["together"], Bench(Path("nowhere"), tiny=False))
    assert line.told.startswith("does not fit: takes about 19 GB")
    assert not line.failed


def test_a_table_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--tiny", "--json", str(tmp_path / "no" / "bench.json")])
    assert "there is no such folder" in capsys.readouterr().err


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if bench.cards():
        pytest.skip("there is a GPU")
    assert bench.main([]) == 0
    assert capsys.readouterr().out.startswith("there is no GPU: nothing is measured")
