"""Which room of the house knows which: the directions that CONTRIBUTING states, read from the import statements."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "chatir"

NOUNS = {"dialog", "errors", "storage", "measures", "console", "signals"}
"""What every room may speak of: values, texts, files and lines, none of which knows a room."""

PLAYER = {"dialog", "errors", "plugins", "models", "prompts", "measures.questions"}
PLAYER |= {"storage.image_folder", "storage.image_names", "datasets.data_folder", "datasets.dialogue_json"}

KNOWS = {
    "questioners": PLAYER,
    "answerers": PLAYER,
    "datasets": NOUNS,
    "run": NOUNS | {"datasets"},
    "simulate": NOUNS | {"run", "datasets", "models.builtin", "prompts.estimates", "plugins"},
    "retriever": NOUNS | {"plugins", "models", "datasets"},
    "retriever.score": NOUNS | {"run", "datasets"},
    "compare": NOUNS | {"run", "datasets", "models.local.sentences"},
    **dict.fromkeys(NOUNS - {"storage", "measures"}, NOUNS),
    "storage": {"errors"},
    "measures": {"errors", "dialog"},
    "plugins": {"errors"},
}
"""What a room, or a file of one, may import beside its own; what is not named here may import what it likes."""


def modules(room: str) -> Iterator[tuple[str, Path]]:
    """The modules of a room or file, by their names below `chatir`; those with a rule of their own are left out."""
    path = PACKAGE.joinpath(*room.split("."))
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name == room or name not in KNOWS:
            yield name, file


def imported(source: str) -> set[str]:
    """What of chatir a file imports, wherever in it, by its name below `chatir`; not what only types are read from."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{ast.unparse(node)}: is relative; modules are imported by their full names"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        waiting += ast.iter_child_nodes(node)
    return {name.removeprefix("chatir.") for name in found if name.startswith("chatir.")}


def within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def strange(room: str) -> list[str]:
    """What a room imports and may not: `retriever.index.lookup imports run.file.RunFile`."""
    own = {room.partition(".")[0], "__version__", *("Dialog", "Round", "Reply")}
    return [
        f"{name} imports {other}"
        for name, file in modules(room)
        for other in sorted(imported(file.read_text(encoding="utf-8")))
        if not within(other, KNOWS[room] | own)
    ]


@pytest.mark.parametrize("room", sorted(KNOWS))
def test_a_room_imports_only_what_it_may_know(room: str) -> None:
    assert list(modules(room)), f"there is no {room} any more"
    assert not strange(room)


def test_every_import_is_seen_but_those_for_types() -> None:
    source = """
from typing import TYPE_CHECKING
import chatir.run.file
from chatir.simulate import loop, Targets as T
if TYPE_CHECKING:
    from chatir.run.runs import Run
else:
    from chatir.datasets.data_folder import RELEASED
def later():
    try:
        from chatir.retriever import score
    except ImportError:
        import torch
"""
    assert imported(source) == {
        "run.file",
        "simulate.loop",
        "simulate.Targets",
        "datasets.data_folder.RELEASED",
        "retriever.score",
    }


LIGHT = {
    "chatir.run.file": ("chatir.simulate", "chatir.prompts", "chatir.models", "asyncio", "numpy", "pydantic"),
    "chatir.retriever.ranking.stop_on_hit": ("chatir.run", "chatir.simulate"),
    "chatir.run.runs": ("chatir.simulate", "chatir.models", "torch"),
}


@pytest.mark.parametrize(("module", "others"), LIGHT.items(), ids=LIGHT)
def test_a_module_loads_nothing_of_what_it_has_no_use_for(module: str, others: tuple[str, ...]) -> None:
    script = f"import sys, {module}; print([name for name in {others} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
