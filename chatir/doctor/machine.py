"""The machine: Python, cores, memory, and the GPUs that torch can use or cannot."""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatir.doctor.finding import Finding, gigabytes, one_line

MEMORY = Path("/proc/meminfo")
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may use, where it is less than the machine has."""
DRIVER = Path("/proc/driver/nvidia")
REINSTALL = "pip install --upgrade --force-reinstall torch"


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use. memory, free: bytes, None where it does not tell. capability: `9.0`."""

    name: str
    memory: int
    free: int | None
    capability: str


@dataclass(frozen=True)
class Torch:
    """What torch is. cuda: the CUDA it was built for, None for a CPU build. said: why it finds no GPU, or fails."""

    version: str | None
    cuda: str | None = None
    gpus: tuple[Gpu, ...] = ()
    said: str = ""


@dataclass(frozen=True)
class Machine:
    """memory, available: bytes, None where the system does not tell. nvidia: whether an NVIDIA driver is there."""

    python: str
    platform: str
    cores: int
    memory: int | None
    available: int | None
    nvidia: bool
    torch: Torch

    @property
    def room(self) -> int | None:
        """Bytes that a model may fill: what is free on the GPUs together, without one what memory is available."""
        free = [gpu.memory if gpu.free is None else gpu.free for gpu in self.torch.gpus]
        return sum(free) if free else self.available


def machine() -> Machine:
    """Look at the machine; imports torch."""
    memory, available = read_memory()
    return Machine(
        platform.python_version(),
        platform.platform(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory,
        available,
        shutil.which("nvidia-smi") is not None or DRIVER.exists(),
        _torch(),
    )


def read_memory() -> tuple[int | None, int | None]:
    """Bytes of memory in all, and available now."""
    memory = available = None
    with suppress(OSError, ValueError, IndexError):
        rows = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
        memory, available = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    with suppress(OSError, ValueError):
        limit = int(LIMIT.read_text())
        memory, available = (limit if size is None else min(size, limit) for size in (memory, available))
    if memory is None:
        with suppress(OSError, ValueError):
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory, available


def _torch() -> Torch:
    """Import torch and ask it for GPUs. Whatever it raises or warns of is kept."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            import torch
        except (Exception, SystemExit) as error:  # a library that is not there is an OSError
            return Torch(None, said=one_line(error))
        gpus: tuple[Gpu, ...] = ()
        said = ""
        try:
            there = torch.cuda.device_count() if torch.cuda.is_available() else 0
            gpus = tuple(_gpu(torch.cuda, number) for number in range(there))
        except Exception as error:
            said = one_line(error)
    about = [" ".join(str(each.message).split())[:300] for each in warned if "CUDA" in str(each.message)]
    build = torch.version.cuda or getattr(torch.version, "hip", None)
    return Torch(str(torch.__version__), build, gpus, "" if gpus else said or (about[0] if about else ""))


def _gpu(cuda: Any, number: int) -> Gpu:
    about = cuda.get_device_properties(number)
    free = None
    with suppress(Exception):  # a GPU that is full, or another's alone
        free = int(cuda.mem_get_info(number)[0])
    return Gpu(str(about.name), int(about.total_memory), free, f"{about.major}.{about.minor}")


def machine_findings(here: Machine) -> list[Finding]:
    """A line for each part of the machine."""
    size = "not known" if here.memory is None else gigabytes(here.memory)
    free = "" if here.available is None else f", {gigabytes(here.available)} available"
    cores = f"{here.cores} core{'s' if here.cores != 1 else ''}"
    return [
        Finding("Python", "ok", f"{here.python} on {here.platform}"),
        Finding("memory", "ok", f"{size}{free}; {cores}"),
        *_gpu_findings(here),
    ]


def _gpu_findings(here: Machine) -> list[Finding]:
    torch = here.torch
    build = f"torch {torch.version}, {f'built for CUDA {torch.cuda}' if torch.cuda else 'a CPU build'}"
    if torch.version is None:
        return [Finding("torch", "broken", f"cannot be imported: {torch.said}", ((REINSTALL,),))]
    if torch.gpus:
        return [Finding(f"GPU {number}", "ok", _described(gpu)) for number, gpu in enumerate(torch.gpus)] + [
            Finding("torch", "ok", build)
        ]
    if not here.nvidia:
        return [Finding("GPU", "ok", f"none; {build}")]
    if torch.cuda is None:
        return [Finding("GPU", "needs", f"an NVIDIA driver is here, but {build}, which cannot use it", ((REINSTALL,),))]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return [Finding("GPU", "needs", f"hidden by CUDA_VISIBLE_DEVICES; {build}", (("unset CUDA_VISIBLE_DEVICES",),))]
    why = torch.said or "torch finds no GPU: is the driver too old for it?"
    return [Finding("GPU", "needs", f"an NVIDIA driver is here and {build}, but: {why}", (("nvidia-smi", REINSTALL),))]


def _described(gpu: Gpu) -> str:
    free = "" if gpu.free is None else f", {gigabytes(gpu.free)} free"
    return f"{gpu.name}: {gigabytes(gpu.memory)}{free}; compute capability {gpu.capability}"
