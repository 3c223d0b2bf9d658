"""What is exported: a run as tables of plain values, with the words that dialogue files and `compare` use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatir.dialog import Dialog
from chatir.measures.defects import DEFECTS, round_defects
from chatir.measures.questions import repeated, repeats
from chatir.measures.ranks import DialogRanks
from chatir.run.ranking_labels import ranking_labels
from chatir.run.ranks import Ranking
from chatir.run.runs import Run

Row = dict[str, Any]
Kind = type[str] | type[int] | type[bool]

ROUND: dict[str, Kind] = {
    "round": int,
    "question": str,
    "answer": str,
    "text": str,
    "repeated": bool,
    **dict.fromkeys(DEFECTS, bool),
}
"""The columns that tell of a round.

text: the round as the file holds it, question and answer. repeated: whether the normalised question was asked before.
"""


@dataclass(frozen=True)
class ExportedTable:
    """A table that may be larger than memory. columns: their names, in order, with the type of what is in them.

    rows: to be gone through once; None in them is not known.
    """

    name: str
    columns: Mapping[str, Kind]
    rows: Iterator[Row]


def tables(run: Run) -> list[ExportedTable]:
    """A run as tables: `dialogs`, `rounds` and, if it was scored, `ranks`, in the file's order.

    A row of `ranks` tells where the target was ranked after that many rounds (0: by its caption), and whether the
    text was longer than the retriever reads. retriever: the label that `compare` gives it; corpus: its fingerprint.
    extra: further keys of the entry in the dialogue file, as JSON.
    """
    name: dict[str, Kind] = {"run": str, "id": str, "image": str}
    told = [
        ExportedTable(
            "dialogs",
            name | {"caption": str, "rounds": int, "repeats": int, "extra": str},
            (dialog_row(run, dialog) for dialog in run.dialogs),
        ),
        ExportedTable(
            "rounds",
            name | ROUND,
            (_name(run, dialog) | row for dialog in run.dialogs for row in round_rows(dialog)),
        ),
    ]
    if rankings := labelled_rankings(run):
        ranked: dict[str, Kind] = {"retriever": str, "corpus": str, "corpus_images": int}
        columns = name | ranked | {"round": int, "rank": int, "truncated": bool}
        told.append(ExportedTable("ranks", columns, _rank_rows(run, rankings)))
    return told


def dialog_row(run: Run, dialog: Dialog) -> Row:
    """The row of a dialog in the table `dialogs`."""
    return _name(run, dialog) | {
        "caption": dialog.caption,
        "rounds": len(dialog.rounds),
        "repeats": repeats(one.question for one in dialog.rounds),
        "extra": json.dumps(dict(dialog.extra)),  # ASCII, so that no file refuses what it holds
    }


def round_rows(dialog: Dialog) -> Iterator[Row]:
    """A row for each round of a dialog, with the columns of `ROUND`."""
    again = repeated(one.question for one in dialog.rounds)
    for number, one in enumerate(dialog.rounds, start=1):
        text = str(one)
        defects = round_defects(text)
        yield {
            "round": number,
            "question": one.question,
            "answer": one.answer,
            "text": text,
            "repeated": again[number - 1] > 0,
            **{kind: kind in defects for kind in DEFECTS},
        }


def truncated_rounds(found: DialogRanks) -> list[bool] | None:
    """For each rank of a dialog whether its text was longer than the retriever reads; None if it cannot tell."""
    if found.truncated is None:
        return None
    return [number >= found.truncated for number in range(len(found.ranks))]


def labelled_rankings(run: Run) -> list[tuple[str, Ranking, Mapping[str, DialogRanks]]]:
    """Label, ranking and ranks by dialog id of all that has ranked a run; ranks of changed dialogs are not there."""
    rankings = run.record.rankings if run.record else ()
    labels = ranking_labels([one.ranking for one in rankings])
    return [(labels[one.ranking.key], one.ranking, one.ranks) for one in rankings]


def _name(run: Run, dialog: Dialog) -> Row:
    return {"run": run.name, "id": dialog.id, "image": dialog.image}


def _rank_rows(run: Run, rankings: Sequence[tuple[str, Ranking, Mapping[str, DialogRanks]]]) -> Iterator[Row]:
    for label, ranking, ranks in rankings:
        ranked = {"retriever": label, "corpus": ranking.corpus, "corpus_images": ranking.images}
        for dialog in run.dialogs:
            if (found := ranks.get(dialog.id)) is None:
                continue
            truncated = truncated_rounds(found)
            for number, rank in enumerate(found.ranks):
                cut = truncated[number] if truncated else None
                yield _name(run, dialog) | ranked | {"round": number, "rank": rank, "truncated": cut}
