"""Compares runs by their files: repetition, defects, significance, tables, figures, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatir.compare.comparing import compare
    from chatir.compare.comparison import Comparison

__all__ = ["Comparison", "compare"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first asked for: `chatir lint` needs none of it."""
    if name == "compare":
        from chatir.compare.comparing import compare

        return compare
    if name == "Comparison":
        from chatir.compare.comparison import Comparison

        return Comparison
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
