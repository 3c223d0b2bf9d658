"""Where a model is loaded, and in which precision: on one GPU that has room for it, on several, or on the CPU."""

from __future__ import annotations

import re
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chatir.errors import InputError
from chatir.models.hardware.devices import CLAIMED, Gpu, freest, gpus, read_memory
from chatir.models.hardware.model_size import ROOM, ModelSize, Precision

QUANTIZED = ("8bit", "4bit")
OFF_GPU = ("cpu", "disk")
SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")
"""What accelerate may spread a model by."""
ELSEWHERE = re.compile(r"cpu|(mps|xpu|npu|hpu|mlu|musa|sdaa)(:\d{1,3})?")
"""Devices without CUDA."""
CPU = -1
"""The number of the machine's own memory where that of a GPU is looked for."""
OWN = 600_000_000
"""Bytes of a GPU that CUDA itself takes: never free for a model."""


def chosen_precision(precision: Precision, device_map: str, size: Callable[[], ModelSize | None]) -> Precision:
    """What `auto` means here: fp32 on a CPU; on a GPU a half precision where that fits, else 8bit.

    size: of the model; called only where it matters. It is the memory that the GPUs have that counts, not what is
    free of it: the same machine gives the same precision. Raises InputError for a device that is none, or not there.
    """
    cards = _cards(device_map)
    if precision != "auto":
        return precision
    if not cards:
        return "fp32"
    return auto_precision(size(), cards, together=device_map != "auto")


def auto_precision(size: ModelSize | None, cards: Sequence[Gpu], *, together: bool = False) -> Precision:
    """The precision of a model on some GPUs: bf16 (fp16 where there is none) where one of them holds it, else 8bit.

    together: whether the model may be spread over all of them.
    """
    largest = max(cards, key=lambda card: card.memory)
    memory = sum(card.memory - OWN for card in cards) if together else largest.memory - OWN
    return largest.half if size is None or size.room(largest.half) <= memory else "8bit"


def _cards(device_map: str) -> tuple[Gpu, ...]:
    """The GPUs that a `device_map` speaks of, without what is free.

    Raises InputError for a word that is none, and for a GPU that is not there.
    """
    number = _number(device_map)
    if number is None and device_map not in SPREAD:
        if ELSEWHERE.fullmatch(device_map):
            return ()
        told = f"must be {', '.join(SPREAD)}, cpu, cuda, cuda:NUMBER or another kind of device"
        raise InputError(f"device_map={device_map}: {told}")
    cards = gpus(free=False)
    if number is None:
        return cards
    if number >= len(cards):
        told = f"there is no such device, of CUDA's there are {len(cards)}"
        raise InputError(f"device_map={device_map}: {told}: use device_map=auto")
    return cards[number : number + 1]


def _number(device_map: str) -> int | None:
    """The number of the one GPU that a `device_map` names, None where it names none."""
    asked = re.fullmatch(r"cuda(?::(\d{1,3}))?", device_map)
    return None if asked is None else int(asked[1] or 0)


def around(device_map: str) -> Precision:
    """The precision of the layers that 8bit and 4bit leave as they are; the same machine gives the same."""
    return inner_precision(_cards(device_map))


def inner_precision(cards: Sequence[Gpu]) -> Precision:
    """The same on some GPUs: bf16, or fp16 where the largest has none; fp32 without any."""
    return max(cards, key=lambda card: card.memory).half if cards else "fp32"


def place(model: str, size: Callable[[], ModelSize | None], precision: Precision, device_map: str) -> str | None:
    """Where to load a model, as transformers' `device_map`; None is the CPU.

    `auto` is the freest GPU alone if that has room for the model; several only if it has not, since a model that is
    split copies between them at each step. Where the size is unknown, transformers places it as it sees fit. Raises
    InputError where there is not enough room: loading takes minutes, and would be in vain.
    """
    if device_map != "auto":
        return device_map
    cards, counted = gpus(), size()
    if not cards:
        if (available := read_memory()[1]) is not None:
            available = max(0, available - CLAIMED[CPU])
        if counted is not None and available is not None and counted.room(precision, "fp32") > available:
            raise InputError(_no_room(model, counted, precision, available, f"{_gigabytes(available)} of memory are"))
        return "cpu" if precision in QUANTIZED else None
    if counted is None:
        return "auto"
    needed, number = counted.room(precision, around(device_map)), freest(cards)
    if needed <= cards[number].room:
        return f"cuda:{number}"
    room = sum(card.room for card in cards)
    if needed <= room:
        return "auto"
    told = f"{_gigabytes(room)} of the GPU are" if len(cards) == 1 else f"{_gigabytes(room)} of {len(cards)} GPUs are"
    raise InputError(_no_room(model, counted, precision, room, told, f"cuda:{number}"))


def _no_room(model: str, size: ModelSize, precision: Precision, room: float, free: str, device: str = "cpu") -> str:
    """The line that refuses a model, with what would fit into the room."""
    inner = around("auto")
    lower: tuple[Precision, ...] = ("bf16" if inner == "fp32" else inner, "8bit", "4bit")
    fitting = next((f"precision={each}" for each in lower if size.room(each, inner) <= room), "a smaller model")
    needed = f"needs about {_gigabytes(size.room(precision, inner))} in {precision} ({ROOM} times its weights)"
    return (
        f"model {model}: {needed}, but {free} free: use {fitting}, or free memory; "
        f"precision={precision} with device_map={device} loads it anyway"
    )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"


def claim(model: Any) -> None:
    """Count the room that a loaded model takes on GPUs when it runs, as long as it is there."""
    weights: Counter[int] = Counter()
    for weight in model.parameters():
        if weight.device.type == "cuda":
            weights[weight.device.index or 0] += weight.nbytes
    _claimed(model, {number: int(ROOM * size) for number, size in weights.items()})


def reserve(owner: object, room: float, where: str | None) -> Callable[[], object]:
    """Count the room that a model will take where `place` puts it, until the function that is returned is called.

    owner: without it the room is free again, too.
    """
    if where in (None, *OFF_GPU):
        return _claimed(owner, {CPU: int(room)})
    if (number := _number(str(where))) is not None:
        return _claimed(owner, {number: int(room)})
    free = [card.room for card in gpus()]
    return _claimed(owner, {number: int(room * own / max(1, sum(free))) for number, own in enumerate(free)})


def _claimed(owner: object, bytes_by_gpu: Mapping[int, int]) -> Callable[[], object]:
    CLAIMED.update(bytes_by_gpu)
    return weakref.finalize(owner, CLAIMED.subtract, bytes_by_gpu)


def placed(model: Any) -> dict[str, Any]:
    """Where a loaded model is, for the record: `devices`, one or that of each part; `gpus`, what they are called."""
    found: Mapping[str, Any] = getattr(model, "hf_device_map", None) or {"": model.device}
    parts = {name: f"cuda:{place}" if isinstance(place, int) else str(place) for name, place in found.items()}
    names = {f"cuda:{number}": card.name for number, card in enumerate(gpus(free=False))}
    used = {device: names[device] for device in sorted(set(parts.values())) if device in names}
    devices = next(iter(parts.values())) if len(set(parts.values())) == 1 else parts
    return {"devices": devices, **({"gpus": used} if used else {})}


def off_gpu(devices: str | Mapping[str, str]) -> str | None:
    """The parts of a model on several devices that are on the CPU or the disk, as a line for the user."""
    if isinstance(devices, str):
        return None
    away = [name for name, device in devices.items() if device in OFF_GPU]
    if not away:
        return None
    return f"{len(away)} of its {len(devices)} parts are not on a GPU but in memory or on disk, which makes it slow"
