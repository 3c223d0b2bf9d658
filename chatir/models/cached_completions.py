"""Completions through the reply cache: what was completed before is not asked for again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chatir.errors import InputError
from chatir.models.completion import Completion
from chatir.plugins import Context

_KEPT = ("text", "cut", "others", "tokens_in", "tokens_out", "origin")
_COMPLETION = TypeAdapter(Completion)


class Remembered:
    """A run's reply cache, where it has one, as a model uses it; threads may share it.

    A cache that can no longer be used is reported once, and done without. A damaged entry counts as a miss.
    """

    def __init__(self, context: Context) -> None:
        self._cache = context.cache
        self._lock = threading.Lock()
        self._progress = context.progress

    @property
    def on(self) -> bool:
        """Whether there is a cache at all."""
        return self._cache is not None

    def complete(
        self, keys: Sequence[dict[str, Any] | None], complete: Callable[[list[int]], list[Completion]]
    ) -> list[Completion]:
        """A completion for each key, by `complete` for the places that are not known; a key of None never is."""
        found = [None if key is None else self.known(key) for key in keys]
        todo = [place for place, completion in enumerate(found) if completion is None]
        done = {place: completion for place, completion in enumerate(found) if completion is not None}
        for place, completion in zip(todo, complete(todo) if todo else [], strict=True):
            done[place] = completion
            if (key := keys[place]) is not None:
                self.keep(key, completion)
        return [done[place] for place in range(len(keys))]

    def known(self, key: dict[str, Any]) -> Completion | None:
        """What was kept under a key, None if nothing was."""
        if (cache := self._cache) is None:
            return None
        try:
            kept = cache.get(key)
        except InputError as error:
            self._do_without(error)
            return None
        try:
            completion = None if kept is None else _COMPLETION.validate_python(kept, strict=False)
        except ValidationError:
            return None
        return completion if completion is not None and completion.text is not None else None

    def keep(self, key: dict[str, Any], completion: Completion) -> None:
        """Keep a completion under a key, unless it is a failure."""
        if (cache := self._cache) is None or completion.failure is not None:
            return
        try:
            cache.put(key, {name: getattr(completion, name) for name in _KEPT})
        except InputError as error:
            self._do_without(error)

    def _do_without(self, error: InputError) -> None:
        with self._lock:
            first, self._cache = self._cache is not None, None
        if first:
            self._progress(f"{error}; going on without it")
