"""What the report costs: to write, to open from disk, and to filter, with 2,064 targets and five runs.

The dialogs are the released ones where they are beside the project (of three runs, two more are the rounds of two of
them in another order), else made up; ranks and best images are made up, drawn once with a fixed seed. The page is
opened in headless Chromium without network. A filter's time is from its event to the frame after the list was changed.
Each figure is the median of several. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from chatir.compare.comparing import compare
from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.counted.retrieval import Curve, Retrieval
from chatir.compare.figures import svg_figures
from chatir.compare.report import write_report
from chatir.datasets.dialogue_json import read_dialogs, write_dialogs
from chatir.dialog import Dialog, Round
from chatir.measures.retrieval import best_log_rank_integral
from chatir.run.ranks import Ranking

RELEASED = Path(__file__).parents[2] / "shared" / "data" / "chatir" / "dialogues"
TARGETS, ROUNDS, CORPUS, BEST = 2064, 10, 50_000, 5
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

PAINT = """() => new Promise((done) => {
  const told = () => performance.getEntriesByName("first-contentful-paint")[0];
  if (told()) return done(told().startTime);
  new PerformanceObserver((list, observer) => {
    if (told()) { observer.disconnect(); done(told().startTime); }
  }).observe({ type: "paint", buffered: true });
})"""

USABLE = """new MutationObserver((_, observer) => {
  if (document.querySelector("#list tbody a")) {
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => (window.usable = performance.now())));
  }
}).observe(document, { childList: true, subtree: true });"""

FILTER = """([id, value]) => new Promise((done) => {
  const field = document.getElementById(id);
  const started = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  const computed = performance.now();
  requestAnimationFrame(() => setTimeout(() => done([performance.now() - started, computed - started])));
})"""

FILTERS = {
    "text": [("text", "dog"), ("text", "what color is the"), ("text", "e"), ("text", "")],
    "repeats": [("repeats", "1"), ("repeats", "5"), ("repeats", "0")],
    "rank_change": [("change", "improved"), ("change", "worsened"), ("change", "some"), ("change", "")],
    "sort": [("sort", "apart"), ("sort", "change"), ("sort", "file")],
}


def dialogue_files(folder: Path) -> list[Path]:
    """Five dialogue files over the same images."""
    released = sorted(RELEASED.glob("*.json")) if RELEASED.is_dir() else []
    runs = [read_dialogs(path) for path in released] or made_up()
    runs += [[replace(dialog, rounds=dialog.rounds[::-1]) for dialog in run] for run in runs[:2]]
    files = [folder / f"run{place}.json" for place in range(len(runs))]
    for path, dialogs in zip(files, runs, strict=True):
        write_dialogs(path, dialogs)
    return files


def made_up() -> list[list[Dialog]]:
    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(3000)])

    def text(many: int) -> str:
        return " ".join(random.choice(words, many))

    return [
        [
            Dialog(f"{n:012}.jpg", text(9), [Round(f"{text(7)}?", text(2)) for _ in range(ROUNDS)])
            for n in range(TARGETS)
        ]
        for _ in range(3)
    ]


def ranked(run: ComparedRun, seed: int) -> ComparedRun:
    """The run as if a retriever had ranked it: ranks that fall by chance, and the best images that go with them."""
    random = np.random.default_rng(seed)
    steps = random.normal(-0.25, 0.5, (ROUNDS + 1, len(run.dialogs)))
    steps[0] = np.random.default_rng(9).uniform(0, np.log(CORPUS), len(run.dialogs))
    ranks = np.exp(steps.cumsum(axis=0).clip(0, np.log(CORPUS))).round().astype(np.int64)
    names = [f"unlabeled2017/{number:012}.jpg" for number in range(CORPUS)]
    drawn = random.integers(0, CORPUS, (len(run.dialogs), ROUNDS + 1, BEST))
    top = []
    for dialog, own, rows in zip(run.dialogs, ranks.T, drawn, strict=True):
        best = [[names[number] for number in row] for row in rows]
        for rank, images in zip(own, best, strict=True):
            if rank <= BEST:
                images[rank - 1] = dialog.image
        top.append(tuple(map(tuple, best)))
    mean = ranks.mean(axis=1)
    curves = {"atr": Curve(mean, mean * 0.9, mean * 1.1)}
    found = Retrieval(
        Ranking("CLIP", {}, "0" * 64, CORPUS), ranks, curves, best_log_rank_integral(ranks), None, tuple(top)
    )
    return replace(run, retrieval={"CLIP": found})


def opened(page_file: Path, repetitions: int) -> dict[str, Any]:
    """Milliseconds in Chromium."""
    from playwright.sync_api import sync_playwright

    painted, usable = [], []
    filters: dict[str, list[list[float]]] = {name: [] for name in FILTERS}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for _ in range(repetitions):
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            page.add_init_script(USABLE)
            page.goto(page_file.as_uri())
            page.wait_for_function("() => window.usable")
            painted.append(page.evaluate(PAINT))
            usable.append(page.evaluate("() => window.usable"))
            for name, steps in FILTERS.items():
                filters[name] += [page.evaluate(FILTER, list(step)) for step in steps]
            page.close()
        version = browser.version
        browser.close()
    return {
        "chromium": version,
        "first_paint_ms": median(painted),
        "usable_ms": median(usable),
        "filter_ms": {name: summed([total for total, _ in some]) for name, some in filters.items()},
        "of_it_in_the_script_ms": {name: summed([own for _, own in some]) for name, some in filters.items()},
    }


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def median(values: list[float]) -> float:
    return round(statistics.median(values), 1)


def summed(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "longest": round(max(values), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="where to keep the page")
    options = parser.parse_args()
    if not chromium() or not find_spec("playwright"):
        print("not measured: it takes playwright, and a Chromium in PATH")
        return
    with tempfile.TemporaryDirectory() as folder:
        comparison: Comparison = compare(dialogue_files(Path(folder)))
        runs = tuple(ranked(run, seed) for seed, run in enumerate(comparison.runs))
        comparison = replace(comparison, runs=runs)
        light, dark = svg_figures(comparison, "light"), svg_figures(comparison, "dark")
        figures = {name: (light[name], dark[name]) for name in light}
        page = options.keep or Path(folder, "report.html")
        started = time.perf_counter()
        write_report(comparison, page, figures=figures, images=None, thumbnails=100, note=print)
        seconds = time.perf_counter() - started
        told = {
            "dialogs": "released" if RELEASED.is_dir() else "made up",
            "targets": comparison.images,
            "runs": len(runs),
            "bytes": page.stat().st_size,
            "seconds_to_write": round(seconds, 2),
            **opened(page, options.repetitions),
        }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
