"""Writes the signatures and docstrings of what a program calls into reference/python.md, as Markdown."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference" / "python.md"

INTRODUCTION = """# Python

What a program calls, and what a player or retriever of one's own is written against. The commands are thin users of
it. Three functions are the whole story: a run is played, its targets are ranked, and runs are compared.

```py
from chatir.simulate import simulate
from chatir.retriever import score
from chatir.compare import compare
```

A [notebook](../../examples/ask_and_compare.ipynb) shows them at work, and so does the README. The rest of this page is
what they take and give: signatures and docstrings as they stand in the code. `python docs/python_api.py` writes the
page; a test holds it against the code.
"""

SECTIONS = {
    "The three functions": ("chatir.simulate.simulate", "chatir.retriever.score", "chatir.compare.compare"),
    "Dialogs": ("chatir.Dialog", "chatir.Round", "chatir.Reply", "chatir.dialog.Failure"),
    "Simulate": (
        "chatir.simulate.RunSummary",
        "chatir.simulate.Targets",
        "chatir.simulate.read_dialogs",
        "chatir.simulate.write_dialogs",
    ),
    "Players and plugins": (
        "chatir.questioners.Questioner",
        "chatir.answerers.Answerer",
        "chatir.plugins.build",
        "chatir.plugins.Context",
        "chatir.plugins.Plugin",
        "chatir.plugins.plugins",
        "chatir.plugins.find",
        "chatir.plugins.options_model",
        "chatir.plugins.describe_options",
        "chatir.prompts.estimates.Estimate",
        "chatir.storage.image_folder.ImageFolder",
        "chatir.models.reply_cache.ReplyCache",
    ),
    "Retrieve": (
        "chatir.retriever.ScoredFile",
        "chatir.retriever.load_retriever",
        "chatir.retriever.Retriever",
        "chatir.retriever.Corpus",
        "chatir.retriever.target_ranks",
        "chatir.retriever.target_scores",
        "chatir.retriever.counts_before",
        "chatir.retriever.top_k",
    ),
    "Measures": ("chatir.retriever.metrics.*",),
    "Compare": (
        "chatir.compare.Comparison",
        "chatir.compare.comparison.ComparedRun",
        "chatir.compare.comparison.Summary",
        "chatir.compare.comparison.RunFigure",
        "chatir.compare.comparison.Difference",
        "chatir.compare.comparison.Verdict",
        "chatir.compare.comparison.Agreement",
        "chatir.compare.comparison.SeedGroup",
        "chatir.compare.comparison.Spread",
        "chatir.compare.comparison.FailureBound",
    ),
    "Scenes": (
        "chatir.datasets.scenes.world.Scene",
        "chatir.datasets.scenes.world.Thing",
        "chatir.datasets.scenes.world.scenes",
        "chatir.datasets.scenes.drawing.draw",
        "chatir.datasets.scenes.folder.scene_dialogs",
        "chatir.datasets.scenes.folder.write_scenes",
        "chatir.datasets.scenes.people.captioned",
        "chatir.datasets.scenes.people.people_dialog",
        "chatir.datasets.scenes.language.Question",
        "chatir.datasets.scenes.language.understood",
        "chatir.datasets.scenes.language.wordings",
        "chatir.models.builtin.checkpoints",
    ),
    "Export": ("chatir.run.export.export.export",),
    "Errors": (
        "chatir.errors.ChatirError",
        "chatir.errors.InputError",
        "chatir.errors.StoppedRunError",
        "chatir.errors.InterruptedRunError",
    ),
}
"""What the page shows, by the paths from which it is imported; `*`: every function that a module offers."""


def pages() -> dict[str, str]:
    """The text of the page, by its file name."""
    parts = [INTRODUCTION]
    for title, paths in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [part for path in paths for name in named(path) for part in entry(name)]
    return {PAGE.name: "\n".join(parts)}


def named(path: str) -> list[str]:
    """The path itself, or those of the functions that a module offers, in the order of their code."""
    if not path.endswith(".*"):
        return [path]
    module = importlib.import_module(path.removesuffix(".*"))
    offered = sorted(module.__all__, key=lambda name: inspect.getsourcelines(getattr(module, name))[1])
    return [f"{module.__name__}.{name}" for name in offered]


def entry(path: str) -> Iterator[str]:
    """A heading, the signature, the docstring; then those of the public methods and properties of a class."""
    module, _, name = path.rpartition(".")
    thing = inspect.unwrap(getattr(importlib.import_module(module), name))
    lines = textwrap.dedent(inspect.getsource(thing)).splitlines()
    (node,) = ast.parse("\n".join(lines)).body
    assert isinstance(node, DEFINITIONS)
    yield f"### {path}\n"
    yield signature(node, lines)
    yield described(thing)
    for member in node.body:
        if isinstance(member, FUNCTIONS) and not member.name.startswith("_") and ast.get_docstring(member):
            yield f"#### {name}.{member.name}\n"
            yield signature(member, lines)
            yield described(vars(thing)[member.name])


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


def described(thing: Any) -> str:
    """A docstring, which is Markdown."""
    of_property = getattr(thing, "func", thing)  # a cached one
    return f"{inspect.getdoc(of_property) or ''}\n"


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> str:
    """A definition as it stands in the code, without its body; of a class, its fields and how it is made."""
    shown = head(node, lines)
    if isinstance(node, ast.ClassDef):
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and public(one)]
        made = [one for one in node.body if isinstance(one, FUNCTIONS) and one.name == "__init__"]
        shown += [bare(line) for one in fields for line in lines[one.lineno - 1 : one.end_lineno]]
        shown += [line for one in made for line in head(one, lines)]
    return "```py\n" + textwrap.dedent("\n".join(shown)) + "\n```\n"


def public(field: ast.AnnAssign) -> bool:
    """Whether a field of a class is one that others may use."""
    return isinstance(field.target, ast.Name) and not field.target.id.startswith("_")


def head(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, lines: list[str]) -> list[str]:
    """The lines of a definition, decorators too, up to its body."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return [bare(line) for line in lines[first - 1 : node.body[0].lineno - 1] if line.strip()]


def bare(line: str) -> str:
    """A line without the comment at its end."""
    return line.split("  # ")[0]


if __name__ == "__main__":
    for text in pages().values():
        PAGE.write_text(text)
