"""Docstrings tell what a caller needs: what a thing is, the errors that it raises, the shapes of its arrays."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import chatir
from chatir.errors import ChatirError

PACKAGES = {
    *("answerers", "compare", "datasets", "measures", "models"),
    *("prompts", "questioners", "retriever", "run", "simulate", "storage"),
}
MODULES = {"console", "dialog", "errors", "plugins"}

OUTSIDE = {
    "chatir.models.lavis.worker",  # runs in LAVIS's environment, and can be imported only there
}

ARRAYS = re.compile(r"\b(Tensor|NDArray|ArrayLike|Figures|Ranks|Counts|Vectors|Array|Numbers)\b")
SHAPE = re.compile(r"\[(?![A-Z]{2,}\])[^\[\]]+\]")  # such as [n, d]; [CLS] is a token
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Named(NamedTuple):
    """A public class, function, method or property: where it is, what it is, and the class that it belongs to."""

    where: str
    thing: Any
    owner: type | None = None

    @property
    def doc(self) -> str:
        """Its own docstring; of an `__init__` also that of its class, which tells how it is made."""
        own = vars(self.thing).get("__doc__") if inspect.isclass(self.thing) else self.thing.__doc__
        of_class = self.owner.__doc__ if self.owner and self.where.endswith("__init__") else None
        return "\n".join(text for text in (own, of_class) if text)

    @property
    def function(self) -> Callable[..., Any] | None:
        """What runs when it is called or looked up; None for a class."""
        of_property = getattr(self.thing, "fget", None) or getattr(self.thing, "func", None)
        thing = inspect.unwrap(of_property or getattr(self.thing, "__func__", self.thing))
        return thing if inspect.isfunction(thing) else None


def modules() -> set[str]:
    """All but the commands, whose docstrings are their help."""
    found = {"chatir", *(f"chatir.{name}" for name in MODULES | PACKAGES)}
    for name in PACKAGES:
        package = importlib.import_module(f"chatir.{name}")
        found |= {module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")}
    return found - OUTSIDE


def named(module: str) -> Iterator[Named]:
    """What a module itself defines under public names."""
    content = importlib.import_module(module)
    for name, thing in vars(content).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module:
            continue
        if inspect.isclass(thing):
            yield Named(f"{module}.{name}", thing)
            yield from members(f"{module}.{name}", thing)
        elif inspect.isfunction(inspect.unwrap(thing)):
            yield Named(f"{module}.{name}", thing)


def members(where: str, owner: type) -> Iterator[Named]:
    """The methods and properties that somebody wrote: not what `dataclass` makes, nor a field that holds a function."""
    for name, member in vars(owner).items():
        thing = Named(f"{where}.{name}", member, owner)
        public = name == "__init__" or not (name.startswith("_") or name in inspect.get_annotations(owner))
        if public and thing.function and thing.function.__code__.co_filename.endswith(".py"):
            yield thing


def code(thing: Named) -> ast.AST | None:
    return thing.function and ast.parse(textwrap.dedent(inspect.getsource(thing.function))).body[0]


def raised(thing: Named) -> Iterator[type[ChatirError]]:
    """The errors that its own body raises, made there or by a function that is annotated to give one."""
    statements = [node for node in own_statements(code(thing)) if isinstance(node, ast.Raise)]
    for statement in statements:
        call = statement.exc
        maker = resolved(call.func if isinstance(call, ast.Call) else call, thing)
        if inspect.isfunction(maker):
            maker = resolved(ast.parse(str(maker.__annotations__.get("return")), mode="eval").body, Named("", maker))
        if inspect.isclass(maker) and issubclass(maker, ChatirError):
            yield maker


def own_statements(node: ast.AST | None) -> Iterator[ast.AST]:
    """Everything in a function, but for what the functions in it do."""
    for child in ast.iter_child_nodes(node) if node else ():
        if not isinstance(child, (*FUNCTIONS, ast.Lambda)):
            yield child
            yield from own_statements(child)


def resolved(node: ast.AST | None, thing: Named) -> Any:
    """What a name, or a method of `self`, stands for where the thing is defined; None for all else."""
    if isinstance(node, ast.Name) and thing.function:
        return thing.function.__globals__.get(node.id, getattr(builtins, node.id, None))
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return getattr(thing.owner, node.attr, None)
    return None


def holds_arrays(thing: Named) -> bool:
    annotations = getattr(thing.function or thing.thing, "__annotations__", {})
    return any(ARRAYS.search(str(annotation)) for annotation in annotations.values())


def prose(doc: str) -> list[str]:
    """The lines of a docstring without its code, which Markdown leaves as it is."""
    lines = (line for line in inspect.cleandoc(doc).splitlines() if not line.startswith("    "))
    return re.sub(r"`[^`]*`", "code", "\n".join(lines)).splitlines()


def everything() -> Iterator[Named]:
    """All that is public in all modules."""
    for module in sorted(modules()):
        yield from named(module)


def test_every_public_name_says_what_it_is() -> None:
    assert [module for module in modules() if not importlib.import_module(module).__doc__] == []
    assert [
        thing.where for thing in everything() if not thing.where.endswith("__init__") and not thing.doc.strip()
    ] == []


def test_names_that_a_package_offers_are_documented_where_they_are_defined() -> None:
    packages = map(importlib.import_module, modules())
    offered = [getattr(package, name) for package in packages for name in getattr(package, "__all__", ())]
    assert [
        thing for thing in offered if (inspect.isclass(thing) or inspect.isfunction(thing)) and not thing.__doc__
    ] == []


def test_every_error_that_a_function_raises_is_named() -> None:
    untold = [
        f"{thing.where}: {error.__name__}"
        for thing in everything()
        for error in raised(thing)
        if not any(kind.__name__ in thing.doc for kind in error.__mro__ if issubclass(kind, ChatirError))
    ]
    assert untold == []


def test_arrays_have_a_shape() -> None:
    assert [thing.where for thing in everything() if holds_arrays(thing) and not SHAPE.search(thing.doc)] == []


def test_markdown_shows_what_was_written() -> None:
    docs = {thing.where: thing.doc for thing in everything()}
    docs |= {module: importlib.import_module(module).__doc__ or "" for module in modules()}
    odd = [where for where, doc in docs.items() if doc.count("`") % 2]
    for where, doc in docs.items():
        lines = prose(doc)
        odd += [f"{where}: {line}" for line in lines if re.search(r"<\w|\*\w|(?<!\w)_\w|\w_(?!\w)|\]\(", line)]
        odd += [
            f"{where}: {line}"
            for before, line in zip(["", *lines], lines, strict=False)
            if re.match(r"[#>]|\d+\.\s", line)
            or (line.startswith("- ") and before and not before.startswith(("- ", "  ")))
        ]
    assert odd == []


def test_the_modules_are_found() -> None:
    assert {"chatir.simulate.simulate", "chatir.measures.retrieval", "chatir.prompts.estimates"} <= modules()
    assert chatir.Dialog.__module__ == "chatir.dialog"
    found = {thing.where for thing in named("chatir.run.file")}
    assert {"chatir.run.file.RunFile.reading", "chatir.run.file.RunFile.config"} <= found
