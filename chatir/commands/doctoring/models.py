"""What a player with a model lacks: a key, an environment, weights, or the memory for them."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel

from chatir.commands.doctoring.data import LAVIS
from chatir.commands.doctoring.finding import gigabytes
from chatir.commands.doctoring.keys import BASE_URL, host
from chatir.commands.doctoring.machine import Machine
from chatir.commands.doctoring.weights import SIZES, cached, download, download_line
from chatir.datasets.scenes.names import BUILT_IN
from chatir.errors import InputError
from chatir.models.chat.endpoint import OPENAI_KEY, ChatEndpoint
from chatir.models.chat.options import ChatOptions
from chatir.models.hardware.placement import auto_precision, inner_precision
from chatir.models.lavis.environment import lavis_python
from chatir.models.lavis.model import LavisOptions
from chatir.models.local.blip2 import Blip2Options
from chatir.models.local.loading import model_in_folder
from chatir.models.local.text_model import LocalOptions
from chatir.plugins import Context
from chatir.retriever.encoders.options import ModelOptions

ModelledOptions = LocalOptions | Blip2Options | ModelOptions
MODELS: tuple[type[BaseModel], ...] = typing.get_args(ModelledOptions)
"""Options of a model that transformers loads from the hub or a folder."""
LARGE = 1e9
"""Parameters above which a CPU takes long for each reply."""
LAVIS_HOST = {"pretrain_flant5xxl": 50e9, "pretrain_flant5xl": 14e9}
"""Bytes of memory, beside the GPU's, in which LAVIS builds its models in fp32: docs/reference/answerers.md."""


@dataclass(frozen=True)
class Lack:
    """Something that a player lacks.

    mends: any one of them does. blocks: whether it cannot run as it is, or can. error: the line with which a run is
    refused for it, where it has one of its own. model: what is to come from the hub, where that is what is missing.
    """

    told: str
    mends: tuple[str, ...] = ()
    blocks: bool = True
    error: str = ""
    model: str = ""


LAVIS_MODELS = {f"pretrain_flant5{size}": f"Salesforce/blip2-flan-t5-{size}" for size in ("xl", "xxl")}


def takes_any(options: type[BaseModel], flag: str) -> Lack:
    """The remark for a player without a model of its own."""
    built_in = next(iter(_built_in(options, None, flag)), None)
    told = "takes any model" + (", a small one is built in" if built_in else "")
    return Lack(told, (f"{flag} model=NAME", *([built_in] if built_in else [])), blocks=False)


def chat_lacks(options: ChatOptions, flag: str) -> list[Lack]:
    """What an endpoint lacks before it is asked; whether it answers, only a run can tell."""
    server = f"{flag} base_url=http://127.0.0.1:8000/v1 {flag} model=NAME"
    try:
        endpoint = ChatEndpoint(options, Context())
    except InputError as error:
        told = f"an address that starts with http:// or https:// and holds no password, as base_url or {BASE_URL}"
        return [Lack(told, (f"export {BASE_URL}=http://127.0.0.1:8000/v1",), error=str(error))]
    place = host(str(endpoint.identity["base_url"])) or "its server"
    try:
        endpoint.key()
    except InputError as error:
        mends = (f"export {options.key_env or OPENAI_KEY}=...", server)
        return [Lack(f"a key for {place}, or a server of your own", mends, error=str(error))]
    try:
        endpoint.ready()
    except InputError as error:
        return [Lack(str(error), error=str(error))]
    return [Lack(f"asks {place} for {options.model}", blocks=False)]


def lavis_lacks(options: LavisOptions, here: Machine | None, flag: str) -> list[Lack]:
    """What a model of LAVIS lacks: its environment, or memory. here: None leaves memory aside."""
    lacks = []
    try:
        lavis_python(options.python)
    except InputError as error:
        lacks.append(Lack("LAVIS's environment", (LAVIS,), error=str(error)))
    needed = LAVIS_HOST.get(options.model_type)
    if here is not None and needed is not None and here.available is not None and here.available < needed:
        fits = here.available >= LAVIS_HOST["pretrain_flant5xl"]
        mends = (f"{flag} model_type=pretrain_flant5xl",) if fits else ("--answerer blip2 -a model=scenes:blip2",)
        told = (
            f"about {gigabytes(needed)} of memory to load its model, of which {gigabytes(here.available)} are available"
        )
        lacks.append(Lack(told, mends))
    size = SIZES.get(LAVIS_MODELS.get(options.model_type, ""))
    if here is not None and here.torch.gpus and size is not None and options.device != "cpu":
        precision = "8bit" if options.precision == "auto" else options.precision
        taken, room = size.room(precision), max(gpu.room for gpu in here.torch.gpus)
        if taken > room:
            told = f"about {gigabytes(taken)} of the GPU's memory ({precision}); {gigabytes(room)} are free"
            smaller = tuple(
                f"{flag} model_type={each}"
                for each, model in LAVIS_MODELS.items()
                if each != options.model_type and SIZES[model].room("8bit") <= room
            )
            lacks.append(Lack(told, (*smaller, "--answerer blip2 -a model=scenes:blip2")))
    return lacks


