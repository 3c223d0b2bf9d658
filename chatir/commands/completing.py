"""What a shell offers for the name of a player or retriever, and for the options that it takes."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from chatir.plugins import Kind, find, options_model, plugins

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Offer = Callable[[click.Context, click.Parameter, str], list["CompletionItem[str]"]]

BUILT_IN = {"hf": "scenes:t5", "blip2": "scenes:blip2", "clip": "scenes:clip"}
"""Which model that comes with chatir a player or retriever can be given as its `model`."""


def names(kind: Kind) -> Offer:
    """What begins like that among all that is installed of a kind; nothing is imported."""

    def offer(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
        return _beginning_with(typed, [plugin.name for plugin in plugins(kind)])

    return offer


def run_names(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """What begins like that among the runs in the folder `outputs`; where none does, perhaps a file does."""
    files = (path for ending in ("json", "run") for path in Path("outputs").glob(f"[!.]*.{ending}"))
    found = _beginning_with(typed, sorted({path.stem for path in files}))
    return found or [CompletionItem(typed, type="file")]


def measures(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """The measures of a comparison that are not named yet, after the commas that are typed."""
    from chatir.measures.names import known_measures

    before, comma, last = typed.rpartition(",")
    known = [name for name in known_measures(context.params.get("ks") or ()) if name not in before.split(",")]
    return _beginning_with(last, known, before + comma)


def options_of(kind: Kind, chosen: str) -> Offer:
    """`KEY=VALUE` for the options of what was chosen, each offered once; chosen: the parameter that names it.

    Once the key is plain, its values are offered with it: a shell that knows one completion only would put a space
    behind the `=`.
    """

    def offer(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[str]]:
        name = context.params.get(chosen)
        if not name:
            return []
        given = dict(pair.split("=", 1) for pair in context.params.get(str(parameter.name)) or () if "=" in pair)
        fields = _fields(kind, name, given)
        key, equals, value = typed.partition("=")
        if equals:
            return _values_of(kind, key, value, fields)
        keys = [known for known in fields if known.startswith(key) and known not in given]
        if len(keys) != 1:
            return [CompletionItem(f"{known}=") for known in keys]
        (key,) = keys
        values = _known_values(kind, key, *fields[key])
        return [CompletionItem(f"{key}={value}") for value in (values if len(values) > 1 else ["", *values])]

    return offer


def _beginning_with(typed: str, known: Sequence[str], before: str = "") -> list[CompletionItem[str]]:
    return [CompletionItem(before + word) for word in known if word.startswith(typed)]


def _fields(kind: Kind, name: str, given: Mapping[str, str]) -> dict[str, tuple[str, FieldInfo]]:
    """The options of a player or retriever, and whose they are; those of the player that it leads, too."""
    model = options_model(find(kind, name).load())
    if model is None:
        return {}
    fields = {key: (name, field) for key, field in model.model_fields.items()}
    if "backend" in fields and _names_a_player("backend", fields["backend"][1]):
        leads = given.get("backend", model.model_fields["backend"].default)
        fields = _fields(kind, leads, {}) | fields
    return fields


def _names_a_player(key: str, field: FieldInfo) -> bool:
    """Whether an option is the name of another player, which takes all further options."""
    return key == "backend" and field.annotation is str


def _values_of(
    kind: Kind, key: str, typed: str, fields: Mapping[str, tuple[str, FieldInfo]]
) -> list[CompletionItem[str]]:
    """`KEY=VALUE` for a key that is typed; where no known value begins like that, perhaps a file does."""
    if key not in fields:
        return []
    found = _beginning_with(typed, _known_values(kind, key, *fields[key]), f"{key}=")
    takes_a_file = key in ("model", "prompt") or "Path" in str(fields[key][1].annotation)
    return [CompletionItem(typed, type="file")] if takes_a_file and not found else found


def _known_values(kind: Kind, key: str, owner: str, field: FieldInfo) -> list[str]:
    """The values that can be told of an option: all, or some that it takes and its default."""
    known = _words(field.annotation)
    if key == "prompt":
        from chatir.prompts import prompt_names

        known += prompt_names()
    elif key == "model" and owner in BUILT_IN:
        known.append(BUILT_IN[owner])
    elif _names_a_player(key, field):
        known += [plugin.name for plugin in plugins(kind)]
    default = field.default
    if not isinstance(default, bool) and isinstance(default, str | int | float) and len(str(default).split()) == 1:
        known.append(str(default))
    return list(dict.fromkeys(known))


def _words(annotation: Any) -> list[str]:
    """The words that a type consists of, as a user types them: `greedy`, `true`, `none`."""
    if annotation is bool:
        return ["true", "false"]
    if annotation is types.NoneType:
        return ["none"]
    arguments = typing.get_args(annotation)
    match typing.get_origin(annotation):
        case typing.Literal:
            return [str(argument) for argument in arguments]
        case typing.Annotated:
            return _words(arguments[0])
        case typing.Union | types.UnionType:
            return [word for argument in arguments for word in _words(argument)]
    return []
