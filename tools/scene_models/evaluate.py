"""Measures the built-in models anew and holds the figures against their model cards.

python -m tools.scene_models.evaluate            # prints the tables; exit code 1 if a card says something else
python -m tools.scene_models.evaluate --write    # writes them into the cards
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

import torch

from chatir.datasets.scenes.language import KINDS
from chatir.models.builtin import checkpoints
from tools.scene_models.measures import BEAMS, ROUNDS, Figures, answer_figures, question_figures, retrieval_figures

SEEDS = (1, 2, 3)
SCENES_TO_ANSWER = 300
SCENES_TO_SEARCH = 1000
SCENES_TO_ASK_ABOUT = 300

BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->"
SAME_WITHIN, REPEATS_WITHIN = 0.5, 0.1
"""Percentages, and repeats, may differ by so much between machines, whose processors round otherwise."""


def answer_table(runs: Sequence[Figures]) -> str:
    """Right answers in percent, by kind of question."""
    rows = [["question about", "all", "about what is there", "unseen wordings"]]
    for kind in ("all", *KINDS):
        columns = [f"{part}/{kind}" for part in ("all", "there", "unseen")]
        name = "everything" if kind == "all" else kind
        rows.append([name, *(_spread(runs, column) if column in runs[0] else "" for column in columns)])
    return _table(rows)


def retrieval_table(runs: Sequence[Figures]) -> str:
    """Recall@10 in percent, round by round."""
    rows = [["round", "this model", "symbolic reader"]]
    for rounds in range(ROUNDS + 1):
        rows.append([str(rounds), _spread(runs, f"clip/{rounds}"), _spread(runs, f"reader/{rounds}")])
    return _table(rows)


def question_table(runs: Sequence[Figures]) -> str:
    """What greedy decoding asks, and what the first unasked of the beams."""
    names = {
        "language": "questions within the language of the scenes, %",
        "repeats": "repeats per dialog",
        **{f"recall {rounds}": f"Recall@10 at round {rounds}, %" for rounds in (0, 5, ROUNDS)},
    }
    rows = [["ten rounds with the built-in answerer", "greedy", f"first unasked of {BEAMS} beams"]]
    for figure, name in names.items():
        rows.append([name, *(_spread(runs, f"{mode}/{figure}", 2) for mode in ("greedy", "unasked"))])
    return _table(rows)


def _spread(runs: Sequence[Figures], name: str, digits: int = 1) -> str:
    values = [run[name] for run in runs]
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"| --- |{' ---: |' * (len(rows[0]) - 1)}", *rest]) + "\n"


def measured(folders: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """The table of each model, as soon as it is measured."""
    yield "blip2", answer_table([answer_figures(folders["blip2"], seed, SCENES_TO_ANSWER) for seed in SEEDS])
    yield "clip", retrieval_table([retrieval_figures(folders["clip"], seed, SCENES_TO_SEARCH) for seed in SEEDS])
    yield (
        "t5",
        question_table([question_figures(folders, seed, SCENES_TO_ASK_ABOUT, SCENES_TO_SEARCH) for seed in SEEDS]),
    )


def split_card(path: Path) -> tuple[str, str, str]:
    """A model card in three parts: up to its table, the table, and the rest. Raises ValueError without the marks."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    table, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: must hold {BEGIN.strip()!r} and {END!r} around its figures")
    return before + begin, table, end + after


def same(table: str, other: str) -> bool:
    """Whether two tables say the same, but for what differs between machines."""
    number = re.compile(r"\d+\.\d+")
    if number.sub("", table) != number.sub("", other):
        return False
    for line, another in zip(table.splitlines(), other.splitlines(), strict=True):
        within = REPEATS_WITHIN if "repeats" in line else SAME_WITHIN
        pairs = zip(number.findall(line), number.findall(another), strict=True)
        if any(abs(float(one) - float(two)) > within for one, two in pairs):
            return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; with `--write`, put them into the cards; else tell whether the cards show the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into the model cards")
    parser.add_argument("--folder", type=Path, help="measure the models below this folder [default: the package's]")
    asked = parser.parse_args(arguments)
    if asked.write and asked.folder:
        parser.error("the cards are those of the package's models: --write and --folder do not go together")
    cards = {name: folder / "README.md" for name, folder in checkpoints().items()}
    folders = {name: asked.folder / name for name in cards} if asked.folder else checkpoints()
    torch.set_num_threads(1)
    other = []
    for name, table in measured(folders):
        print(f"{name}\n\n{table}", flush=True)
        before, shown, after = split_card(cards[name])
        if asked.write:
            cards[name].write_text(before + table + after, encoding="utf-8")
        elif not same(table, shown):
            other.append(name)
    print(f"the model cards show other figures: {', '.join(other)}" if other else "the model cards show these figures")
    return 1 if other else 0


if __name__ == "__main__":
    sys.exit(main())
