"""A player as the loop sees it: what it declares, with the defaults for what it leaves out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chatir.datasets.scenes.names import shown_name
from chatir.dialog import Dialog
from chatir.errors import ChatirError, InputError, PlayerError
from chatir.prompts.estimates import Estimate
from chatir.simulate.loop.tracebacks import exception_line
from chatir.storage.plain_data import plain_data


@dataclass(frozen=True)
class Player:
    """What a questioner, answerer or observer declares of itself.

    call: its `ask`, `answer` or `observe`. The rest is optional on the object that a user writes, and told at
    `chatir.questioners.Questioner`: name, batch_size, concurrency, config, uses_said, replays, needs_images, ready,
    check, max_cost, estimate and close. image_folder: the folder in which it looks, if it tells; lacks_images: whether
    it tells that it was given none. played: the player itself, some of whose attributes change while it plays.
    """

    call: Callable[..., Any]
    name: str
    batch_size: int
    concurrency: int
    config: dict[str, Any]
    uses_said: bool
    replays: bool
    needs_images: bool
    image_folder: Path | None
    lacks_images: bool
    ready: Callable[[], None] | None
    check: Callable[[Dialog, int], None] | None
    max_cost: Callable[..., float | None] | None
    estimate: Callable[[Dialog, int], Estimate] | None
    close: Callable[[], Any] | None
    played: object

    @classmethod
    def of(cls, player: object, method: str) -> Player:
        """Read what an object declares; raises InputError for what makes no sense."""
        call = getattr(player, method, None)
        if not callable(call):
            raise InputError(f"{type(player).__name__} has no method {method}(); see 'chatir list' for players that do")
        name = getattr(player, "name", None) or type(player).__name__
        folder = getattr(player, "image_folder", None)
        if not isinstance(folder, str | Path | None):
            raise InputError(f"{name}: image_folder is {folder!r}, but must be a path or None")
        declared = cls(
            call=call,
            name=name,
            batch_size=getattr(player, "batch_size", 1),
            concurrency=getattr(player, "concurrency", 1),
            config=plain_data(getattr(player, "config", {}), f"{name}: config"),
            uses_said=bool(getattr(player, "uses_said", False)),
            replays=bool(getattr(player, "replays", False)),
            needs_images=bool(getattr(player, "needs_images", False)),
            image_folder=None if folder is None else Path(folder),
            lacks_images=hasattr(player, "image_folder") and folder is None,
            ready=_told(player, name, "ready"),
            check=_told(player, name, "check"),
            max_cost=_told(player, name, "max_cost"),
            estimate=_told(player, name, "estimate"),
            close=getattr(player, "close", None),
            played=player,
        )
        for option in ("batch_size", "concurrency"):
            value = getattr(declared, option)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name}: {option} is {value!r}, but must be a whole number of at least 1")
        return declared

    @property
    def shown(self) -> str:
        """Its name as people read it."""
        return shown_name(self.name, self.config)

    @property
    def is_async(self) -> bool:
        """Whether the player's method is a coroutine function."""
        return inspect.iscoroutinefunction(self.call)

    @property
    def identity(self) -> dict[str, Any]:
        """What of the player determines a run's result."""
        return {"name": self.name, "config": self.config}

    @property
    def adapted(self) -> dict[str, Any]:
        """Options that it had to change since the run began, by name."""
        return self._noted("adapted")

    @property
    def provenance(self) -> dict[str, Any]:
        """What it notes for the record."""
        return self._noted("provenance")

    def _noted(self, name: str) -> dict[str, Any]:
        """An attribute that may change while it plays, and must not cost the replies that came: empty if it is bad."""
        try:
            value = getattr(self.played, name, {})
            return plain_data(value, name) if isinstance(value, Mapping) else {}
        except Exception:
            return {}

    def adapt(self, changes: Mapping[str, Any]) -> None:
        """Change options as it had to in an earlier session of the run."""
        if changes and (adapt := getattr(self.played, "adapt", None)) is not None:
            adapt(changes)

    def now(self) -> Player:
        """What it declares by now."""
        return replace(self, config=plain_data(getattr(self.played, "config", {}), f"{self.shown}: config"))


def _told(player: object, name: str, attribute: str) -> Callable[..., Any] | None:
    """A method that a player may have, None where it has none. What it raises by a bug becomes a PlayerError."""
    method = getattr(player, attribute, None)
    if method is None:
        return None

    def called(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except ChatirError:
            raise
        except Exception as error:
            raise PlayerError(f"{name}: its {attribute}() raised {exception_line(error)}") from error

    return called
