"""Finds questioners, answerers and retrievers by name (entry points) and builds them from options."""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from chatir.errors import ChatirError, InputError

if typing.TYPE_CHECKING:
    from pydantic import BaseModel

    from chatir.models.reply_cache import ReplyCache

Kind = Literal["questioners", "answerers", "retrievers"]
KINDS: tuple[Kind, ...] = ("questioners", "answerers", "retrievers")


def _silent(message: str) -> None:
    pass


@dataclass(frozen=True)
class Context:
    """What a run lends to a player.

    - `images`: the folder that image paths are relative to, None if the run has none
    - `cache`: replies of models, kept from run to run; None unless the user asked for it
    - `progress`: tells the user one line ("loading the model")
    """

    images: Path | None = None
    cache: ReplyCache | None = None
    progress: Callable[[str], None] = _silent

    def __post_init__(self) -> None:
        if self.images is not None:  # text is as good as a path, as for `simulate`
            object.__setattr__(self, "images", Path(self.images))


class Free:
    """A player whose replies cost nothing, also under a cost limit."""

    def max_cost(self, *asked: object) -> float:
        """0 US dollars."""
        return 0.0


@dataclass(frozen=True)
class Plugin:
    """A player or retriever that some installed distribution registers by an entry point, not yet imported."""

    kind: Kind
    entry: EntryPoint

    @property
    def name(self) -> str:
        """The name that a user types."""
        return self.entry.name

    @property
    def owner(self) -> str:
        """What error messages call it: `questioner 'human'`."""
        return f"{self.kind[:-1]} {self.name!r}"

    @property
    def distribution(self) -> str:
        """The distribution that registers it."""
        return self.entry.dist.name if self.entry.dist else "an unknown distribution"

    def load(self) -> Callable[..., Any]:
        """Import the factory; raises InputError, with the line that mends it, if that fails."""
        try:
            factory = self.entry.load()
        except ImportError as error:
            raise self.lacking(error) from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"{self.owner} of {self.distribution} cannot be loaded: {reason}") from error
        if not callable(factory):
            raise InputError(f"{self.owner} of {self.distribution}: {self.entry.value} is not callable")
        return typing.cast("Callable[..., Any]", factory)

    def lacking(self, error: ImportError) -> InputError:
        """A missing dependency, told with the `pip install` line that brings it."""
        extras = f"[{','.join(self.entry.extras)}]" if self.entry.extras else ""
        lack = error.name or str(error)
        mend = f"pip install '{self.distribution}{extras}'" if extras else f"pip install {lack}"
        return InputError(f"{self.owner} needs the package {lack!r}: {mend}")

    def read_options(self, options: Mapping[str, Any]) -> BaseModel | None:
        """Check options, typed or as a user types them, against the factory's model; None if it has none.

        Raises InputError for an option that is unknown, lacking or wrong, and as `load` does.
        """
        if (model := options_model(self.load())) is not None:
            return _checked_options(model, options, self.owner)
        if options:
            raise InputError(f"{self.owner} has no options, but got {', '.join(options)}")
        return None

    def changed(self, options: Mapping[str, str]) -> dict[str, str]:
        """Of options as a user types them, those that differ from their defaults; numbers and the like in one spelling.

        What goes on to another player, by an option `backend` that names it, is held against that one's defaults.
        Raises InputError as `build` does for an option that is unknown, lacking or wrong.
        """
        if (read := self.read_options(options)) is None:
            return {}
        further = {key: options[key] for key in read.model_extra or {}}
        led = {plugin.name: plugin for plugin in plugins(self.kind)}.get(getattr(read, "backend", None) or "")
        if further and led is not None:
            further = led.changed(further)
        for key, field in type(read).model_fields.items():
            value = getattr(read, key)
            if key in options and value != field.get_default(call_default_factory=True):
                further[key] = _spelt(value) if isinstance(value, int | float | None) else options[key]
        return further

    def build(self, options: Mapping[str, Any], context: Context) -> Any:
        """Make the player from its options, checked against the factory's typed model.

        Values may be typed (`0.7`) or as a user types them (`"0.7"`, `"none"`). The factory gets its options and the
        `Context`, each where one of its parameters is annotated so. Raises InputError for an option that is unknown,
        lacking or wrong, for a missing dependency, and for whatever the factory raises (a ChatirError as it is).
        """
        factory = self.load()
        model, read = options_model(factory), self.read_options(options)
        arguments: dict[str, Any] = {}
        for name, kind in _parameters(factory).items():
            if kind is model:
                arguments[name] = read
            elif kind is Context:
                arguments[name] = context
        try:
            return factory(**arguments)
        except ImportError as error:
            raise self.lacking(error) from error
        except ChatirError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"{self.owner} cannot be made: {type(error).__name__}: {error}") from error


