"""BLIP-2 as the real LAVIS plays it, in its worker: images go there once, then only texts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from chatir.dialog import Failure
from chatir.errors import InputError, StoppedRunError
from chatir.models.completion import Completion
from chatir.models.hardware.devices import cuda_number
from chatir.models.lavis.environment import lavis_python
from chatir.models.lavis.model_files import config_sha256
from chatir.models.lavis.worker import THRESHOLD
from chatir.models.lavis.worker_process import WorkerDiedError, WorkerError, lavis_worker, told
from chatir.models.local.blip2 import AnswerDecoding
from chatir.models.local.loading import ONE_AT_A_TIME
from chatir.models.local.vision_model import Look, LookingModel, LostImagesError
from chatir.plugins import Context
from chatir.storage.files import os_error

if TYPE_CHECKING:
    from PIL.Image import Image

START_SECONDS = 300.0
"""How long the imports, and a plugin, may take."""
PART_BYTES = 32 * 2**20
"""Of images that are sent at once, unless one is larger."""


class LavisOptions(AnswerDecoding):
    """A Blip2T5 of LAVIS and how it is run.

    name, model_type: as LAVIS's `load_model_and_preprocess` takes them. precision: `fp32` everywhere and without
    autocast (the T5's weights rounded to bf16 before, as LAVIS always does); `fp16`, on CUDA only, as LAVIS loads
    it there (of BLIP-2: vision in fp16, Q-Former in fp32, T5 in bf16); `8bit` puts the T5's linear layers into
    bitsandbytes' int8 and leaves the rest as `fp16` on CUDA, else as `fp32`; `auto` is 8bit on CUDA and fp32
    without. plugin: a Python file that is run in the worker before the model is loaded, to register models of
    one's own with LAVIS. python: a Python that has LAVIS, instead of the environment that `chatir lavis install`
    makes. device: `cpu`, `cuda`, `cuda:1`, ...; `auto` is the freest GPU where there is one. batch_size: questions at
    once. kept_images: images that stay encoded in the worker. timeout: seconds for one batch, after which the worker is
    started anew. log: a file for what the worker says.
    """

    name: str = Field(default="blip2_t5", min_length=1)
    model_type: str = Field(default="pretrain_flant5xxl", min_length=1)
    precision: Literal["auto", "fp32", "fp16", "8bit"] = "auto"
    plugin: Path | None = None
    python: Path | None = None
    device: str = "auto"
    batch_size: int = Field(default=16, ge=1)
    kept_images: int = Field(default=1024, ge=1)
    timeout: float = Field(default=600, gt=0, le=604_800)
    log: Path | None = None


class LavisModel(LookingModel):
    """A Blip2T5 of LAVIS, in a worker that is started when it is needed.

    A worker that dies is started again once; the next one that dies before it answers stops the run. The model sees an
    image once, and gives what its own `predict_answers` gives.
    """

    backend = "lavis"

    def __init__(self, options: LavisOptions, context: Context) -> None:
        self._options = options
        self._gpu = cuda_number(options.device)
        self._device = options.device if self._gpu is None else f"cuda:{self._gpu}"
        self._plugin = _sha256(options.plugin) if options.plugin is not None else None
        self._worker = lavis_worker(lavis_python(options.python), options.log)
        self._loaded = False
        self._drop: list[str] = []
        self._deaths = 0
        self._stop: StoppedRunError | None = None
        super().__init__(context, batch_size=options.batch_size, kept_images=options.kept_images)

    @property
    def title(self) -> str:
        """LAVIS's own two names of the model."""
        return f"LAVIS's {self._options.name}/{self._options.model_type}"

    @cached_property
    def _about(self) -> dict[str, Any]:
        options = self._options
        about, found = self._asked_first("about"), self._asked_first("check", **self._names)
        precision, count = options.precision, int(about["cuda"])
        if self._gpu is not None and self._gpu >= count:
            told = f"there is no such device, LAVIS's torch finds {count} of CUDA's"
            raise InputError(f"device={options.device}: {told}: use device=cpu")
        on_gpu = count > 0 and options.device != "cpu"
        if precision == "fp16" and not on_gpu:
            lacking = "device is cpu" if count else "LAVIS's torch finds none"
            raise InputError(f"precision=fp16 needs a CUDA device, and {lacking}; use fp32 or 8bit")
        if precision == "auto":
            precision = "8bit" if on_gpu else "fp32"
        return {
            "id": f"{options.name}/{options.model_type}",
            "sha256": config_sha256(Path(found["config"])),
            "lavis": about["lavis"],
            "precision": precision,
            **({"threshold": THRESHOLD} if precision == "8bit" else {}),  # it was 0 once, and unrecorded
            "plugin": self._plugin,
        }

    @property
    def _names(self) -> dict[str, Any]:
        """What the worker needs to find the model."""
        plugin = self._options.plugin
        path = None if plugin is None else str(plugin.resolve())
        return {"name": self._options.name, "model_type": self._options.model_type, "plugin": path}

    def _asked_first(self, operation: str, **request: Any) -> dict[str, Any]:
        """What the worker tells before any model is loaded. Raises InputError if it cannot."""
        try:
            return self._worker.ask(operation, START_SECONDS, **request)
        except (WorkerError, WorkerDiedError) as error:
            raise told(error, self._options.python) from None

    @property
    def identity(self) -> dict[str, Any]:
        """The model, what runs it, and how it searches for an answer. The first call asks the worker."""
        decoding = {name: getattr(self._options, name) for name in AnswerDecoding.model_fields}
        return {"model": dict(self._about), **decoding}

    def close(self) -> None:
        """End the worker."""
        self._worker.close()
        self._forget()
        self._deaths, self._stop = 0, None

    def _length(self, text: str) -> int:
        return len(text)  # in characters: the tokenizer is in the worker

    def _overflow(self, text: str) -> str | None:
        return None  # the tokenizer is in the worker; of a T5, the positions are relative

    def complete(self, looks: Sequence[Look]) -> list[Completion]:
        """As ever. Raises StoppedRunError after a call in which two workers died; its good answers came back."""
        if self._stop is not None:
            stop, self._stop, self._deaths = self._stop, None, 0
            raise stop
        return super().complete(looks)

    def _batch(self, looks: list[Look], contents: Mapping[str, str]) -> list[Completion]:
        while self._stop is None:
            try:
                return super()._batch(looks, contents)
            except WorkerDiedError as error:
                self._buried(str(error))
            except WorkerError as error:
                if "CUDA error" in str(error):  # none but a new process gets over it
                    self._worker.close()
                    self._forget()
                    self._buried(str(error))
                elif len(looks) == 1:
                    return [Completion(None, Failure("model_failed", str(error)))]
                else:
                    return [self._batch([look], contents)[0] for look in looks]
        return [Completion(None, Failure("worker_died", str(self._stop))) for _ in looks]

    def _buried(self, error: str) -> None:
        """Start the worker again after a first death; stop the run after a second with no answer between them."""
        self._deaths += 1
        if self._deaths == 1:
            self._progress(f"{error}; it is started again")
        else:
            lost = f"two LAVIS workers in a row ended without an answer, the last one: {error}"
            self._stop = StoppedRunError(f"{lost} (log=FILE keeps what they say)")

    def _given_up(self, image: str) -> None:
        if self._loaded:
            self._drop.append(image)

    def _prepared(self, picture: Image) -> dict[str, Any]:
        rgb = base64.b64encode(picture.tobytes()).decode("ascii")
        return {"width": picture.width, "height": picture.height, "rgb": rgb}

    def _encoded(self, prepared: Mapping[str, dict[str, Any]]) -> list[bool]:
        """The encodings are in the worker: here, only that they are."""
        for some in _in_parts(prepared):
            self._ask("encode", images=some, drop=self._drop)
            self._drop = []
        return [True] * len(prepared)

    def _completed(self, looks: Sequence[Look], encodings: Sequence[bool]) -> list[Completion]:
        options = self._options
        reply = self._ask(
            "answer",
            items=[{"key": look.image, "text": look.text} for look in looks],
            num_beams=options.beams,
            length_penalty=options.length_penalty,
            max_len=options.max_tokens,
            min_len=options.min_tokens + 1,  # of a T5, its start counts too
        )
        self._deaths = 0
        if "missing" in reply:
            raise LostImagesError(f"{self.title}: the worker lost images")
        return [Completion(answer.pop("text").strip(), **answer) for answer in reply["answers"]]

    def _ask(self, operation: str, **request: Any) -> dict[str, Any]:
        """Ask the worker, which has the model loaded first."""
        try:
            if not self._loaded:
                self._load()
            return self._worker.ask(operation, self._options.timeout, **request)
        except WorkerError as error:
            if error.kind == "out_of_memory":
                raise MemoryError(str(error)) from None
            raise
        except BaseException:  # it died, or whoever asked does not wait: the worker is gone
            self._forget()
            raise

    def _load(self) -> None:
        precision = self._about["precision"]
        self._progress(f"loading {self.title} ({precision})")
        try:
            with ONE_AT_A_TIME:  # what another model takes is not free until it is loaded
                pass
            loaded = self._worker.ask("load", precision=precision, device=self._device, **self._names)
        except WorkerError as error:
            raise told(error, self._options.python) from None
        except WorkerDiedError as error:
            self._forget()
            raise InputError(f"{self.title} cannot be loaded: {error}") from None
        self._loaded = True
        device, gpu = loaded["device"], loaded.get("gpu")
        self._placed = {"devices": device, **({"gpus": {device: gpu}} if gpu else {})}

    def _forget(self) -> None:
        self._loaded = False
        self._seen.clear()
        self._drop = []


def _in_parts(prepared: Mapping[str, dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Images as they are sent, not too many bytes at once."""
    part: list[dict[str, Any]] = []
    size = 0
    for image, shown in prepared.items():
        if part and size + len(shown["rgb"]) > PART_BYTES:
            yield part
            part, size = [], 0
        part.append({"key": image, **shown})
        size += len(shown["rgb"])
    yield part


def _sha256(plugin: Path) -> str:
    try:
        return hashlib.sha256(plugin.read_bytes()).hexdigest()
    except OSError as error:
        raise os_error(plugin, error) from None
