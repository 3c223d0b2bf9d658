"""The dialogs of a comparison as the page's script reads them: numbers and one pool of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chatir.compare.comparison import ComparedRun, Comparison
from chatir.compare.counted.retrieval import Retrieval
from chatir.compare.report.thumbnails import BEST, Thumbnails
from chatir.dialog import Dialog
from chatir.measures.defects import DEFECTS, round_defects
from chatir.measures.names import measure
from chatir.measures.questions import repeated
from chatir.storage.image_names import image_key

FOUND = 10
"""A target is found at this rank or better, if the comparison has this cutoff; else at its largest one."""

NO_THUMBNAILS = Thumbnails()


class TextPool:
    """Texts, each once, known by their places."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self._places: dict[str, int] = {}
        for text in texts:
            self.place(text)

    def place(self, text: str) -> int:
        """The place of a text, which is taken in if it is new."""
        return self._places.setdefault(text, len(self._places))

    def texts(self) -> list[str]:
        """The texts in the order of their places."""
        return list(self._places)


def browser_data(comparison: Comparison, shown: Thumbnails = NO_THUMBNAILS) -> dict[str, Any]:
    """Everything that the browser of dialogs shows, as JSON holds it.

    The images of which there are pictures take the first places in `images`, in the order of `shown.pictures`.
    Raises ValueError unless all runs have the same dialogs in one order.
    """
    texts, images = TextPool(), TextPool(tuple(shown.pictures))
    labels = list(dict.fromkeys(label for run in comparison.runs for label in run.retrieval))
    ids = [dialog.id for dialog in comparison.runs[0].dialogs]
    if any([dialog.id for dialog in run.dialogs] != ids for run in comparison.runs):
        raise ValueError("the runs of a comparison must have the same dialogs in one order")
    return {
        "found": FOUND if FOUND in comparison.ks else max(comparison.ks, default=FOUND),
        "labels": labels,
        "defects": [measure(kind, comparison.images).name for kind in DEFECTS],
        "pictured": list(shown.targets),
        "ids": ids,
        "targets": [images.place(dialog.image) for dialog in comparison.runs[0].dialogs],
        "runs": [_run(run, labels, texts, images) for run in comparison.runs],
        "texts": texts.texts(),
        "images": images.texts(),
    }


def _run(run: ComparedRun, labels: Sequence[str], texts: TextPool, images: TextPool) -> dict[str, Any]:
    found = [run.retrieval.get(label) for label in labels]
    return {
        "name": run.name,
        "asks": run.asks,
        "captions": [texts.place(dialog.caption) for dialog in run.dialogs],
        "rounds": [
            [texts.place(text) for one in dialog.rounds for text in (one.question, one.answer)]
            for dialog in run.dialogs
        ],
        "repeats": [repeated_rounds(dialog) if run.asks else [] for dialog in run.dialogs],
        "defects": [_defects(dialog) for dialog in run.dialogs],
        "ranks": [one and one.ranks.T.tolist() for one in found],
        "tops": [one and _tops(one, images) for one in found],
    }


def repeated_rounds(dialog: Dialog) -> list[int]:
    """For each round, the round (from 1) that first asked the same question; 0 where none did. [] without repeats."""
    rounds = repeated(one.question for one in dialog.rounds)
    return rounds if any(rounds) else []


def _defects(dialog: Dialog) -> list[int]:
    """For each round, its defects as bits in the order of `DEFECTS`. [] without defects."""
    found = [sum(1 << DEFECTS.index(kind) for kind in round_defects(str(one))) for one in dialog.rounds]
    return found if any(found) else []


def _tops(found: Retrieval, images: TextPool) -> list[list[list[int]]] | None:
    """For each dialog and round the places of the images ranked best, as many as are shown."""
    if found.top is None:
        return None
    return [[[images.place(image_key(image)) for image in best[:BEST]] for best in dialog] for dialog in found.top]
