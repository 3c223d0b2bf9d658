"""The one rule of the house: a file imports its own room and lower storeys only, read from the import statements."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "chatir"

STOREYS = [
    "__main__",
    "cli",
    "commands",
    "simulate questioners answerers retriever compare",
    "models run",
    "prompts datasets",
    "measures storage plugins console",
    "dialog",
    "errors",
]
"""Rooms and files of the package, the highest storey first, as CONTRIBUTING has them."""

LEVEL = {room: -level for level, rooms in enumerate(STOREYS) for room in rooms.split()}


def files() -> dict[str, Path]:
    """Every file of the package but its `__init__`, by its name below `chatir`."""
    found = {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): file for name, file in found.items() if name != "__init__"}


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


def strange(name: str, source: str) -> list[str]:
    """What a file imports of a room that is not below its own: `retriever.index.lookup imports compare.comparison`."""
    room = name.partition(".")[0]
    nouns = {"Dialog": "dialog", "Reply": "dialog", "Round": "dialog"}  # which the package itself offers
    names = sorted(nouns.get(other, other) for other in imported(source))
    others = [other for other in names if other.partition(".")[0] in LEVEL.keys() - {room}]
    return [f"{name} imports {other}" for other in others if LEVEL[other.partition(".")[0]] >= LEVEL[room]]


def test_a_file_imports_its_own_room_and_lower_storeys_only() -> None:
    sources = {name: file.read_text(encoding="utf-8") for name, file in files().items()}
    assert {name.partition(".")[0] for name in sources} == LEVEL.keys()
    assert [line for name, source in sources.items() for line in strange(name, source)] == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("storage.files", "from chatir.measures.ranks import ranks"),
        ("compare.comparing", "from chatir.retriever.score import score"),
        ("run.file", "import chatir.simulate.simulate"),
        ("errors", "from chatir import Dialog"),
        ("errors", "def later():\n    from chatir.dialog import Dialog"),
    ],
)
def test_an_import_upward_or_from_beside_is_strange(name: str, source: str) -> None:
    assert len(strange(name, source)) == 1


def test_no_files_import_each_other_in_a_circle() -> None:
    known = files()

    def file_of(name: str) -> str:
        while name not in known and name:
            name = name.rpartition(".")[0]
        return name

    graph = {name: {file_of(other) for other in imported(file.read_text("utf-8"))} for name, file in known.items()}
    TopologicalSorter({name: others - {name, ""} for name, others in graph.items()}).prepare()


def test_every_import_is_seen_but_those_for_types() -> None:
    source = """
from typing import TYPE_CHECKING
import chatir.run.file
from chatir.simulate import setting, Targets as T
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
        "simulate.setting",
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
