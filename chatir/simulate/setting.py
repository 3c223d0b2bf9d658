"""What a run is made of: its players by the stage that they serve, and everything that fixes its result."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chatir.errors import InputError, PlayerError
from chatir.plugins import plugins
from chatir.run.rows import Role
from chatir.simulate.player import Player


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


def check_cost_limit(cost_limit: float | None) -> None:
    """Raise InputError for a cost limit (US dollars) that is no amount above 0."""
    if cost_limit is not None and not cost_limit > 0:
        raise InputError(f"cost_limit is {cost_limit}, but must be more than 0 US dollars")


def players_of(questioner: object, answerer: object, observer: object | None = None) -> dict[Role, Player]:
    """What each player declares of itself, by the stage that it serves. Raises InputError for what makes no sense."""
    players: dict[Role, Player] = {
        "question": Player.of(questioner, "ask"),
        "answer": Player.of(answerer, "answer"),
    }
    if observer is not None:
        players["observe"] = Player.of(observer, "observe")
    return players


def check_pair(players: dict[Role, Player]) -> None:
    """Raise InputError for an answerer that only replays, with a questioner that cannot know what people were asked."""
    asking, answering = players["question"], players["answer"]
    if only_replays(asking, answering):
        raise InputError(cannot_replay(asking.shown, answering.shown, type(answering.played)))


def only_replays(asking: object, answering: object) -> bool:
    """Whether an answerer only replays, and the questioner cannot know what people were asked; players or classes."""

    def declares(player: object, name: str) -> bool:
        return getattr(player, name, False) is True

    return declares(answering, "replays") and not (declares(asking, "replays") or declares(asking, "uses_said"))


def cannot_replay(questioner: str, answerer: str, replaying: type) -> str:
    """The line that refuses an answerer of the class `replaying`, and names those that answer free questions."""
    own = f"{replaying.__module__}:{replaying.__qualname__}"
    others = ", ".join(plugin.name for plugin in plugins("answerers") if plugin.entry.value != own)
    return (
        f"{answerer} only replays what people answered, and {questioner} asks questions of its own; "
        f"answerers for free questions: {others}"
    )


def get_ready(players: dict[Role, Player]) -> None:
    """Let every player get ready for a run, and declare what it is then.

    Raises InputError with what all of them lack.
    """
    lacks = {}
    for role, player in players.items():
        try:
            if player.ready:
                player.ready()
                players[role] = player.now()
        except PlayerError:
            raise
        except InputError as error:
            lacks[str(error)] = error
    if lacks:
        raise InputError("; ".join(lacks))


def no_images(name: str) -> str:
    """The line that refuses a player that looks at images where there is no folder of them."""
    return f"{name} looks at the images: 'chatir fetch images' brings them, or name --images DIR"


def image_root(players: Iterable[Player], images: Path | str | None) -> Path | None:
    """The folder in which the run's players look at images: the one named, or else their own; None if none looks.

    Raises InputError where there is none, and for a player that was built with another one, or with none: its dialogs
    would fail.
    """
    root = None if images is None else Path(images)
    looking = [player for player in players if player.needs_images]
    for player in looking:
        root = root or player.image_folder
    for player in looking:
        if root is None:
            raise InputError(no_images(player.shown))
        if player.lacks_images:
            raise InputError(
                f"{player.shown} looks at the images, but was built without their folder; "
                f"build it with Context(images=Path({str(root)!r}))"
            )
        if player.image_folder is not None and player.image_folder.resolve() != root.resolve():
            raise InputError(
                f"{player.shown} looks for the images in {player.image_folder}, and the run in {root}; "
                f"build it with Context(images=Path({str(root)!r})), or leave out images="
            )
    return root if looking else None


def run_config(players: dict[Role, Player], **settings: Any) -> dict[str, Any]:
    """Everything that determines the result, as the run file keeps it.

    Settings that version 0.1 did not know are in it only where they are not their default, so that its runs go on.
    """
    if settings["soft_refusals"] == "keep":
        del settings["soft_refusals"]
    if settings["deterministic"]:
        settings["deterministic"] = {role: player.batch_size for role, player in players.items()}
    names = {"question": "questioner", "answer": "answerer", "observe": "observer"}
    return settings | {names[role]: player.identity for role, player in players.items()}
