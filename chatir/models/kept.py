"""What is worth keeping, but not all of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """At most so many values by their names; the one used longest ago goes first."""

    def __init__(self, most: int, gone: Callable[[str], None] = lambda name: None) -> None:
        """gone: called with the name of each value that had to go."""
        self._most = most
        self._gone = gone
        self._values: OrderedDict[str, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str) -> Value | None:
        """The value, used now; None if there is none."""
        if name not in self._values:
            return None
        self._values.move_to_end(name)
        return self._values[name]

    def put(self, name: str, value: Value) -> None:
        """Keep a value, used now."""
        self._values[name] = value
        self._values.move_to_end(name)
        while len(self._values) > self._most:
            self._gone(self._values.popitem(last=False)[0])

    def drop(self, name: str) -> None:
        """Keep this value no longer."""
        self._values.pop(name, None)

    def clear(self) -> None:
        """Keep nothing."""
        self._values.clear()
