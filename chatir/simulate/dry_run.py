"""The dry run: what a run would take, player by player, without calling anyone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from chatir.dialog import Dialog, Round
from chatir.models.estimates import TYPICAL, Estimate
from chatir.simulate.opening import existing_run
from chatir.simulate.player import Player
from chatir.simulate.setting import check_settings, players_of, run_config
from chatir.simulate.soft_refusals import SoftRefusals
from chatir.simulate.target_checks import check_all_targets, checked_targets


@dataclass(frozen=True)
class Foreseen:
    """What a run has to do: dialogs in all, those still to_play, and estimates, one by each player's name."""

    dialogs: int
    to_play: int
    estimates: dict[str, Estimate]

    def __str__(self) -> str:
        done = f", {self.dialogs - self.to_play} of them done" if self.to_play < self.dialogs else ""
        lines = [f"{self.dialogs} dialogs{done}"]
        width = max(map(len, self.estimates))
        for name, estimate in self.estimates.items():
            lines.append(f"  {name:<{width}}  {estimate.calls:,} calls, {_tokens(estimate)}, {_cost(estimate)}")
        return "\n".join(lines)


def dry_run(
    targets: Iterable[Dialog],
    questioner: object,
    answerer: object,
    *,
    out: Path,
    rounds: int,
    seed: int,
    ask_again: int,
    deterministic: bool,
    soft_refusals: SoftRefusals = "keep",
    fresh: bool,
) -> Foreseen:
    """What `simulate` would have to do, given the same; a run that exists is continued. No player is asked anything.

    Tokens are about four characters each, and rounds to come are taken to be of middling length. Raises
    InputError as `simulate` does, but asks for no keys and looks for no images.
    """
    check_settings(out, rounds=rounds, seed=seed, ask_again=ask_again)
    players = players_of(questioner, answerer)
    config = run_config(
        players,
        rounds=rounds,
        seed=seed,
        ask_again=ask_again,
        deterministic=deterministic,
        soft_refusals=soft_refusals,
    )
    targets = list(targets) if iter(targets) is targets else targets  # read more than once
    dialogs = check_all_targets(targets, rounds, [player.check for player in players.values() if player.check])
    run = None if fresh else existing_run(out, config, targets)
    to_play = 0
    asking, answering = Estimate(), Estimate()
    with nullcontext() if run is None else closing(run):
        for position, target in enumerate(checked_targets(targets, rounds, [])):
            recorded = None if run is None else run.recorded(position)
            if recorded is not None and recorded.state in ("done", "stopped"):
                continue
            to_play += 1
            dialog = replace(target, rounds=() if recorded is None else recorded.rounds)
            answering += _of(players["answer"], dialog, rounds)
            if recorded is not None and recorded.question is not None:  # asked already, and not answered yet
                dialog = replace(dialog, rounds=(*dialog.rounds, Round(recorded.question, TYPICAL.answer)))
            asking += _of(players["question"], dialog, rounds)
    asks, answers = players["question"].name, players["answer"].name
    return Foreseen(dialogs, to_play, {f"{asks} asks": asking, f"{answers} answers": answering})


def _of(player: Player, dialog: Dialog, rounds: int) -> Estimate:
    if player.estimate is not None:
        return player.estimate(dialog if player.uses_said else replace(dialog, said=()), rounds)
    return Estimate(rounds - len(dialog.rounds), None, None, None)


def _tokens(estimate: Estimate) -> str:
    if estimate.tokens_in is None or estimate.tokens_out is None:
        return "tokens unknown"
    return f"about {estimate.tokens_in:,} tokens in + {estimate.tokens_out:,} out"


def _cost(estimate: Estimate) -> str:
    if estimate.cost is None:
        return "cost unknown"
    return f"about ${estimate.cost:.2f}" if estimate.cost >= 1 else f"about ${estimate.cost:.2g}"
