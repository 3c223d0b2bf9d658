"""The installed players and retrievers: ready, or what they lack, by what their entry points and options declare."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatir.commands.doctoring.data import FETCH_CORPUS, FETCH_IMAGES
from chatir.commands.doctoring.finding import Finding, mends_in, one_line
from chatir.commands.doctoring.machine import Machine
from chatir.commands.doctoring.models import (
    MODELS,
    Lack,
    ModelledOptions,
    chat_lacks,
    lavis_lacks,
    model_lacks,
    takes_any,
)
from chatir.commands.doctoring.packages import OWN, install_line, lacking
from chatir.console import silenced
from chatir.errors import InputError
from chatir.models.chat.options import ChatOptions
from chatir.models.lavis.model import LavisOptions
from chatir.plugins import Context, Kind, Plugin, options_model, plugins

if TYPE_CHECKING:
    from pydantic import BaseModel

FLAGS: dict[Kind, str] = {"questioners": "-q", "answerers": "-a", "retrievers": "-r"}
READY = "ready"


@dataclass(frozen=True)
class Loaded:
    """A plugin that was looked at: its factory and options, or the finding that says why there are none."""

    plugin: Plugin
    factory: Callable[..., Any] | None = None
    options: type[BaseModel] | None = None
    failed: Finding | None = None


def load_all(kind: Kind) -> list[Loaded]:
    """Every plugin of a kind, with its factory imported. Raises InputError for a name that is registered twice."""
    return [_loaded(plugin) for plugin in plugins(kind)]


def registered_twice(kind: Kind, error: InputError) -> Finding:
    """The finding for a kind of which two plugins have one name."""
    entries = entry_points(group=f"chatir.{kind}")
    owners = {entry.dist.name for entry in entries if entry.dist} - {OWN}
    named = sorted(owner for owner in owners if re.search(rf"of {re.escape(owner)}[,;]", str(error)))
    return Finding(kind, "broken", str(error), (tuple(f"pip uninstall {name}" for name in named) or ("pip list",),))


def _loaded(plugin: Plugin) -> Loaded:
    anew = f"pip install --upgrade {plugin.distribution}"
    try:
        with silenced():
            factory = plugin.load()
            return Loaded(plugin, factory, options_model(factory))
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, ImportError):
            told, mends = f"cannot be loaded: {one_line(cause)}", _import_mends(plugin, error) or (anew,)
            return Loaded(plugin, failed=Finding(plugin.name, "needs", told, (mends,)))
        told = one_line(cause) if cause is not None else str(error)
    except (Exception, SystemExit) as error:
        told = one_line(error)
    about = f"cannot be loaded ({plugin.distribution}): {told}"
    return Loaded(plugin, failed=Finding(plugin.name, "broken", about, ((anew,),)))


def _import_mends(plugin: Plugin, error: InputError) -> tuple[str, ...]:
    """The line that brings a package whose import failed; none where it is there, but lacks a name."""
    if lacking(plugin.entry.dist, plugin.entry.extras):
        return (install_line(plugin.distribution, plugin.entry.extras),)
    return mends_in(str(error)) if isinstance(error.__cause__, ModuleNotFoundError) else ()


def player_finding(one: Loaded, all_of_them: Sequence[Loaded], here: Machine, *, images: bool) -> Finding:
    """Whether a player can run here. all_of_them: of its kind. images: whether there are any in the data folder."""
    if one.failed is not None:
        return one.failed
    lacks = _lacks(one, all_of_them, here)
    if not images and needs_images(one):
        fetch = FETCH_CORPUS if one.plugin.kind == "retrievers" else FETCH_IMAGES
        lacks.append(Lack("images, or --images DIR", (fetch,)))
    needed = "; ".join(lack.told for lack in lacks if lack.blocks)
    remarks = "; ".join(lack.told for lack in lacks if not lack.blocks)
    detail = f"{needed} ({remarks})" if needed and remarks else needed or remarks or READY
    mends = tuple(dict.fromkeys(lack.mends for lack in lacks if lack.mends))
    return Finding(one.plugin.name, "needs" if needed else "ok", detail, mends)


def _lacks(one: Loaded, all_of_them: Sequence[Loaded], here: Machine) -> list[Lack]:
    """What a player lacks that its declarations tell, with its options as they are by default."""
    plugin, options = one.plugin, one.options
    required = [name for name, field in options.model_fields.items() if field.is_required()] if options else []
    if options is not None and (backend := _backend(one, all_of_them)):
        if backend.failed is not None:
            return [Lack(f"its backend {backend.plugin.name}", backend.failed.mends[0])]
        return [Lack(f"as {backend.plugin.name}, its backend", blocks=False), *_lacks(backend, all_of_them, here)]
    if options is None or not required:
        return lacks_with(one, None if options is None else options.model_construct(), {}, here)
    flag = FLAGS[plugin.kind]
    lacks = _missing(plugin)
    for name in required:
        if name == "model" and issubclass(options, MODELS):
            lacks.append(takes_any(options, flag))
        else:
            value = "FILE" if options.model_fields[name].annotation is Path else "VALUE"
            lacks.append(Lack(f"the option {name}", (f"{flag} {name}={value}",)))
    if not issubclass(options, ChatOptions) and "model" not in required:
        lacks += _model_lacks(one, options.model_construct(), here)
    return lacks


def lacks_with(
    one: Loaded, options: BaseModel | None, given: Mapping[str, Any], here: Machine | None, images: Path | None = None
) -> list[Lack]:
    """What a player lacks with some options; nothing of the hub or a server is asked, and no model is loaded.

    options: checked; given: the same as they were given. here: None leaves aside what only torch can tell. images:
    the folder that the player is to look at.
    """
    plugin = one.plugin
    if plugin.distribution == OWN and plugin.kind != "retrievers" and not isinstance(options, _with_a_model()):
        return _built(plugin, given, images)
    return [*_missing(plugin), *(_model_lacks(one, options, here) if options is not None else ())]


def _model_lacks(one: Loaded, options: BaseModel, here: Machine | None) -> list[Lack]:
    flag = FLAGS[one.plugin.kind]
    if isinstance(options, ChatOptions):
        return chat_lacks(options, flag)
    if isinstance(options, LavisOptions):
        return lavis_lacks(options, here, flag)
    if isinstance(options, ModelledOptions) and isinstance(getattr(options, "model", None), str):
        return model_lacks(options, one.factory, here, flag)
    return []


def _with_a_model() -> tuple[type[BaseModel], ...]:
    return (*MODELS, ChatOptions, LavisOptions)


def _missing(plugin: Plugin) -> list[Lack]:
    """The packages of its extras that a player lacks."""
    missing = lacking(plugin.entry.dist, plugin.entry.extras)
    line = install_line(plugin.distribution, plugin.entry.extras) if missing else ""
    return [Lack(", ".join(missing), (line,))] if missing else []


def _built(plugin: Plugin, given: Mapping[str, Any], images: Path | None) -> list[Lack]:
    """What a player of chatir that asks no hub and no server says when it is made as a run makes it."""
    try:
        with silenced():
            plugin.build(given, Context(images))
    except InputError as error:
        told = str(error)
        lacks = _missing(plugin) or [Lack(told, mends_in(told) or ("chatir list",))]
        return [replace(lack, error=told) for lack in lacks]
    return []


def _backend(one: Loaded, all_of_them: Sequence[Loaded]) -> Loaded | None:
    """The player whose model this one takes, unless told otherwise: the default of its option `backend`."""
    field = one.options.model_fields.get("backend") if one.options else None
    named = [each for each in all_of_them if field is not None and each.plugin.name == field.default]
    return named[0] if named and "backend" not in getattr(named[0].options, "model_fields", {}) else None


def needs_images(one: Loaded) -> bool:
    """Whether a retriever, or a player whose class declares it, looks at images."""
    return one.plugin.kind == "retrievers" or getattr(made_class(one), "needs_images", False) is True


def made_class(one: Loaded) -> Any:
    """What a factory makes: itself, if it is a class, or what it is annotated to return; None where it does not say."""
    if one.factory is None or inspect.isclass(one.factory):
        return one.factory
    try:
        return typing.get_type_hints(one.factory).get("return")
    except (NameError, TypeError):
        return None
