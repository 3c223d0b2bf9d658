"""Completions through the reply cache: what was completed before is not asked for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chatir.errors import InputError
from chatir.models.completion import Completion
from chatir.plugins import Context

_KEPT = ("text", "cut", "others", "tokens_in", "tokens_out")


class Remembered:
    """A run's reply cache, where it has one, as a model at hand uses it."""

    def __init__(self, context: Context) -> None:
        self._cache = context.cache
        self._progress = context.progress

    @property
    def on(self) -> bool:
        """Whether there is a cache at all."""
        return self._cache is not None

    def complete(
        self, keys: Sequence[dict[str, Any] | None], complete: Callable[[list[int]], list[Completion]]
    ) -> list[Completion]:
        """A completion for each key, by `complete` for the places that are not known; a key of None never is."""
        done: dict[int, Completion] = {}
        for place, key in enumerate(keys):
            if self._cache is not None and key is not None and (known := self._cache.get(key)) is not None:
                known["others"] = tuple((text, cut) for text, cut in known["others"])
                done[place] = Completion(**known)
        todo = [place for place in range(len(keys)) if place not in done]
        for place, completion in zip(todo, complete(todo) if todo else [], strict=True):
            done[place] = completion
            self._keep(keys[place], completion)
        return [done[place] for place in range(len(keys))]

    def _keep(self, key: dict[str, Any] | None, completion: Completion) -> None:
        if self._cache is None or key is None or completion.failure is not None:
            return
        try:
            self._cache.put(key, {name: getattr(completion, name) for name in _KEPT})
        except InputError as error:
            self._cache = None
            self._progress(f"{error}; going on without it")
