"""What a run is made of: its players by the stage that they serve, and everything that fixes its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chatir.errors import InputError
from chatir.simulate.player import Player
from chatir.simulate.run_file import Role


def check_settings(out: Path, *, rounds: int, seed: int, ask_again: int) -> None:
    """Raise InputError for what no run can be made of: another ending than `.json`, numbers that are none or too small.

    rounds must be 1 at least, ask_again 0; a seed may be any whole number.
    """
    if out.suffix != ".json":
        raise InputError(f"{out}: the dialogue file needs a name that ends in .json")
    for name, number, least in (("rounds", rounds, 1), ("ask_again", ask_again, 0), ("seed", seed, None)):
        if type(number) is not int:
            raise InputError(f"{name} is {number!r}, but must be a whole number")
        if least is not None and number < least:
            raise InputError(f"{name} is {number}, but must be at least {least}")


def players_of(questioner: object, answerer: object, observer: object | None = None) -> dict[Role, Player]:
    """What each player declares of itself, by the stage that it serves. Raises InputError for what makes no sense."""
    players: dict[Role, Player] = {
        "question": Player.of(questioner, "ask"),
        "answer": Player.of(answerer, "answer"),
    }
    if observer is not None:
        players["observe"] = Player.of(observer, "observe")
    return players


def run_config(players: dict[Role, Player], **settings: Any) -> dict[str, Any]:
    """Everything that fixes the result, as the run file keeps it."""
    if settings["deterministic"]:
        settings["deterministic"] = {role: player.batch_size for role, player in players.items()}
    names = {"question": "questioner", "answer": "answerer", "observe": "observer"}
    return settings | {names[role]: player.identity for role, player in players.items()}
