"""The dry run: what a run would take, player by player, without calling anyone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chatir.datasets.target_checks import ImagesThere, check_all_targets, checked_targets
from chatir.dialog import Dialog, Reply, Round
from chatir.errors import InputError
from chatir.prompts.estimates import TYPICAL, Estimate
from chatir.run.file import RunFile
from chatir.simulate.loop.soft_refusals import SoftRefusals
from chatir.simulate.opening import existing_run
from chatir.simulate.player import Player
from chatir.simulate.setting import check_settings, players_of, run_config

SAMPLE = 2_000
"""Dialogs that an estimate is made of where they are too many."""
MOST = 5_000
"""Dialogs to play that are all estimated."""


class NotBuilt:
    """Stands for a player that a dry run does not build: its calls are counted, and nothing else is known of it."""

    def __init__(self, name: str, *, needs_images: bool = False, told: str = "not checked") -> None:
        """name: as a user types it. needs_images: whether it looks at images. told: instead of tokens and cost."""
        self.name = name
        self.needs_images = needs_images
        self.told = told

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """Raise InputError: it is not to be asked."""
        raise InputError(f"{self.name} is not built, and cannot ask")

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        """Raise InputError: it is not to be asked."""
        raise InputError(f"{self.name} is not built, and cannot answer")


@dataclass(frozen=True)
class Foreseen:
    """What a run has to do: dialogs in all, those still to_play, and estimates, one by each player's name.

    sampled: how many of those to play the estimates were made of; None where it was all. not_built: what is told of
    players that were not built, by their names in `estimates`.
    """

    dialogs: int
    to_play: int
    estimates: dict[str, Estimate]
    sampled: int | None = None
    not_built: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        done = f", {self.dialogs - self.to_play} of them done" if self.to_play < self.dialogs else ""
        lines = [f"{self.dialogs} dialogs{done}"]
        width = max(map(len, self.estimates))
        for name, estimate in self.estimates.items():
            known = self.not_built.get(name) or f"{_tokens(estimate)}, {_cost(estimate)}"
            lines.append(f"  {name:<{width}}  {estimate.calls:,} calls, {known}")
        if self.sampled is not None:
            lines.append(f"  estimated from {self.sampled:,} of {self.to_play:,} dialogs")
        return "\n".join(lines)


def dry_run(
    targets: Iterable[Dialog],
    questioner: object,
    answerer: object,
    *,
    out: Path | None,
    rounds: int,
    seed: int,
    ask_again: int,
    deterministic: bool,
    soft_refusals: SoftRefusals = "keep",
    fresh: bool,
    images: Path | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Foreseen:
    """What `simulate` would have to do, given the same; a run that exists is continued. No player is asked anything.

    Tokens are about four characters each, and rounds to come are taken to be of middling length; of more than 5,000
    dialogs to play, 2,000 at even distances stand for all.

    out: None where the name of the dialogue file is not known, so that no run is looked for. A player may be
    `NotBuilt`: then the configuration of a run that exists is not compared. images: the folder of the images, None to
    look for none. note: called with a line about images that are missing, and about what is not compared.

    Raises InputError as `simulate` does, but asks for no keys.
    """
    check_settings(out or Path("run.json"), rounds=rounds, seed=seed, ask_again=ask_again)
    players = players_of(questioner, answerer)
    unbuilt = [player.name for player in players.values() if isinstance(player.played, NotBuilt)]
    config = run_config(
        players,
        rounds=rounds,
        seed=seed,
        ask_again=ask_again,
        deterministic=deterministic,
        soft_refusals=soft_refusals,
    )
    targets = list(targets) if iter(targets) is targets else targets  # read more than once
    checks = [player.check for player in players.values() if player.check]
    looks = images is not None and any(player.needs_images for player in players.values())
    there = ImagesThere(images) if looks and images is not None else None
    dialogs = check_all_targets(targets, rounds, checks if there is None else [*checks, there.check])
    run = None if fresh or out is None else existing_run(out, None if unbuilt else config, targets)
    with nullcontext() if run is None else closing(run):
        if run is not None and unbuilt:
            note(f"{run.path}: its configuration is not compared, since {' and '.join(unbuilt)} is not built")
        if there is not None:
            _tell_of_images(there, run, note)
        waiting = _waiting(run, dialogs)
        to_play = sum(waiting)
        size = SAMPLE if to_play > MOST else to_play
        asking, answering = Estimate(), Estimate()
        for position, target in _spread(targets, waiting, to_play, size):
            (checked,) = checked_targets([target], rounds, [])
            asked, answered = _rounds_of(players["question"], players["answer"], checked, rounds, run, position)
            asking, answering = asking + asked, answering + answered
    asks, answers = f"{players['question'].shown} asks", f"{players['answer'].shown} answers"
    estimates = {asks: _times(asking, to_play, size), answers: _times(answering, to_play, size)}
    sides = zip(estimates, (players["question"], players["answer"]), strict=True)
    not_built = {name: player.played.told for name, player in sides if isinstance(player.played, NotBuilt)}
    return Foreseen(dialogs, to_play, estimates, None if size == to_play else size, not_built)


def _tell_of_images(there: ImagesThere, run: RunFile | None, note: Callable[[str], None]) -> None:
    try:
        told = there.told(run.is_done if run else None) if there.any_missing else None
    except InputError as error:  # the folder holds none, which a run could not do without
        told = str(error)
    if told is not None:
        note(told)


def _waiting(run: RunFile | None, dialogs: int) -> list[bool]:
    """Of each target, whether its dialog is still to be played."""
    ended = [] if run is None else [state in ("done", "stopped") for _, _, state, _ in run.targets()]
    return [not done for done in ended[:dialogs]] + [True] * (dialogs - len(ended))


def _spread(targets: Iterable[Dialog], waiting: Sequence[bool], count: int, size: int) -> Iterator[tuple[int, Dialog]]:
    """`size` of the `count` targets that wait, at even distances, with their positions."""
    place = 0
    for position, target in enumerate(targets):
        if waiting[position]:
            if place * size // count != (place - 1) * size // count:
                yield position, target
            place += 1


def _rounds_of(
    asks: Player, answers: Player, target: Dialog, rounds: int, run: RunFile | None, position: int
) -> tuple[Estimate, Estimate]:
    """What the questions and the answers of a dialog will take that it still lacks."""
    recorded = None if run is None else run.recorded(position)
    dialog = replace(target, rounds=() if recorded is None else recorded.rounds)
    answering = _of(answers, dialog, rounds)
    if recorded is not None and recorded.question is not None:  # asked already, and not answered yet
        dialog = replace(dialog, rounds=(*dialog.rounds, Round(recorded.question, TYPICAL.answer)))
    return _of(asks, dialog, rounds), answering


def _of(player: Player, dialog: Dialog, rounds: int) -> Estimate:
    if player.estimate is not None:
        return player.estimate(dialog if player.uses_said else replace(dialog, said=()), rounds)
    return Estimate(rounds - len(dialog.rounds), None, None, None)


def _times(estimate: Estimate, count: int, size: int) -> Estimate:
    """An estimate of `size` dialogs as one of `count`."""
    if size == count:
        return estimate

    def scaled(value: Any) -> Any:
        return None if value is None else value * count / size

    tokens_in, tokens_out = scaled(estimate.tokens_in), scaled(estimate.tokens_out)
    return Estimate(
        round(scaled(estimate.calls)),
        None if tokens_in is None else round(tokens_in),
        None if tokens_out is None else round(tokens_out),
        scaled(estimate.cost),
    )


def _tokens(estimate: Estimate) -> str:
    if estimate.tokens_in is None or estimate.tokens_out is None:
        return "tokens unknown"
    return f"about {estimate.tokens_in:,} tokens in + {estimate.tokens_out:,} out"


def _cost(estimate: Estimate) -> str:
    if estimate.cost is None:
        return "cost unknown"
    return f"about ${estimate.cost:.2f}" if estimate.cost >= 1 else f"about ${estimate.cost:.2g}"
