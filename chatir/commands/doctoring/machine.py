"""The machine: Python, cores, memory, and the GPUs that torch can use or cannot."""

from __future__ import annotations

import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from chatir.commands.doctoring.finding import Finding, gigabytes, mends_in, one_line
from chatir.models.hardware.devices import Gpu, gpus, read_memory

DRIVER = Path("/proc/driver/nvidia")
REINSTALL = "pip install --upgrade --force-reinstall torch"


@dataclass(frozen=True)
class Torch:
    """What torch is. cuda: the CUDA it was built for, None for a CPU build. said: why it finds no GPU, or fails.

    unfit: torch's own words of each GPU for which it was not built, by number.
    """

    version: str | None
    cuda: str | None = None
    gpus: tuple[Gpu, ...] = ()
    said: str = ""
    unfit: dict[int, str] = field(default_factory=dict)


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

    def room(self, *, together: bool) -> int | None:
        """Bytes that a model may fill: what is free on the freest GPU, without one what memory is available.

        together: whether it may be spread over all GPUs.
        """
        free = [gpu.room for gpu in self.torch.gpus]
        return (sum(free) if together else max(free)) if free else self.available


def machine() -> Machine:
    """Look at the machine; imports torch."""
    memory, available = read_memory()
    return Machine(
        platform.python_version(),
        platform.platform(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory,
        available,
        _has_driver(),
        _torch(),
    )


def unused_gpu() -> Finding | None:
    """The gap of a machine whose NVIDIA driver is there, but torch finds no GPU; None for any other machine.

    Asks no GPU for anything, and imports torch only where there is a driver.
    """
    if not _has_driver():
        return None
    torch, there = _found_torch()
    return None if there or torch.version is None else _unused(torch)


def _has_driver() -> bool:
    return shutil.which("nvidia-smi") is not None or DRIVER.exists()


def _torch() -> Torch:
    """Import torch and ask it for GPUs. Whatever it raises or warns of is kept."""
    torch, there = _found_torch()
    if not there:
        return torch
    with _warnings() as warned:
        try:
            found = gpus()
        except Exception as error:
            return replace(torch, said=one_line(error))
    unfit = {number: told for number, gpu in enumerate(found) if (told := _unfit(gpu, warned))}
    return replace(torch, gpus=found, unfit=unfit)


def _found_torch() -> tuple[Torch, int]:
    """What torch is, and how many GPUs it finds."""
    there, said = 0, ""
    with _warnings() as warned:
        try:
            import torch
        except (Exception, SystemExit) as error:  # a library that is not there is an OSError
            return Torch(None, said=one_line(error)), 0
        try:
            there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        except Exception as error:
            said = one_line(error)
    about = [" ".join(each.split())[:300] for each in warned if "CUDA" in each]
    build = torch.version.cuda or getattr(torch.version, "hip", None)
    return Torch(str(torch.__version__), build, said="" if there else said or (about[0] if about else "")), there


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Yields a list that has every warning of the block in the end, instead of stderr."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield told
    told += [str(each.message).strip() for each in warned]


def _unfit(gpu: Gpu, warned: list[str]) -> str:
    """What torch warns of a GPU, if it is not built for its compute capability."""
    about = re.compile(rf"(Found GPU\d+ )?{re.escape(gpu.name)} (with CUDA|which is of (cuda|compute)) capability")
    return next((each for each in warned if about.match(each)), "")


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
    if torch.version is None:
        return [Finding("torch", "broken", f"cannot be imported: {torch.said}", ((REINSTALL,),))]
    if torch.gpus:
        found = [_gpu_finding(number, gpu, torch.unfit.get(number, "")) for number, gpu in enumerate(torch.gpus)]
        return [*found, Finding("torch", "ok", _build(torch))]
    return [_unused(torch)] if here.nvidia else [Finding("GPU", "ok", f"none; {_build(torch)}")]


def _gpu_finding(number: int, gpu: Gpu, unfit: str) -> Finding:
    if not unfit:
        return Finding(f"GPU {number}", "ok", _described(gpu))
    why = f"this torch is not built for it: {unfit.splitlines()[0]}"
    return Finding(f"GPU {number}", "needs", f"{_described(gpu)}; {why}", (mends_in(unfit) or (REINSTALL,),))


def _unused(torch: Torch) -> Finding:
    """Why a torch that can be imported finds no GPU beside a driver."""
    build = _build(torch)
    if torch.cuda is None:
        return Finding("GPU", "needs", f"an NVIDIA driver is here, but {build}, which cannot use it", ((REINSTALL,),))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        told = f"the GPU is hidden by CUDA_VISIBLE_DEVICES; {build}"
        return Finding("GPU", "needs", told, (("unset CUDA_VISIBLE_DEVICES",),))
    why = torch.said or "torch finds no GPU: is the driver too old for it?"
    return Finding("GPU", "needs", f"an NVIDIA driver is here and {build}, but: {why}", (("nvidia-smi", REINSTALL),))


def _build(torch: Torch) -> str:
    return f"torch {torch.version}, {f'built for CUDA {torch.cuda}' if torch.cuda else 'a CPU build'}"


def _described(gpu: Gpu) -> str:
    free = "" if gpu.free is None else f", {gigabytes(gpu.free)} free"
    return f"{gpu.name}: {gigabytes(gpu.memory)}{free}; compute capability {gpu.capability}"
