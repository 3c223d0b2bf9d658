"""The images that a model holds: those shown last, and whoever keeps more of an image is told when one has to go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cachetools import LRUCache

Value = TypeVar("Value")


class KeptImages(LRUCache[str, Value]):
    """At most so many values by the names of their images; the one used longest ago makes room for another."""

    def __init__(self, most: int, gone: Callable[[str], None]) -> None:
        """gone: called with the name of each image that had to make room."""
        super().__init__(most)
        self._gone = gone

    def popitem(self) -> tuple[str, Value]:
        """Make room."""
        image, value = super().popitem()
        self._gone(image)
        return image, value

    def clear(self) -> None:
        """Keep nothing; that is no lack of room."""
        for image in list(self):
            del self[image]
