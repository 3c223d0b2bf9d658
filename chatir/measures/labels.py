"""What files are called where several stand side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def run_names(files: Sequence[Path | str]) -> list[str]:
    """The stems of the files, with as many folders before them as tell them apart; what is still alike is numbered."""
    paths = [Path(file).with_suffix("").parts for file in files]
    different = set(paths)
    stems = Counter(path[-1:] for path in different)
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        depth = 1
        if stems[path[-1:]] > 1:
            alike = [other for other in different if other[-1:] == path[-1:]]
            while depth < len(path) and sum(other[-depth:] == path[-depth:] for other in alike) > 1:
                depth += 1
        stem = name = str(Path(*path[-depth:]))
        number = 1
        while name in taken:
            number += 1
            name = f"{stem} ({number})"
        taken.add(name)
        names.append(name)
    return names
