"""The natural form of dialogs in a Hugging Face dataset: a row for each, with its rounds and its ranks in lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chatir.run.export.tables import ROUND, Row, dialog_row, labelled_rankings, round_rows, truncated_rounds
from chatir.run.runs import Run


def features(datasets: Any) -> Any:
    """The types of a row, by the classes of the package `datasets`; the same for all runs, scored or not.

    rounds: as the rows of the table of that name. ranks: for each retriever and corpus the target's rank by the
    caption, then after each round, and whether the text was longer than the retriever reads, null if it cannot tell.
    """
    text, number, flag = (datasets.Value(kind) for kind in ("string", "int64", "bool"))
    kinds = {str: text, int: number, bool: flag}
    return datasets.Features(
        {
            "run": text,
            "id": text,
            "image": text,
            "caption": text,
            "rounds": datasets.List({column: kinds[kind] for column, kind in ROUND.items()}),
            "repeats": number,
            "extra": text,
            "ranks": datasets.List(
                {
                    "retriever": text,
                    "corpus": text,
                    "corpus_images": number,
                    "ranks": datasets.List(number),
                    "truncated": datasets.List(flag),
                }
            ),
        }
    )


def dialog_rows(run: Run) -> Iterator[Row]:
    """The dialogs of a run, in the file's order, as `features` has them."""
    rankings = labelled_rankings(run)
    for dialog in run.dialogs:
        ranks = []
        for label, ranking, of_dialogs in rankings:
            if (found := of_dialogs.get(dialog.id)) is not None:
                row = {"retriever": label, "corpus": ranking.corpus, "corpus_images": ranking.images}
                ranks.append(row | {"ranks": list(found.ranks), "truncated": truncated_rounds(found)})
        yield dialog_row(run, dialog) | {"rounds": list(round_rows(dialog)), "ranks": ranks}
