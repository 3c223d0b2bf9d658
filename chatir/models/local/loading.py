"""Loading a language model that is at hand or on the hub: what it is, in which precision, on which devices."""

from __future__ import annotations

import ctypes
import hashlib
import logging as python_logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from chatir.errors import InputError
from chatir.models.hardware.fp32 import keep_fp32
from chatir.models.hardware.gpu_errors import gpu_failed, loading_errors, memory_ended
from chatir.models.hardware.model_size import ModelSize, Precision, model_size
from chatir.models.hardware.placement import QUANTIZED, around, claim, off_gpu, place, placed, reserve

ONE_AT_A_TIME = threading.Lock()
"""Held while transformers loads a model and its own modules: it patches torch meanwhile. Of two that are loaded at
once, a questioner's and an answerer's, each in its player's thread, either may lack its tied weights, or its class."""
THRESHOLD = 6.0
"""Of 8-bit, everywhere: inputs of a linear layer whose magnitude reaches it are not quantized (LLM.int8())."""
_NOTES = frozenset({"readme", "license", "notice", "changelog"})


@dataclass(frozen=True)
class Loaded:
    """A transformers model, ready to generate, its tokenizer, and where it is, for the record."""

    model: Any
    tokenizer: Any
    placed: Mapping[str, Any] = field(default_factory=lambda: {"devices": "cpu"})


def model_identity(model: str, revision: str | None) -> dict[str, str]:
    """What a model is, whatever its name may mean tomorrow: a hub id with its commit, or a folder's hash.

    Reads the hub's small files only. Raises InputError for a model that is not there.
    """
    if (folder := model_in_folder(model, revision)) is not None:
        return {"id": folder.resolve().name, "sha256": folder_sha256(folder)}
    commit = getattr(model_config(model, revision), "_commit_hash", None)
    return {"id": model, "revision": commit or revision or "main"}


def model_in_folder(model: str, revision: str | None) -> Path | None:
    """The folder that a model's name means, None where it means one of the hub. Raises InputError if neither can be."""
    folder = Path(model)
    if folder.is_dir():
        if revision is not None:
            raise InputError(f"{model}: is a folder, and has no revisions")
        if not (folder / "config.json").is_file():
            raise InputError(f"{model}: holds no model: there is no config.json")
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise InputError(f"{model}: there is no such folder")
    return None


def folder_sha256(folder: Path) -> str:
    """Hash of a model folder's files, by name and content; hidden files and notes about the model do not count."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        note = file.suffix.lower() in (".md", ".png") or file.stem.lower() in _NOTES  # merges.txt is a tokenizer's
        if hidden or note or not file.is_file():
            continue
        with file.open("rb") as opened:
            total.update(f"{name.as_posix()}\0{hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def load_tokenizer(model: str, revision: str | None) -> Any:
    """Load a model's tokenizer. Raises InputError if there is none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, revision=revision, trust_remote_code=False)
        knows_words = bool(tokenizer("is it red?", add_special_tokens=False)["input_ids"])
    except Exception as error:  # transformers raises whatever its parsers meet
        raise InputError(f"model {model}: its tokenizer cannot be loaded: {_first_line(error)}") from None
    if not knows_words:  # what transformers makes of no files at all
        raise InputError(f"model {model}: its tokenizer cannot be loaded: it knows no words; are its files there?")
    return tokenizer


def load_image_processor(model: str, revision: str | None) -> Any:
    """Load what makes pixel values of a model's images. Raises InputError if there is nothing."""
    from transformers import AutoImageProcessor

    try:  # Pillow's resizing, as LAVIS does it; torchvision's, where that is installed, gives slightly other pixels
        return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            model, revision=revision, trust_remote_code=False, backend="pil"
        )
    except Exception as error:
        raise InputError(f"model {model}: its image processor cannot be loaded: {_first_line(error)}") from None


def load_model(
    model: str,
    revision: str | None,
    precision: Precision,
    device_map: str,
    architecture: str | None = None,
    note: Callable[[str], None] = lambda line: None,
    reserved: Callable[[], object] = lambda: None,
) -> Loaded:
    """Load an encoder-decoder or a causal model, no code of its author's run.

    precision: not `auto`. device_map: as `place` reads it. architecture: a class of transformers, for what is neither.
    note: called with a line about a part that has no room on a GPU. reserved: gives back what `reserve_room` reserved.
    Raises InputError for a model that cannot be loaded, or for which there is not enough memory, and StoppedRunError
    where the GPU fails.
    """
    if (around(device_map) if precision in QUANTIZED else precision) == "fp32":
        keep_fp32()
    with ONE_AT_A_TIME, loading_errors(model):
        reserved()
        loaded = _load_model(model, revision, precision, device_map, architecture)
        claim(loaded.model)
    if (told := off_gpu(loaded.placed["devices"])) is not None:
        note(f"{model}: {told}")
    return loaded


def size_of(model: str, revision: str | None, architecture: str | None = None) -> ModelSize | None:
    """How large a model is, None where that cannot be told. Raises InputError if there is no such model."""
    config = model_config(model, revision)
    with ONE_AT_A_TIME:
        return model_size(_kind(config, architecture), config)


def reserve_room(
    owner: object,
    model: str,
    revision: str | None,
    precision: Precision,
    device_map: str,
    architecture: str | None = None,
) -> Callable[[], object]:
    """Keep the room free that a model will take when it is loaded, as long as its owner is there.

    Returns the function that gives it back. Raises InputError where there is not enough memory.
    """
    size = size_of(model, revision, architecture)
    with ONE_AT_A_TIME:
        where = place(model, lambda: size, precision, device_map)
        return reserve(owner, 0 if size is None else size.room(precision, around(device_map)), where)