def plugins(kind: Kind) -> list[Plugin]:
    """All that is registered in a group, by name; nothing is imported.

    Raises InputError for a name that two factories have.
    """
    found: dict[str, Plugin] = {}
    for entry in entry_points(group=f"chatir.{kind}"):
        plugin = Plugin(kind, entry)
        other = found.setdefault(entry.name, plugin)
        if other.entry.value != entry.value:
            raise InputError(
                f"two {kind} are named {entry.name!r}: one of {other.distribution}, one of {plugin.distribution}; "
                "uninstall one of them"
            )
    return sorted(found.values(), key=lambda plugin: plugin.name)


def find(kind: Kind, name: str) -> Plugin:
    """The plugin of that name. Raises InputError where there is none, with what was perhaps meant."""
    known = {plugin.name: plugin for plugin in plugins(kind)}
    if name not in known:
        raise InputError(f"there is no {kind[:-1]} {name!r}{did_you_mean(name, known)}")
    return known[name]


def build(kind: Kind, name: str, options: Mapping[str, Any], context: Context | None = None) -> Any:
    """Build a player or retriever by name, as the command does.

    - `kind`: `questioners`, `answerers` or `retrievers`
    - `name`: as `chatir list` shows it
    - `options`: by their names there, typed or as a user types them
    - `context`: what the run lends; without one, no images, no cache, and progress that nobody reads

    Raises InputError for a name that is not known, for wrong options and for a missing dependency.
    """
    return find(kind, name).build(options, context or Context())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean 'human'? there are: human, smollm2`."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ";"
    return f"{meant} there are: {', '.join(names) or 'none'}"


def options_model(factory: Callable[..., Any]) -> type[BaseModel] | None:
    """The pydantic model that a parameter of a factory is annotated with, None if it takes no options."""
    from pydantic import BaseModel

    for annotation in _parameters(factory).values():
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


def _parameters(factory: Callable[..., Any]) -> dict[str, Any]:
    target = factory.__init__ if inspect.isclass(factory) else factory
    try:
        hints = typing.get_type_hints(target)
    except NameError as error:
        raise InputError(f"{factory.__qualname__}: an annotation cannot be read at run time: {error}") from None
    except TypeError:  # a class without an __init__ of its own
        return {}
    return {name: hint for name, hint in hints.items() if name != "return"}


def _checked_options(model: type[BaseModel], options: Mapping[str, Any], owner: str) -> BaseModel:
    from pydantic import ValidationError

    unknown = [name for name in options if name not in model.model_fields]
    if unknown and model.model_config.get("extra") != "allow":
        raise InputError(f"{owner} has no option {unknown[0]!r}{did_you_mean(unknown[0], model.model_fields)}")
    given = {name: None if _means_none(model, name, value) else value for name, value in options.items()}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first, *more = error.errors()
        name = str(first["loc"][0]) if first["loc"] else "options"
        if first["type"] == "missing":
            raise InputError(f"{owner} needs the option {name!r}: {describe_options(model)}") from None
        told = first["msg"].lower().removeprefix("value error, ")
        if name == "options":
            raise InputError(f"{owner}: {told}") from None
        if more and more[0]["loc"][:1] == first["loc"][:1]:  # none of several types
            told = f"must be {_type(model.model_fields[name].annotation)}"
        given_value = options[name]
        raise InputError(f"{owner}: option {name}={given_value!r}: {told}") from None


def _means_none(model: type[BaseModel], name: str, value: Any) -> bool:
    """Whether a typed `none` is the absence of a value."""
    field = model.model_fields.get(name)
    return value == "none" and field is not None and type(None) in typing.get_args(field.annotation)


def describe_options(model: type[BaseModel] | None) -> str:
    """The options of a factory, with defaults and types: `shots=1 (int), batch_size=8 (int)`."""
    if model is None:
        return "none"
    parts = []
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f"={_value(field.default)}"
        parts.append(f"{name}{default} ({_type(field.annotation)})")
    further = ["..."] if model.model_config.get("extra") == "allow" else []
    return ", ".join(parts + further)


def _value(default: Any) -> str:
    """A default as a user types it; in quotes where it would not be seen, or not be one word."""
    if isinstance(default, str) and default.split() != [default]:
        return repr(default)
    return "none" if default is None else str(default)


def _spelt(value: float | None) -> str:
    """A number, a yes or no, or none as a user types it: `1`, `0.7`, `true`."""
    return str(value).lower() if isinstance(value, bool) else _value(value).removesuffix(".0")


def _type(annotation: Any) -> str:
    """A type as a user reads it: `int`, `greedy|sample`, `float|none`."""
    if annotation is type(None):
        return "none"
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _type(arguments[0])
    if typing.get_origin(annotation) is Literal:
        return "|".join(map(str, arguments))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return "|".join(map(_type, arguments))
    return {"str": "text", "Path": "file"}.get(name := getattr(annotation, "__name__", str(annotation)), name)


def parse_options(pairs: Iterable[str], flag: str) -> dict[str, str]:
    """Options as typed, `KEY=VALUE` each, by their keys. Raises InputError for anything else and a key given twice.

    flag: the option of the command that they follow (`-q`), for error messages.
    """
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"{flag} {pair}: must be KEY=VALUE")
        if key in options:
            raise InputError(f"{flag} {pair}: {key} is given twice")
        options[key] = value
    return options
