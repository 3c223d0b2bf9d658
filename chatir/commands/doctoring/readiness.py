"""What one run lacks, reported before any model is loaded: looked for by the code that examines a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatir.commands.doctoring.machine import unused_gpu
from chatir.commands.doctoring.models import Lack, ModelledOptions
from chatir.commands.doctoring.packages import OWN
from chatir.commands.doctoring.players import FLAGS, Loaded, lacks_with, made_class, needs_images
from chatir.commands.doctoring.weights import TOKENIZERS, cached, download, download_line, no_download
from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.options import ChatOptions
from chatir.models.lavis.model import LavisOptions
from chatir.plugins import Context, Kind, find, options_model, plugins
from chatir.prompts import load_prompt
from chatir.retriever.encoders.options import EncoderOptions
from chatir.simulate.loop.budget import unpriced
from chatir.simulate.setting import cannot_replay, no_images, only_replays

if TYPE_CHECKING:
    from pydantic import BaseModel


class Wanted(NamedTuple):
    """A player or retriever as a user types it: its name, and its options."""

    kind: Kind
    name: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Looked:
    """A wanted player or retriever that was looked at.

    lacks: what it lacks. local: whether it runs a model in this process, or in LAVIS's. wants_gpu: whether that is one
    in this process that takes a GPU where torch finds one. builds: whether it can be built, though perhaps not be
    asked.
    """

    wanted: Wanted
    one: Loaded
    lacks: tuple[Lack, ...] = ()
    local: bool = False
    wants_gpu: bool = False
    builds: bool = True

    @property
    def owner(self) -> str:
        """What messages call it."""
        return self.one.plugin.owner

    @property
    def needs_images(self) -> bool:
        """Whether it looks at images, as far as its class declares it."""
        return needs_images(self.one)


@dataclass(frozen=True)
class Readiness:
    """What a run lacks, a line each with what mends it, and what it will download, or will try to."""

    looked: tuple[Looked, ...]
    lacks: tuple[str, ...]
    downloads: tuple[str, ...]

    def on_cpu(self) -> Iterator[str]:
        """A line where a model will run on the CPU though the machine has a GPU; imports torch to tell."""
        owners = [each.owner for each in self.looked if each.wants_gpu]
        if owners and (gap := unused_gpu()) is not None:
            yield f"{' and '.join(owners)} will run on the CPU: {gap.detail}; 'chatir doctor' shows the remedy"


def look(
    wanted: Sequence[Wanted],
    *,
    images: Path | None = None,
    files: Sequence[Callable[[], object]] = (),
    cost_limit: float | None = None,
) -> Readiness:
    """Look for everything that a run needs and that costs nothing to look for; no model is loaded, and no server asked.

    Of the hub, whether it can be reached, where weights are missing. images: their folder, None where there is none.
    files: functions that name a file of the run, or raise InputError. Raises InputError for a name or an option that is
    wrong, which is no gap.
    """
    looked = tuple(_looked(each, images, cost_limit) for each in wanted)
    lacks, downloads, doubtful = [], [], []
    none = no_download() if any(lack.model for each in looked for lack in each.lacks) else None
    for each in looked:
        for lack in each.lacks:
            if not lack.model:
                lacks.append(lack.error or _line(each.owner, lack.told, lack.mends))
            elif none is None:
                size = download(lack.model).removeprefix("a download of ")
                downloads.append(f"{each.owner}: {lack.model} will be downloaded: {size}")
            else:
                variable, is_set, _ = none.why.partition(" is set")
                mends = (f"unset {variable}", *lack.mends[1:]) if is_set else lack.mends
                lacks.append(_line(each.owner, f"{lack.told}, and {none.why}", mends))
                doubtful += [] if none.certain else [lacks[-1]]
    lacks += _pair(looked)
    for file in files:
        try:
            file()
        except InputError as error:
            lacks.append(str(error))
    if len(lacks) == len(doubtful):  # the hub may only be slow, and nothing else is missing
        lacks, downloads = [], [*downloads, *doubtful]
    return Readiness(looked, tuple(dict.fromkeys(lacks)), tuple(dict.fromkeys(downloads)))


def _line(owner: str, needed: str, mends: Sequence[str]) -> str:
    return f"{owner} needs {needed}" + (f": {', or '.join(mends)}" if mends else "")


def _looked(wanted: Wanted, images: Path | None, cost_limit: float | None) -> Looked:
    plugin = find(wanted.kind, wanted.name)
    try:
        factory = plugin.load()
    except InputError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        return Looked(wanted, Loaded(plugin), (Lack("a package", error=str(error)),), builds=False)
    one = Loaded(plugin, factory, options_model(factory))
    options = plugin.read_options(wanted.options)
    if plugin.distribution == OWN and isinstance(prompt := getattr(options, "prompt", None), str):
        load_prompt(prompt)
    if (led := _led(wanted, options)) is not None:
        found = replace(_looked(led, images or Path(), cost_limit), wanted=wanted, one=one)
    else:
        lacks = [each for each in lacks_with(one, options, wanted.options, None, images) if each.blocks]
        lacks += _of_retriever(options) if wanted.kind == "retrievers" else []
        asks = isinstance(options, ChatOptions)
        local = isinstance(options, ModelledOptions | LavisOptions)
        found = Looked(wanted, one, tuple(lacks), local, _wants_gpu(options), builds=asks or not lacks)
        if isinstance(options, ChatOptions) and cost_limit is not None and _no_price(options):
            found = replace(found, lacks=(*found.lacks, Lack("a price", error=unpriced(plugin.owner))))
    if images is None and found.needs_images and wanted.kind != "retrievers":
        found = replace(found, lacks=(*found.lacks, Lack("images", error=no_images(plugin.owner))))
    return found


def _wants_gpu(options: BaseModel | None) -> bool:
    """Whether these are a model's that goes to a GPU by itself, and is worth one: the built-in ones are small."""
    if not isinstance(options, ModelledOptions | EncoderOptions):
        return False
    built_in = getattr(options, "model", None) in [str(folder) for folder in checkpoints().values()]
    return not built_in and getattr(options, "device", None) != "cpu" and getattr(options, "device_map", None) != "cpu"