def model_lacks(
    options: ModelledOptions, factory: Callable[..., Any] | None, here: Machine | None, flag: str
) -> list[Lack]:
    """What a model of the hub or a folder lacks: itself, its weights in the cache, or the memory for them.

    here: None leaves memory and GPUs aside, which only torch can tell.
    """
    model = options.model
    built_in = _built_in(type(options), factory, flag)
    sister = tuple(_sister(options, model, here, flag)) if here else ()
    size = SIZES.get(model)
    if here is not None and (told := _too_large(options, model, here)) is not None:
        lower = tuple(_lower_precision(options, model, here, flag))
        return [Lack(told, (*lower, *sister, *built_in) or (flag + " model=NAME",))]
    slow = size is not None and size.parameters > LARGE and here is not None and not here.torch.gpus
    try:
        folder = model.startswith(BUILT_IN) or model_in_folder(model, options.revision)
    except InputError as error:
        return [Lack(f"the model {model}", built_in, error=str(error))]
    if not folder and cached(model, revision=options.revision) != "whole":
        remark = [Lack("slow without a GPU", blocks=False)] if slow else []
        mends = (download_line(model), *sister * slow, *built_in)
        return [Lack(f"{model}, {download(model)}", mends, model=model), *remark]
    return [Lack("slow without a GPU", (*sister, *built_in), blocks=False)] if slow else []


def precision_here(options: ModelledOptions, model: str, here: Machine) -> str:
    """What the option `precision` means here for a model."""
    if options.precision != "auto":
        return options.precision
    cards = here.torch.gpus
    return auto_precision(SIZES.get(model), cards) if cards else "fp32"


def _needed(model: str, precision: str, here: Machine) -> float | None:
    """Bytes that a model takes here in a precision, None where its size is not known."""
    size = SIZES.get(model)
    return None if size is None else size.room(precision, inner_precision(here.torch.gpus))


def _too_large(options: ModelledOptions, model: str, here: Machine) -> str | None:
    """How much more memory a model needs than is free here, None if it fits, or nobody knows."""
    precision = precision_here(options, model, here)
    room, needed = here.room(together=_splits(options)), _needed(model, precision, here)
    if room is None or needed is None or needed <= room:
        return None
    whose = "of the GPU's memory" if here.torch.gpus else "of memory, without a GPU"
    return f"about {gigabytes(needed)} {whose} ({model} in {precision}); {gigabytes(room)} are free"


def _splits(options: ModelledOptions) -> bool:
    """Whether a model that one GPU does not hold is spread over several: a retriever's never is."""
    return isinstance(options, LocalOptions | Blip2Options)


def _lower_precision(options: ModelledOptions, model: str, here: Machine, flag: str) -> Iterator[str]:
    """The option with which a model fits here that does not by default: the finest precision that does."""
    if isinstance(options, LocalOptions | Blip2Options):
        fitting = (each for each in ("bf16", "8bit", "4bit") if _fits(options, model, each, here))
        yield from (f"{flag} precision={precision}" for precision in islice(fitting, 1))


def _sister(options: ModelledOptions, model: str, here: Machine, flag: str) -> Iterator[str]:
    """The options that take a smaller model of the same family, the largest that fits here."""
    family = model.rpartition("-")[0]
    sisters = [name for name in SIZES if name.rpartition("-")[0] == family]
    for name in sorted(sisters, key=lambda name: -SIZES[name].parameters):
        usual = precision_here(options, name, here)
        smaller = model in SIZES and SIZES[name].parameters < SIZES[model].parameters
        precision = next((each for each in (usual, "8bit") if smaller and _fits(options, name, each, here)), None)
        if precision is not None:
            yield f"{flag} model={name}" + ("" if precision == usual else f" {flag} precision={precision}")
            return


def _fits(options: ModelledOptions, model: str, precision: str, here: Machine) -> bool:
    needed, room = _needed(model, precision, here), here.room(together=_splits(options))
    return needed is not None and room is not None and needed <= room


def _built_in(options: type[BaseModel], factory: Callable[..., Any] | None, flag: str) -> tuple[str, ...]:
    """The option that takes the built-in model instead, where there is one of the kind that the player takes."""
    if issubclass(options, LocalOptions):
        return (
            (f"{flag} model={BUILT_IN}t5 {flag} prompt=scenes",) if options.model_fields["model"].is_required() else ()
        )
    if issubclass(options, Blip2Options):
        return (f"{flag} model={BUILT_IN}blip2",)
    kinds = getattr(factory, "kinds", ())
    return (f"{flag} model={BUILT_IN}clip",) if not kinds or "clip" in kinds else ()