def _kind(config: Any, architecture: str | None) -> Any:
    """The class of transformers that loads a model."""
    import transformers

    if architecture is not None:
        return getattr(transformers, architecture)
    return transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM


def _load_model(
    model: str, revision: str | None, precision: Precision, device_map: str, architecture: str | None
) -> Loaded:
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.utils import logging

    warnings.filterwarnings("ignore", message="Detected pickle protocol")  # of pickles that torch did not write
    if Path(model).is_dir() or not sys.stderr.isatty():  # what comes from the hub may take hours: that is shown
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    config = model_config(model, revision)
    kind = _kind(config, architecture)
    where = place(model, lambda: model_size(kind, config), precision, device_map)
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    inner = dtypes[around(device_map)]  # of what is not quantized
    options: dict[str, Any] = {"dtype": dtypes.get(precision, inner), "revision": revision}
    options |= {"trust_remote_code": False, "output_loading_info": True}  # None would ask whether to run the code
    if precision in QUANTIZED:  # both libraries tell about each layer
        warnings.filterwarnings("ignore", message="MatMul8bitLt")
        python_logging.getLogger("bitsandbytes").setLevel(python_logging.ERROR)
    if precision == "8bit":
        options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=True, llm_int8_threshold=THRESHOLD
        )
    elif precision == "4bit":
        options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=inner
        )
    if where is not None:
        options["device_map"] = where
    try:
        with _one_weight_at_a_time() if precision in QUANTIZED and where == "cpu" else nullcontext():
            loaded, told = kind.from_pretrained(model, **options)
    except Exception as error:
        if memory_ended(error) or gpu_failed(error):
            raise
        raise InputError(f"model {model}: cannot be loaded: {_first_line(error)}") from None
    if precision == "4bit" and (layer := _unfit_for_4bit(loaded)):
        raise InputError(f"model {model}: bitsandbytes' 4-bit on this CPU does not take the sizes of {layer}: use 8bit")
    if lacking := sorted(told["missing_keys"]):  # transformers would make them up, and warn
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise InputError(f"model {model}: cannot be loaded: it lacks the weights {lacking[0]}{more}")
    return Loaded(loaded.eval(), load_tokenizer(model, revision), placed(loaded))


def _one_weight_at_a_time() -> AbstractContextManager[Any]:
    """Have transformers read each weight when it quantizes it, and keep nothing of the file in memory."""
    from transformers import modeling_utils

    return patch.object(modeling_utils, "safe_open", _Shard)


class _Shard:
    """A safetensors file as transformers opens it, mapped into memory only while a weight is read."""

    def __init__(self, file: str, **options: Any) -> None:
        from safetensors import safe_open

        self._open = partial(safe_open, file, **options)

    def keys(self) -> list[str]:
        with self._open() as shard:
            return [*shard.keys()]

    def get_slice(self, name: str) -> _Weight:
        return _Weight(self._open, name)

    def __exit__(self, *_: object) -> None:
        pass


class _Weight:
    """A weight that is not read yet; transformers slices it when it is the next one."""

    def __init__(self, opened: Callable[[], Any], name: str) -> None:
        self._open, self._name = opened, name

    def __getitem__(self, index: Any) -> Any:
        with suppress(AttributeError, OSError, TypeError):  # glibc keeps what is freed between two weights
            ctypes.CDLL(None).malloc_trim(0)
        with self._open() as shard:
            return shard.get_slice(self._name)[index].clone()


def _unfit_for_4bit(model: Any) -> str | None:
    """A layer that bitsandbytes' 4-bit cannot pack for a CPU with AVX512-BF16, None if there is none."""
    from bitsandbytes.nn import Linear4bit  # type: ignore[attr-defined]

    for name, layer in model.named_modules():
        packed = (
            isinstance(layer, Linear4bit) and layer.weight.device.type == "cpu" and layer.support_avx512bf16_for_cpu
        )
        if packed and (layer.in_features % 64 or layer.out_features % 32):
            return str(name)
    return None


def load_gguf(weights: Path) -> Loaded:
    """Load a causal model from a GGUF file, weights and tokenizer, de-quantized to fp32."""
    keep_fp32()
    with ONE_AT_A_TIME, loading_errors(weights.name):
        return _load_gguf(weights)


def _load_gguf(weights: Path) -> Loaded:
    import torch
    from tqdm.auto import tqdm
    from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, name = str(weights.parent), weights.name
    silent = partial(tqdm, disable=True)  # a progress bar without a switch
    with patch.object(modeling_gguf_pytorch_utils, "tqdm", silent):
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    return Loaded(model.eval(), tokenizer)


def model_config(model: str, revision: str | None) -> Any:
    """Load what a model is built like. Raises InputError if there is no such model."""
    from transformers import AutoConfig

    python_logging.getLogger("huggingface_hub").setLevel(python_logging.ERROR)  # it tells of each attempt
    try:
        return AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=False)
    except Exception as error:
        told = _first_line(error)
        raise InputError(f"model {model}: cannot be had, neither as a folder nor from the hub: {told}") from None


def _first_line(error: Exception) -> str:
    if "weights_only" in str(error):  # torch's advice is to run whatever the file holds
        return "its weights are damaged, or hold more than numbers, which is not run"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
