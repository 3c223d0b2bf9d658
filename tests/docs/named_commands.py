"""Whether the commands that a page names exist: chatir's with their options and players, make's targets, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import click
from docs.pages import PROJECT, Page
from docs.shell_words import called
from pydantic import BaseModel, ValidationError

from chatir.cli import commands
from chatir.errors import InputError
from chatir.plugins import KINDS, Kind, did_you_mean, find, options_model, parse_options

MISTYPED = {"literal_error", "int_parsing", "int_type", "float_parsing", "bool_parsing", "greater_than_equal"}
REGISTERED = re.compile(r'\[project\.entry-points\."?chatir\.(\w+)"?\]\n((?:[\w-]+ = ".*\n)+)')


def complaints(page: Page) -> list[str]:
    """What is wrong with the commands of a page: those of its `sh` blocks, run or not, and those in sentences."""
    own = {kind: set(re.findall(r"^([\w-]+) = ", names, re.MULTILINE)) for kind, names in REGISTERED.findall(page.text)}
    told = []
    for block in page.blocks:
        for words in called(block.text) if block.language == "sh" else ():
            told += [f"{block.where}: {' '.join(words)}: {wrong}" for wrong in complaints_of(words, own)]
    for span in page.spans:
        told += [f"{page.name}: `{span}`: {wrong}" for wrong in _complaints_of_span(span)]
    return told


def complaints_of(words: Sequence[str], own: dict[str, set[str]]) -> Iterator[str]:
    """What is wrong with one command. own: players, by kind, that the page itself registers."""
    program, *rest = words
    match PurePath(program).name:
        case "chatir":
            yield from _of_chatir(rest, own)
        case "make":
            targets = [word for word in rest if re.fullmatch(r"[a-z][a-z-]*", word)]
            yield from (f"there is no target {target!r}" for target in targets if target not in _make_targets())
        case "python" | "python3":
            yield from _of_python(rest)


def _of_chatir(words: Sequence[str], own: dict[str, set[str]]) -> Iterator[str]:
    command, path, rest = _command(words)
    if isinstance(command, click.Group):
        if rest and not rest[0].startswith("-"):
            yield f"{path} has no command {rest[0]!r}"
        return
    above = click.Context(commands, info_name="chatir", **commands.context_settings)
    try:
        given = command.make_context(path, list(rest), parent=above).params
    except click.exceptions.Exit:  # --help
        return
    except click.ClickException as error:
        yield error.format_message()
        return
    for kind in KINDS:
        role = kind[:-1]
        if (name := given.get(role)) and name not in own.get(kind, ()):
            yield from _of_player(kind, name, given.get(f"{role}_options") or ())


def _of_player(kind: Kind, name: str, pairs: Sequence[str]) -> Iterator[str]:
    try:
        given, models = parse_options(pairs, "its option"), list(_models(kind, name, pairs))
    except InputError as error:
        yield str(error)
        return
    fields = [key for model in models for key in model.model_fields]
    for key in given:
        if key not in fields:
            yield f"{kind[:-1]} {name!r} has no option {key!r}{did_you_mean(key, fields)}"
    typed = {key: value for key, value in given.items() if not (value.isupper() or "$" in value or value == "none")}
    for model in models:
        yield from _mistyped(model, typed)


def _models(kind: Kind, name: str, pairs: Sequence[str]) -> Iterator[type[BaseModel]]:
    """The options of a player; and those of the one that it leads, as its `backend`."""
    model = options_model(find(kind, name).load())
    if model is None:
        return
    yield model
    if model.model_config.get("extra") == "allow":
        leads = parse_options(pairs, "its option").get("backend", model.model_fields["backend"].default)
        if leads != "transformers":
            yield from _models(kind, "blip2-lavis" if leads == "lavis" else leads, ())


def _mistyped(model: type[BaseModel], given: dict[str, Any]) -> Iterator[str]:
    try:
        model.model_validate({key: value for key, value in given.items() if key in model.model_fields})
    except ValidationError as error:
        for each in error.errors():
            if each["loc"] and each["loc"][0] in given and each["type"] in MISTYPED:
                yield f"{each['loc'][0]}={given[str(each['loc'][0])]}: {each['msg']}"


def _complaints_of_span(span: str) -> Iterator[str]:
    """Of a command in a sentence: it may be cut short, but what is there exists."""
    words = span.split()
    if words[:1] == ["make"]:
        yield from complaints_of(words, {})
    if words[:1] != ["chatir"] or not re.match(r"chatir [a-z]", span):
        return
    command, path, rest = _command(words[1:])
    if isinstance(command, click.Group):
        if rest and re.fullmatch(r"[a-z]+", rest[0]):
            yield f"{path} has no command {rest[0]!r}"
        return
    known = {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"}
    named = [word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    yield from (f"{path} has no option {word!r}" for word in named if word not in known)


def _command(words: Sequence[str]) -> tuple[click.Command, str, Sequence[str]]:
    """The command that words name, its full name, and the words left."""
    command: click.Command = commands
    path, rest = "chatir", list(words)
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command, path = command.commands[rest[0]], f"{path} {rest.pop(0)}"
    return command, path, rest


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def _of_python(words: Sequence[str]) -> Iterator[str]:
    """Of a script or module of the project: it is there."""
    if words[:1] == ["-m"] and re.match(r"(benchmarks|tools)\.", words[1]):
        path = f"{words[1].replace('.', '/')}.py"
    elif words and re.match(r"[a-z]+/[\w/]+\.py", words[0]):
        path = words[0]
    else:
        return
    if not (PROJECT / path).is_file():
        yield f"there is no {path}"
