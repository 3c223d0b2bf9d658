"""What runs have in common: the same images, with as many rounds, in one order; nothing else is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from chatir.console import printable
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.run.runs import Run


def common_dialogs(runs: Sequence[Run], note: Callable[[str], None]) -> tuple[int, list[tuple[Dialog, ...]]]:
    """The rounds that all runs have, and for each run the dialogs that all have, cut to them, in the first's order.

    A dialog is common if it has the same id and the same image everywhere. note: called with a line for what is left
    out. Raises InputError where nothing is common.
    """
    known = [{(dialog.id, dialog.image): dialog for dialog in run.dialogs} for run in runs]
    common = [key for key in known[0] if all(key in other for other in known[1:])]
    if not common:
        raise InputError(_nothing(runs, known))
    for run in runs:
        if (left := len(run.dialogs) - len(common)) > 0:
            of = f"{left:,} of its {len(run.dialogs):,} dialogs"
            note(f"{printable(run.name)}: {of} are not in all runs and are left out")
    rounds = min(run.rounds for run in runs)
    if any(run.rounds > rounds for run in runs):
        longer = ", ".join(f"{printable(run.name)} ({run.rounds})" for run in runs if run.rounds > rounds)
        note(f"only the first {rounds} rounds are compared, as many as all runs have; cut off: {longer}")
    return rounds, [tuple(_cut(own[key], rounds) for key in common) for own in known]


def _cut(dialog: Dialog, rounds: int) -> Dialog:
    return dialog if len(dialog.rounds) <= rounds else replace(dialog, rounds=dialog.rounds[:rounds])


def _nothing(runs: Sequence[Run], known: Sequence[dict[tuple[str, str], Dialog]]) -> str:
    """Why there is nothing to compare: the first run that has no image of the first, or of all together."""
    first = runs[0]
    for run, own in zip(runs[1:], known[1:], strict=True):
        if not own.keys() & known[0].keys():
            images = [dialogs[0].image for dialogs in (first.dialogs, run.dialogs)]
            return (
                f"{run.file}: has no image in common with {first.file} (its first is {images[1]!r}, not {images[0]!r})"
            )
    return f"no image is common to all {len(runs)} files; compare fewer of them"
