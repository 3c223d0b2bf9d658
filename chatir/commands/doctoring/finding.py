"""A finding: something that is ready or not, and the lines that mend it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "optional", "needs", "broken"]
"""`optional` is missing where nothing asks for it by itself; `needs` and `broken` are gaps."""

_MEND = re.compile(r"(?P<pip>pip install .+)|'(?P<chatir>chatir [^']+)'")
"""How errors name their way out: a pip line at the end, or a command of chatir in quotes."""


@dataclass(frozen=True)
class Finding:
    """Something looked at.

    mends: for each thing that is missing, the lines to type or options to give, any one of which mends it. A gap has
    one at least.
    """

    what: str
    state: State
    detail: str
    mends: tuple[tuple[str, ...], ...] = ()

    @property
    def gap(self) -> bool:
        """Whether something is missing that something here needs, or is broken."""
        return self.state in ("needs", "broken")


def mends_in(message: str) -> tuple[str, ...]:
    """The line that an error of chatir tells to type, if it tells one."""
    found = _MEND.search(message)
    return (found["pip"] or found["chatir"],) if found else ()


def looked_at(what: str, mend: str, look: Callable[[], Sequence[Finding]]) -> tuple[Finding, ...]:
    """What a look finds. One that fails is a finding, too: an examination tells what is wrong, and never ends in it.

    mend: the line for a failure that tells none itself.
    """
    try:
        return tuple(look())
    except (Exception, SystemExit) as error:
        told = f"cannot be looked at: {one_line(error)}"
        return (Finding(what, "broken", told, (mends_in(told) or (mend,),)),)


def one_line(error: BaseException) -> str:
    """An error's kind and the beginning of what it says."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:300]}" if said else type(error).__name__


def gigabytes(size: float) -> str:
    """Bytes as a person says them: `0.6 GB`, `24 GB`."""
    return f"{size / 1e9:.1f} GB" if size < 10e9 else f"{size / 1e9:,.0f} GB"


def without_home(text: str) -> str:
    """A text with `~` for the home of whoever is at work, whose name it may hold: it goes into bug reports."""
    try:
        home = str(Path.home())
    except RuntimeError:
        return text
    return text.replace(f"{home}/", "~/") if len(home) > 1 else text