def _led(wanted: Wanted, options: BaseModel | None) -> Wanted | None:
    """The player that an option `backend` names, by its name or by what follows its own: `blip2-lavis`."""
    backend = getattr(options, "backend", None)
    known = {plugin.name for plugin in plugins(wanted.kind)}
    if backend in known:
        return Wanted(wanted.kind, backend, options.model_extra or {} if options is not None else {})
    if backend is not None and (name := f"{wanted.name}-{backend}") in known:
        return Wanted(wanted.kind, name, {key: value for key, value in wanted.options.items() if key != "backend"})
    return None


def _of_retriever(options: BaseModel | None) -> Iterator[Lack]:
    """What a retriever lacks whose checkpoint and tokenizer come apart."""
    checkpoint, tokenizer = getattr(options, "checkpoint", None), getattr(options, "tokenizer", None)
    if isinstance(checkpoint, Path) and not checkpoint.exists():
        yield Lack("a checkpoint", error=f"{checkpoint}: no such file or directory")
    if isinstance(tokenizer, str) and not Path(tokenizer).is_dir() and cached(tokenizer, TOKENIZERS) != "whole":
        mends = (download_line(tokenizer), f"{FLAGS['retrievers']} tokenizer=FOLDER")
        yield Lack(f"the tokenizer {tokenizer}", mends, model=tokenizer)


def _no_price(options: ChatOptions) -> bool:
    try:
        return ChatEndpoint(options, Context()).cost(1, 1) is None
    except InputError:  # an address that is none, which is a lack of its own
        return False


def _pair(looked: Sequence[Looked]) -> Iterator[str]:
    """Why the answerer cannot answer this questioner, as far as their classes tell."""
    asking = next((each for each in looked if each.wanted.kind == "questioners"), None)
    answering = next((each for each in looked if each.wanted.kind == "answerers"), None)
    if asking is None or answering is None or asking.one.plugin.distribution != OWN:
        return  # what others make may say it of itself when it is built
    replaying = made_class(answering.one)
    if only_replays(made_class(asking.one), replaying):
        yield cannot_replay(asking.owner, answering.owner, replaying)
