"""What `chatir list` prints: the installed players, retrievers and prompts, with their options."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from textwrap import wrap

from chatir.errors import InputError
from chatir.plugins import KINDS, Kind, Plugin, describe_options, options_model, plugins

WIDTH = 100
INDENT = " " * 6


def listing(kind: str | None = None) -> str:
    """One kind, or all of them under headings. A plugin that cannot be loaded is listed with the reason."""
    parts = [_section(known, plugins(known)) for known in KINDS if kind in (None, known)]
    if kind in (None, "prompts"):
        parts.append(_prompts())
    return "\n\n".join(parts)


def _section(kind: Kind, found: Iterable[Plugin]) -> str:
    return "\n".join(
        [kind, *(line for plugin in found for line in _lines(plugin))] if found else [kind, "  none installed"]
    )


def _lines(plugin: Plugin) -> list[str]:
    source = "" if plugin.distribution == "chatir" else f"  (from {plugin.distribution})"
    lines = [f"  {plugin.name}{source}"]
    try:
        factory = plugin.load()
    except InputError as error:
        return [*lines, f"{INDENT}{error}"]
    told_by = inspect.getmodule(factory) if inspect.isclass(factory) else factory
    about = inspect.getdoc(told_by) or inspect.getdoc(factory) or ""
    first = about.splitlines()[0] if about else ""
    lines.append(f"{INDENT}{first.removeprefix(f'`{plugin.name}`: ')}")
    if model := options_model(factory):
        options = f"options: {describe_options(model)}"
        lines += wrap(options, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT + " " * 9, break_on_hyphens=False)
    return lines


def _prompts() -> str:
    from chatir.prompts import prompts

    lines = ["prompts"]
    for prompt in prompts():
        lines += [
            f"  {prompt.name}  (version {prompt.version}, sha256 {prompt.sha256[:12]})",
            f"{INDENT}{prompt.source}",
        ]
    return "\n".join(lines)
