"""Writes what the commands and the players say of themselves into reference/commands.md and reference/options.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from chatir.cli import commands
from chatir.plugins import KINDS, Kind, Plugin, describe_options, options_model, plugins

WIDTH = 100
REFERENCE = Path(__file__).parent / "reference"
REMADE = "`python docs/commands.py` writes this page; a test holds it against the code."

COMMANDS = f"""# Commands

What `--help` prints of every command. Every option can also come from the environment: `CHATIR_SIMULATE_LIMIT=20` is
`simulate --limit 20`. {REMADE}

## Exit codes

| code | means |
| ---: | --- |
| 0 | done |
| 1 | finished, but some dialogs failed; they are named, and the same command tries them again |
| 2 | wrong use or bad input, a rejected key included; one line on stderr says what, and nothing is overwritten |
| 3 | stopped early (cost limit, quota, a GPU that failed or is full); all is saved; a line says what goes on |
| 130 | interrupted; all is saved |

Results go to stdout, messages and progress to stderr.
"""

OPTIONS = f"""# Options of the players

The options that each built-in player takes, as `-q KEY=VALUE` (questioners), `-a KEY=VALUE` (answerers) and
`-r KEY=VALUE` (retrievers). What they mean stands with the [questioners](questioners.md), [answerers](answerers.md) and
[retrievers](retrievers.md). `chatir list` prints the same, with the players of other packages. {REMADE}
"""


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    helps = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in command_helps(commands, "chatir")]
    kinds = [f"## {kind.capitalize()}\n\n{players(kind)}" for kind in KINDS]
    return {"commands.md": "\n".join([COMMANDS, *helps]), "options.md": "\n".join([OPTIONS, *kinds])}


def command_helps(command: click.Command, name: str, above: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """What `--help` prints of a command and of all below it, in the order in which they are listed."""
    settings = {**command.context_settings, "terminal_width": WIDTH}
    context = click.Context(command, info_name=name.split()[-1], parent=above, **settings)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from command_helps(command.commands[below], f"{name} {below}", context)


def players(kind: Kind) -> str:
    """The players of a kind that come with chatir, each with a table of its options."""
    own = [plugin for plugin in plugins(kind) if plugin.distribution == "chatir"]
    return "\n".join(f"### {kind[:-1]} `{plugin.name}`\n\n{options_table(plugin)}" for plugin in own)


def options_table(plugin: Plugin) -> str:
    """A row for each option: its name, default, and what it may be."""
    model = options_model(plugin.load())
    if model is None:
        return "It has no options.\n"
    rows, told = [], describe_options(model)
    for name, field in model.model_fields.items():
        part = re.match(rf"{name}(?:=(.*?))? \(([^)]*)\)(?:, |$)", told)
        assert part is not None, told
        told = told[part.end() :]
        default = "required" if field.is_required() else f"`{part[1]}`"
        rows.append(f"| `{name}` | {default} | {', '.join(f'`{word}`' for word in part[2].split('|'))} |\n")
    more = "\nFurther options are those of its `backend`.\n" if told else ""
    return f"| option | default | takes |\n| --- | --- | --- |\n{''.join(rows)}{more}"


if __name__ == "__main__":
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)
