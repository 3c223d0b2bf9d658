"""The machine: Python, cores, memory, and the GPUs that torch can use or cannot."""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

from chatir.doctor.finding import Finding, gigabytes, one_line
from chatir.models.devices import Gpu, gpus, read_memory

DRIVER = Path("/proc/driver/nvidia")
REINSTALL = "pip install --upgrade --force-reinstall torch"


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
        shutil.which("nvidia-smi") is not None or DRIVER.exists(),
        _torch(),
    )


def _torch() -> Torch:
    """Import torch and ask it for GPUs. Whatever it raises or warns of is kept."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            import torch
        except (Exception, SystemExit) as error:  # a library that is not there is an OSError
            return Torch(None, said=one_line(error))
        found: tuple[Gpu, ...] = ()
        said = ""
        try:
            found = gpus()
        except Exception as error:
            said = one_line(error)
    about = [" ".join(str(each.message).split())[:300] for each in warned if "CUDA" in str(each.message)]
    build = torch.version.cuda or getattr(torch.version, "hip", None)
    return Torch(str(torch.__version__), build, found, "" if found else said or (about[0] if about else ""))


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
