"""Where a model can be loaded: the GPUs that torch can use, and the machine's own memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chatir.errors import InputError

MEMORY = Path("/proc/meminfo")
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What a container may use, where it is less than the machine has."""

CLAIMED: Counter[int] = Counter()
"""Bytes of each GPU that the models of this process on it take when they run, by the GPU's number."""


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use. memory, free: bytes; free is None if it was not asked, or did not tell.

    capability: `9.0`.
    """

    name: str
    memory: int
    free: int | None
    capability: str

    @property
    def room(self) -> int:
        """Bytes that are free; none where that is unknown, as of a GPU that is full."""
        return self.free or 0

    @property
    def half(self) -> Literal["bf16", "fp16"]:
        """The half precision that it computes in: `bf16`, or `fp16` before capability 8.0."""
        return "bf16" if int(self.capability.partition(".")[0]) >= 8 else "fp16"


def gpus(*, free: bool = True) -> tuple[Gpu, ...]:
    """The GPUs, in torch's order.

    free: whether to ask what is free, for which CUDA takes some hundred megabytes of each GPU until this process ends.
    What torch has reserved in this process and does not use counts as free, unless a model here will use it when it
    runs.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return tuple(_gpu(number, ask=free) for number in range(count))


def _gpu(number: int, *, ask: bool) -> Gpu:
    from torch import cuda

    about = cuda.get_device_properties(number)
    free = None
    if ask:
        with suppress(Exception):  # a GPU that is full, or that another process has to itself
            reserved, used = cuda.memory_reserved(number), max(cuda.memory_allocated(number), CLAIMED[number])
            free = max(0, int(cuda.mem_get_info(number)[0]) + reserved - used)
    return Gpu(str(about.name), int(about.total_memory), free, f"{about.major}.{about.minor}")


def freest(cards: Sequence[Gpu]) -> int:
    """The number of the GPU with the most free memory, the first of several."""
    return max(range(len(cards)), key=lambda number: cards[number].room)


def chosen_device(device: str) -> str:
    """A device by its word: `auto` is the freest GPU, or `cpu` where there is none.

    Raises InputError for a device that is not there.
    """
    checked_device(device)
    if device != "auto":
        return device
    return f"cuda:{freest(cards)}" if (cards := gpus()) else "cpu"


def checked_device(device: str) -> str:
    """The type of a device, `cpu` or `cuda`; `auto` is a GPU where there is one. Raises InputError as above."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if count else "cpu"
    if (number := cuda_number(device)) is None:
        return device
    if number >= count:
        raise InputError(f"device={device}: there is no such device, of CUDA's there are {count}: use device=cpu")
    return "cuda"


def cuda_number(device: str) -> int | None:
    """The number of a GPU in the word for it, None for `auto` and `cpu`. Raises InputError for any other word."""
    if device in ("auto", "cpu"):
        return None
    if (asked := re.fullmatch(r"cuda(?::(\d{1,3}))?", device)) is None:
        raise InputError(f"device={device}: must be auto, cpu, cuda or cuda:NUMBER")
    return int(asked[1] or 0)


def read_memory() -> tuple[int | None, int | None]:
    """Bytes of the machine's memory in all, and available now; None for what the system does not tell."""
    memory = available = None
    with suppress(OSError, ValueError, LookupError):
        rows = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
        memory, available = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    for file in LIMITS:
        with suppress(OSError, ValueError):
            limit = int(file.read_text())
            memory, available = (limit if size is None else min(size, limit) for size in (memory, available))
    if memory is None:
        with suppress(OSError, ValueError):
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory, available
