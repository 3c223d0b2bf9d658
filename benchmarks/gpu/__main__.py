"""What chatir does on a GPU, in one table: how fast, against which reference, and in how much memory.

Models of true size with random weights, made here: nothing is downloaded, and about 17 GB are written to the temporary
folder (TMPDIR). A part that fails is a row that says so, and the exit code is 1; the others are measured all the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.gpu.answering import answers
from benchmarks.gpu.common import Bench, Row, cards, free
from benchmarks.gpu.encoding import encoding
from benchmarks.gpu.questioning import questions
from benchmarks.gpu.ranks import ranks
from benchmarks.gpu.recovery import recovery
from benchmarks.gpu.together import together


@dataclass(frozen=True)
class Part:
    """gb: of memory that the card must have free."""

    rows: Callable[[Bench], Iterator[Row]]
    gb: float


PARTS = {
    "answers-bf16": Part(partial(answers, precision="bf16"), 11),
    "answers-8bit": Part(partial(answers, precision="8bit"), 9),
    "questions": Part(questions, 8),
    "together": Part(together, 19),
    "recovery": Part(recovery, 6),
    "encoding": Part(encoding, 5),
    "ranks": Part(ranks, 5),
}


@dataclass(frozen=True)
class Line:
    """A row of the table with its part; or, without a row, why there is none."""

    part: str
    row: Row | None = None
    told: str = ""
    failed: bool = False


def lines(name: str, part: Part, bench: Bench) -> Iterator[Line]:
    """A part's rows; what it measured before it failed is kept."""
    if cards() and (there := torch.cuda.mem_get_info()[0] / 1e9) < part.gb:
        yield Line(name, told=f"does not fit: takes about {part.gb} GB of memory, and {there:.1f} GB are free")
        return
    try:
        for row in part.rows(bench):
            yield Line(name, row)
    except Exception as error:
        first = [*str(error).splitlines(), ""][0]
        yield Line(name, told=f"failed: {type(error).__name__}: {first}", failed=True)


def table(found: Sequence[Line]) -> Table:
    """The lines as they are printed."""
    shown = Table("part", "what", box=None)
    for name in ("figure", "peak GB", "ratio"):
        shown.add_column(name, justify="right")
    shown.add_column("to")
    for line in found:
        if (row := line.row) is None:
            shown.add_row(line.part, "", "", "", "", line.told)
            continue
        figure = f"{row.figure:,.{1 if row.figure >= 10 else 4}f} {row.unit}"
        peak, ratio = ("" if value is None else f"{value:.2f}" for value in (row.peak_gb, row.ratio))
        shown.add_row(line.part, row.what, figure, peak, ratio, row.beside)
    return shown


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--tiny", action="store_true", help="models of no size, on any machine: tries the script")
    options = parser.parse_args(words)
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json {options.json}: there is no such folder")
    if not cards() and not options.tiny:
        print("there is no GPU: nothing is measured (--tiny tries the script)")
        return 0
    started, found = time.monotonic(), list[Line]()
    with tempfile.TemporaryDirectory(prefix="chatir-bench-") as folder:
        bench = Bench(Path(folder), tiny=options.tiny)
        for name in options.only:
            print(f"{time.monotonic() - started:5.0f} s: {name}", file=sys.stderr, flush=True)
            found += lines(name, PARTS[name], bench)
            free()
    on = [f"{torch.cuda.get_device_name(n)}, {torch.cuda.mem_get_info(n)[1] / 1e9:.0f} GB" for n in cards()] or ["CPU"]
    about = {"devices": on, "torch": str(torch.__version__), "seconds": round(time.monotonic() - started)}
    print(f"{'; '.join(on)}; torch {about['torch']}; {about['seconds']} s" + ("; tiny" if options.tiny else ""))
    Console(width=170, highlight=False).print(table(found))
    if options.json:
        options.json.write_text(json.dumps({**about, "lines": [*map(asdict, found)]}, indent=2))
    return int(any(line.failed for line in found))


if __name__ == "__main__":
    sys.exit(main())
