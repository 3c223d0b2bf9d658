"""Weights of models: whether the hub's cache has them, how large they are, and whether they fit here."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from chatir.commands.doctoring.data import unusable
from chatir.commands.doctoring.finding import Finding, gigabytes
from chatir.models.hardware.model_size import ModelSize

Cached = Literal["whole", "partly", "absent"]
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
ELSEWHERE = "export HF_HOME=FOLDER"
OFFLINE = "HF_HUB_OFFLINE"
HUB = "https://huggingface.co"
SECONDS = 1.5
"""For the attempt to connect to the hub."""
NOT_LOADED = ("*.h5", "*.msgpack")
"""The same weights for other libraries, which some models have beside those for torch."""
TOKENIZERS = ("tokenizer.json", "vocab.txt")

FLAN_XL = ModelSize(2_214_592_512, 635_164_672, 503_316_480)
FLAN_XXL = ModelSize(8_858_370_048, 2_276_962_304, 2_013_265_920)
SIZES = {
    "Salesforce/blip2-opt-2.7b": ModelSize(3_502_571_520, 242_190_336, 105_162_240),
    "Salesforce/blip2-flan-t5-xl": ModelSize(3_200_188_416, 676_460_032, 608_478_720),
    "Salesforce/blip2-opt-6.7b": ModelSize(7_429_619_712, 323_249_664, 105_162_240),
    "Salesforce/blip2-flan-t5-xxl": ModelSize(9_845_538_816, 2_252_461_568, 2_118_428_160),
    "google/flan-t5-xl": FLAN_XL,
    "google/flan-t5-xxl": FLAN_XXL,
    "declare-lab/flan-alpaca-xl": FLAN_XL,
    "declare-lab/flan-alpaca-xxl": FLAN_XXL,
    "openai/clip-vit-base-patch16": ModelSize(0, 149_620_737),
    "google/siglip-base-patch16-224": ModelSize(0, 203_155_970),
    "Salesforce/blip-itm-base-coco": ModelSize(0, 223_744_258),
}
"""Counted in transformers' architectures: docs/reference/answerers.md and questioners.md."""


def cached(model: str, files: Iterable[str] = WEIGHTS, revision: str | None = None) -> Cached:
    """Whether the hub's cache has one of these files of a model, with all its parts.

    revision: None for the newest known one. Only looks at the disk.
    """
    found: Cached = "absent"
    for name in files:
        if _in_cache(model, name, revision):
            return "whole"
        if index := _in_cache(model, f"{name}.index.json", revision):
            found = "partly"
            if all(_in_cache(model, part, revision) for part in _parts(index)):
                return "whole"
    return "partly" if found == "absent" and _in_cache(model, "config.json", revision) else found


def is_offline(value: str | None) -> bool:
    """Whether a value of the variable keeps the hub's libraries from asking it."""
    return (value or "").upper() in ("1", "ON", "YES", "TRUE")


class NoDownload(NamedTuple):
    """Why the hub seems to give nothing now. certain: whether it is known to; otherwise, it may only be slow."""

    why: str
    certain: bool = True


def no_download() -> NoDownload | None:
    """Why nothing can be had from the hub now, None if it can, as far as one attempt to connect shows.

    With a proxy in the environment nothing is tried: only the proxy may know the hub's address.
    """
    for variable in (OFFLINE, "TRANSFORMERS_OFFLINE"):
        if is_offline(os.environ.get(variable)):
            return NoDownload(f"{variable} is set")
    if getproxies().keys() & {"http", "https", "all"}:
        return None
    address = urlsplit(os.environ.get("HF_ENDPOINT") or HUB)
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
    except ValueError:
        port = 443
    return _not_reached(address.hostname or "", port)


def _not_reached(host: str, port: int) -> NoDownload | None:
    failed: list[NoDownload | None] = []

    def connect() -> None:
        try:
            with socket.create_connection((host, port), SECONDS):
                failed.append(None)
        except TimeoutError:
            return
        except (OSError, UnicodeError):
            failed.append(NoDownload(f"{host} cannot be reached"))

    thread = threading.Thread(target=connect, daemon=True)  # a name that no server resolves may take longer
    thread.start()
    thread.join(SECONDS)
    return failed[0] if failed else NoDownload(f"{host} has not answered within {SECONDS:g} s", certain=False)


def _in_cache(model: str, name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, name, revision=revision)
    except (HFValidationError, OSError):
        return None
    return Path(found) if isinstance(found, str) else None


def _parts(index: Path) -> set[str]:
    """Files that an index names; one that nobody has for an index that cannot be read."""
    try:
        return {str(part) for part in json.loads(index.read_bytes())["weight_map"].values()} or {"no part"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"no part"}


def download(model: str) -> str:
    """How much a download brings: from 2 to 4 bytes a parameter, as the hub has the weights in one or the other.

    Where it has them in two formats, the line below brings both.
    """
    size = SIZES.get(model)
    if size is None:
        return "a download of unknown size"
    least, most = (gigabytes(each * size.parameters).removesuffix(" GB") for each in (2, 4))
    return f"a download of {least} to {most} GB or more"


def download_line(model: str) -> str:
    """The line that brings a model into the hub's cache."""
    return f"hf download {model} " + " ".join(f"--exclude '{pattern}'" for pattern in NOT_LOADED)


def cache_folder() -> Path:
    """The hub's cache; it need not exist."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def cache_findings(models: Iterable[str], tokenizers: Iterable[str], *, offline: bool) -> list[Finding]:
    """The hub's cache, and each model and tokenizer that a player or retriever takes unless told otherwise."""
    folder = cache_folder()
    told = unusable(folder)
    first = Finding("cache", "ok", str(folder))
    if told:
        first = Finding("cache", "needs", f"{folder}: {told}", ((ELSEWHERE,),))
    elif offline:
        alone = f"{folder}; {OFFLINE} is set: a run downloads nothing"
        first = Finding("cache", "optional", alone, ((f"unset {OFFLINE}",),))
    return [
        first,
        *(_cached_finding(model, cached(model)) for model in models),
        *(_cached_finding(name, cached(name, TOKENIZERS)) for name in tokenizers),
    ]


def _cached_finding(model: str, there: Cached) -> Finding:
    if there == "whole":
        return Finding(model, "ok", "in the cache")
    told = "not in the cache" if there == "absent" else "not whole in the cache"
    more = f": {download(model)}" if model in SIZES else ""
    return Finding(model, "optional", told + more, ((download_line(model),),))
