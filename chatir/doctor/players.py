"""The installed players and retrievers: ready, or what they lack, by what their entry points and options declare."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatir.console import silenced
from chatir.doctor.data import FETCH_CORPUS, FETCH_IMAGES
from chatir.doctor.finding import Finding, mends_in, one_line
from chatir.doctor.machine import Machine
from chatir.doctor.models import MODELS, Lack, chat_lacks, lavis_lacks, model_lacks, takes_any
from chatir.doctor.packages import OWN, install_line, lacking
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
    """What a player lacks that its declarations tell."""
    plugin, options = one.plugin, one.options
    missing = lacking(plugin.entry.dist, plugin.entry.extras)
    required = [name for name, field in options.model_fields.items() if field.is_required()] if options else []
    if options is not None and (backend := _backend(one, all_of_them)):
        if backend.failed is not None:
            return [Lack(f"its backend {backend.plugin.name}", backend.failed.mends[0])]
        return [Lack(f"as {backend.plugin.name}, its backend", blocks=False), *_lacks(backend, all_of_them, here)]
    if plugin.distribution == OWN and not required and (options is None or not issubclass(options, _with_a_model())):
        return _built(plugin, missing)
    lacks = []
    if missing:
        lacks.append(Lack(", ".join(missing), (install_line(plugin.distribution, plugin.entry.extras),)))
    if options is None:
        return lacks
    flag = FLAGS[plugin.kind]
    for name in required:
        if name == "model" and issubclass(options, MODELS):
            lacks.append(takes_any(options, flag))
        else:
            value = "FILE" if options.model_fields[name].annotation is Path else "VALUE"
            lacks.append(Lack(f"the option {name}", (f"{flag} {name}={value}",)))
    if issubclass(options, ChatOptions):
        lacks += chat_lacks(options, flag) if not required else []
    elif issubclass(options, LavisOptions):
        lacks += lavis_lacks(here, flag)
    elif issubclass(options, MODELS) and isinstance(options.model_fields["model"].default, str):
        lacks += model_lacks(options, one.factory, here, flag)
    return lacks


def _with_a_model() -> tuple[type[BaseModel], ...]:
    return (*MODELS, ChatOptions, LavisOptions)


def _built(plugin: Plugin, missing: Sequence[str]) -> list[Lack]:
    """What a player of chatir that asks no hub and no server says when it is made as a run makes it."""
    try:
        with silenced():
            plugin.build({}, Context())
    except InputError as error:
        if missing:
            return [Lack(", ".join(missing), (install_line(plugin.distribution, plugin.entry.extras),))]
        return [Lack(str(error), mends_in(str(error)) or ("chatir list",))]
    return []


def _backend(one: Loaded, all_of_them: Sequence[Loaded]) -> Loaded | None:
    """The player whose model this one takes, unless told otherwise: the default of its option `backend`."""
    field = one.options.model_fields.get("backend") if one.options else None
    named = [each for each in all_of_them if field is not None and each.plugin.name == field.default]
    return named[0] if named and "backend" not in getattr(named[0].options, "model_fields", {}) else None


def needs_images(one: Loaded) -> bool:
    """Whether a retriever, or a player whose class declares it, looks at images."""
    if one.plugin.kind == "retrievers":
        return True
    made = one.factory
    if made is not None and not inspect.isclass(made):
        try:
            made = typing.get_type_hints(made).get("return")
        except (NameError, TypeError):
            return False
    return getattr(made, "needs_images", False) is True
