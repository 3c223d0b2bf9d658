"""Runs as `chatir simulate` and `chatir score` leave them, by scripted players and with ranks of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from players import Answering, Asking

from chatir import Dialog, Reply
from chatir.measures.ranks import DialogRanks
from chatir.run.file import RunFile
from chatir.run.ranks import Ranking, RunRanks
from chatir.simulate import read_dialogs, simulate

CLIP = Ranking("CLIP", {"model": {"id": "clip", "sha256": "0" * 64}, "precision": "fp32"}, "c" * 64, 1000)
TYPED = ["--retriever", "clip", "-r", "model=here", "--corpus", "my list.json"]


def new_question(dialog: Dialog) -> str:
    """A question that was not asked yet."""
    return f"is there a thing of kind {len(dialog.rounds) + 1}?"


def same_question(dialog: Dialog) -> str:
    """Always the same."""
    return "what is there?"


def named(count: int) -> list[Dialog]:
    return [Dialog(f"images/{number}.jpg", f"a picture of {number} things") for number in range(count)]


def made_run(
    folder: Path,
    name: str,
    *,
    targets: Sequence[Dialog] | int = 4,
    ask: Callable[[Dialog], str] = new_question,
    answer: Callable[[Dialog, str], str] = lambda dialog, asked: "yes",
    questioner: Mapping[str, Any] | None = None,
    answerer: Mapping[str, Any] | None = None,
    rounds: int = 3,
    seed: int = 0,
    failing: Collection[str] = (),
    ranks: Sequence[tuple[Ranking, Callable[[Dialog], Sequence[int]]]] = (),
    observer: object | None = None,
) -> Path:
    """The dialogue file of a finished run. failing: images whose first answer fails. ranks: of each dialog."""
    asking = Asking(lambda dialog: Reply(ask(dialog)))
    answering = Answering(
        lambda dialog, asked: (
            Reply.failed("refused", "no answer") if dialog.image in failing else Reply(answer(dialog, asked))
        )
    )
    for player, declared in ((asking, questioner or {"name": name}), (answering, answerer or {"name": "Sees"})):
        player.name, player.config = declared["name"], declared.get("config", {})
    out = folder / f"{name}.json"
    about = named(targets) if isinstance(targets, int) else targets
    simulate(about, asking, answering, out=out, rounds=rounds, seed=seed, ask_again=0, observer=observer)
    with closing(RunFile.open(out.with_suffix(".run"))) as run:
        for ranking, of_dialog in ranks:
            found = [(dialog, _found(dialog, of_dialog(dialog), ranking.images)) for dialog in read_dialogs(out)]
            RunRanks(run).keep(ranking, found, {"typed": TYPED})
    return out


def _found(dialog: Dialog, ranks: Sequence[int], images: int) -> DialogRanks:
    """Ranks with best images that agree with them; the others are new ones in every round."""
    best = []
    for number, rank in enumerate(ranks):
        names = [f"other {number}-{place}.jpg" for place in range(min(10, images))]
        best.append(tuple(dialog.image if place == rank - 1 else name for place, name in enumerate(names)))
    return DialogRanks(tuple(ranks), None, tuple(best))
