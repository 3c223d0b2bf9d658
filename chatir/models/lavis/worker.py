"""The LAVIS worker: a script for the Python that has LAVIS. It answers requests, one JSON object a line, until its
standard input ends. It imports nothing of chatir.

A request is `{"op": ..., ...}`; its reply is what the operation gives, or `{"error": {"kind", "message"}}` of kind
`import` (a package is missing or broken), `load`, `out_of_memory` or `failed`.

    about                                               {"lavis", "torch", "transformers", "python"}: versions
                                                        {"cuda"}: the number of GPUs
    imports                                             {}: LAVIS can be imported
    check   name, model_type, plugin                    {"config"}: its file, where the model is a Blip2T5
    load    the same, precision, device                 {"device", "gpu"}: the one chosen for `auto`, its name
    encode  images: [{key, width, height, rgb}], drop   {}: of `rgb`, base64; encoded once and kept, those of `drop` not
    answer  items: [{key, text}], num_beams, ...        {"answers": [{text, ...}], "seconds"} or {"missing": [key]}
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import logging
import os
import queue
import sys
import threading
import time
import traceback
import warnings
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

LANGUAGE_KEPT = ("wo", "lm_head")  # layers of a T5 that suffer in 8-bit
THRESHOLD = 6.0  # of 8-bit: inputs of that magnitude are not quantized, as in chatir's own 8-bit

MEMORY_SIGNS = (  # those of chatir/models/local/batches.py
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "alloc_failed",
    "allocation_failed",
    "_status_not_initialized",
)


class WorkerError(Exception):
    """What is told to whoever asked."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class SplitT5:
    """A Blip2T5: its `predict_answers` cut in two where the image has become query tokens of the T5."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def encode(self, pixels: Any) -> Any:
        """The projected query tokens [images, queries, width] of preprocessed images."""
        import torch

        model = self.model
        with model.maybe_autocast():
            embeds = model.ln_vision(model.visual_encoder(pixels))
        embeds = embeds.float()
        output = model.Qformer.bert(
            query_embeds=model.query_tokens.expand(len(embeds), -1, -1),
            encoder_hidden_states=embeds,
            encoder_attention_mask=torch.ones(embeds.shape[:-1], dtype=torch.long, device=embeds.device),
            return_dict=True,
        )
        return model.t5_proj(output.last_hidden_state)

    def answer(self, seen: Any, texts: list[str], decoding: dict[str, Any]) -> list[dict[str, Any]]:
        """Answer a text about each image."""
        import torch

        model, tokenizer = self.model, self.model.t5_tokenizer
        tokens = tokenizer(texts, padding="longest", return_tensors="pt").to(seen.device)
        mask = torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device)
        mask = torch.cat([mask, tokens.attention_mask], dim=1)
        with model.maybe_autocast(dtype=torch.bfloat16):
            embeds = torch.cat([seen, model.t5_model.encoder.embed_tokens(tokens.input_ids)], dim=1)
            output = model.t5_model.generate(
                inputs_embeds=embeds,
                attention_mask=mask,
                do_sample=False,
                num_beams=decoding["num_beams"],
                max_new_tokens=decoding["max_len"],
                min_length=decoding["min_len"],
                length_penalty=decoding["length_penalty"],
            )
        answers = tokenizer.batch_decode(output, skip_special_tokens=True)
        answers = model._lemmatize(answers) if model._apply_lemmatizer else answers
        new = output[:, 1:]
        return [
            {
                "text": text,
                "tokens_in": int(mask[place].sum()),
                "tokens_out": int((new[place] != tokenizer.pad_token_id).sum()),
                "cut": not bool((new[place] == tokenizer.eos_token_id).any()),
            }
            for place, text in enumerate(answers)
        ]


class Worker:
    """The operations, and what they keep: the model and the images that it saw."""

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}
        self._plugged = False

    def about(self) -> dict[str, Any]:
        """What is installed."""
        with _told_imports():
            import torch
        known = {"python": sys.version.split()[0], "cuda": _gpus(), "torch": torch.__version__}
        return {**known, "lavis": _version("salesforce-lavis"), "transformers": _version("transformers")}

    def imports(self) -> dict[str, Any]:
        """Import LAVIS and all that it needs."""
        with _told_imports():
            _import_torchvision()
            import lavis.models  # noqa: F401 - it registers the models
        return {}

    def check(self, name: str, model_type: str, plugin: str | None) -> dict[str, Any]:
        """Run the plugin, which may bring models, and look for the model."""
        self.imports()
        if plugin is not None and not self._plugged:
            _run_plugin(plugin)
            self._plugged = True
        return {"config": str(_checked_model(name, model_type).default_config_path(model_type))}

    def load(
        self, name: str, model_type: str, precision: str, plugin: str | None, device: str = "auto"
    ) -> dict[str, Any]:
        """Load a model as LAVIS does, and what prepares its images."""
        self.check(name, model_type, plugin)
        import torch
        from lavis.models import load_model_and_preprocess

        if device == "auto":
            device = _freest()
        on_gpu = device != "cpu"
        if on_gpu:
            torch.cuda.set_device(device)  # bitsandbytes works on the current one
        if precision == "fp32":  # torch would round the factors of products to TF32
            torch.backends.cudnn.allow_tf32 = False
            torch.set_float32_matmul_precision("highest")
        # LAVIS turns what is loaded to "cpu" into fp32. "cpu:0", the same device, leaves the weights as they are:
        # those of a large T5 need half the memory until they are on the GPU, in 8-bit.
        first = {"fp16": device, "8bit": "cpu:0" if on_gpu else "cpu"}.get(precision, "cpu")
        model, prepare, _ = load_model_and_preprocess(name, model_type, is_eval=True, device=first)
        if precision == "fp32":
            model.maybe_autocast = lambda *_, **__: contextlib.nullcontext()
        if precision == "8bit":
            to_8bit(model.t5_model)
        self._model = SplitT5(model.to(device))
        self._prepare, self._device = prepare["eval"], device
        return {"device": device, "gpu": torch.cuda.get_device_name(device) if on_gpu else None}

    def encode(self, images: list[dict[str, Any]], drop: list[str]) -> dict[str, Any]:
        """See images, and keep what was seen of them on the host."""
        import torch
        from PIL import Image

        for key in drop:
            self._seen.pop(key, None)
        sizes = [(image["width"], image["height"]) for image in images]
        rgb = [base64.b64decode(image["rgb"]) for image in images]
        pixels = [self._prepare(Image.frombytes("RGB", *each)) for each in zip(sizes, rgb)]  # noqa: B905 - Python 3.8
        with torch.no_grad():
            seen = self._model.encode(torch.stack(pixels).to(self._device)).cpu()
        # A view would keep the whole batch.
        self._seen.update({image["key"]: seen[place].clone() for place, image in enumerate(images)})
        return {}

    def answer(self, items: list[dict[str, str]], **decoding: Any) -> dict[str, Any]:
        """Answer texts about images that were seen, or tell which were not."""
        import torch

        if missing := sorted({item["key"] for item in items} - self._seen.keys()):
            return {"missing": missing}
        started = time.perf_counter()
        with torch.no_grad():
            seen = torch.stack([self._seen[item["key"]] for item in items]).to(self._device)
            answers = self._model.answer(seen, [item["text"] for item in items], decoding)
        return {"answers": answers, "seconds": time.perf_counter() - started}


def _gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _freest() -> str:
    """The GPU with the most free memory, the CPU where there is none."""
    import torch

    free = {}
    for number in range(_gpus()):
        with contextlib.suppress(Exception):  # a GPU that is full, or that another process has to itself
            free[f"cuda:{number}"] = torch.cuda.mem_get_info(number)[0]
    return max(free, key=lambda device: free[device]) if free else "cuda:0" if _gpus() else "cpu"


def to_8bit(language: Any) -> None:
    """Put the linear layers of a T5 into bitsandbytes' 8-bit; they are quantized when they are moved to a device."""
    from bitsandbytes.nn.modules import Int8Params, Linear8bitLt
    from torch.nn import Linear, Parameter

    warnings.filterwarnings("ignore", message="MatMul8bitLt")  # once a layer
    for module in list(language.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is not Linear or name in LANGUAGE_KEPT:
                continue
            bias = layer.bias is not None
            sizes = (layer.in_features, layer.out_features, bias)
            small = Linear8bitLt(*sizes, has_fp16_weights=False, threshold=THRESHOLD, device="meta")
            small.weight = Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
            if bias:
                small.bias = Parameter(layer.bias.data, requires_grad=False)
            setattr(module, name, small)


def _checked_model(name: str, model_type: str) -> Any:
    """A model's class. What LAVIS does not have and what is no Blip2T5 is refused before any download."""
    from lavis.common.registry import registry

    kinds = registry.mapping["model_name_mapping"]
    able = ", ".join(sorted(each for each in kinds if _is_blip2_t5(kinds[each])))
    if name not in kinds:
        raise WorkerError("load", f"LAVIS has no model {name!r}; of Blip2T5 it has: {able}")
    kind = kinds[name]
    if not _is_blip2_t5(kind):
        raise WorkerError("load", f"LAVIS's {name} is not a Blip2T5, the only kind that is run: {able}")
    types = kind.PRETRAINED_MODEL_CONFIG_DICT
    if model_type not in types:
        raise WorkerError("load", f"LAVIS's {name} has no model_type {model_type!r}; it has: {', '.join(types)}")
    return kind


def _is_blip2_t5(kind: Any) -> bool:
    """Whether a class is one, with the `predict_answers` that is cut in two here."""
    from lavis.models import Blip2T5

    return issubclass(kind, Blip2T5) and kind.predict_answers is Blip2T5.predict_answers


def _run_plugin(path: str) -> None:
    try:
        SourceFileLoader("chatir_lavis_plugin", path).load_module()
    except BaseException as error:  # it may call exit()
        traceback.print_exc()
        raise WorkerError("load", f"plugin {path}: {_first_line(error)}") from None


def _import_torchvision() -> None:
    """Import torchvision even where its compiled operators do not fit a torch without CUDA: LAVIS uses none of them."""
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or torch.version.cuda is not None:
            raise
    else:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        raise WorkerError("import", f"the package {distribution} is not installed for {_python()}") from None


@contextlib.contextmanager
def _told_imports() -> Any:
    try:
        yield
    except Exception as error:  # a package that does not fit another fails in any way
        traceback.print_exc()
        name = getattr(error, "name", None) or ""
        what = f"the package {name.partition('.')[0]} cannot be imported" if name else "LAVIS cannot be imported"
        raise WorkerError("import", f"{what} by {_python()}: {_first_line(error)}") from None


def _python() -> str:
    return f"Python {sys.version.split()[0]} ({sys.executable})"


def _first_line(error: BaseException) -> str:
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def _memory_ended(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in MEMORY_SIGNS)


def _reply(worker: Worker, line: bytes) -> dict[str, Any]:
    operation = None
    try:
        request = json.loads(line)
        operation = request.pop("op")
        return {"result": getattr(worker, operation)(**request)}
    except WorkerError as error:
        told = {"kind": error.kind, "message": str(error)}
    except BaseException as error:  # LAVIS calls exit() where a package is missing
        traceback.print_exc()
        kind = "out_of_memory" if _memory_ended(error) else "load" if operation == "load" else "failed"
        told = {"kind": kind, "message": _first_line(error)}
    if told["kind"] == "out_of_memory" and "torch" in sys.modules:  # here, where no traceback holds tensors
        gc.collect()
        sys.modules["torch"].cuda.empty_cache()
    return {"error": told}


def _read(requests: Any, waiting: Any) -> None:
    for line in requests:
        waiting.put(line)
    os._exit(0)  # whoever asked is gone: no answer is wanted any more, not even the one at work


def main() -> None:
    """Answer requests. The pipes are the protocol's alone: what libraries print goes to stderr."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.path = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]  # chatir's
    logging.basicConfig(level=logging.INFO)
    waiting: Any = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()
    worker = Worker()
    while True:
        reply = _reply(worker, waiting.get())
        replies.write(json.dumps(reply).encode("ascii") + b"\n")
        replies.flush()


if __name__ == "__main__":
    main()
