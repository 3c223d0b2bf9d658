"""What doctor says of a machine, and of a GPU that torch cannot use."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from chatir.commands.doctoring.finding import Finding
from chatir.commands.doctoring.machine import REINSTALL, Machine, Torch, machine, machine_findings
from chatir.models.hardware import devices
from chatir.models.hardware.devices import Gpu, read_memory

CARD = Gpu("a card", 24 * 10**9, 23 * 10**9, "8.9")


def with_torch(torch: Torch, *, nvidia: bool) -> Machine:
    return Machine("3.11.0", "Linux", 8, 32 * 10**9, 20 * 10**9, nvidia, torch)


def about_gpus(here: Machine) -> list[Finding]:
    return machine_findings(here)[2:]


def test_this_machine_is_told_in_lines_without_a_gap() -> None:
    here = machine()
    assert here.cores >= 1
    assert here.torch.version is not None
    assert here.memory is not None
    assert here.available is not None
    assert 0 < here.available <= here.memory
    assert not [finding for finding in machine_findings(here) if finding.state == "broken"]


def test_each_gpu_is_told_with_its_memory_and_capability() -> None:
    other = replace(CARD, free=5 * 10**9)
    here = with_torch(Torch("2.8.0", "12.8", (CARD, other)), nvidia=True)
    first, second, torch = about_gpus(here)
    assert (first.what, second.what) == ("GPU 0", "GPU 1")
    assert first.detail == "a card: 24 GB, 23 GB free; compute capability 8.9"
    assert "CUDA 12.8" in torch.detail
    assert here.room(together=True) == 28 * 10**9
    assert here.room(together=False) == 23 * 10**9


def test_room_without_a_gpu_is_the_memory_that_is_available() -> None:
    assert with_torch(Torch("2.8.0"), nvidia=False).room(together=True) == 20 * 10**9


def test_no_gpu_is_no_gap() -> None:
    (gpu,) = about_gpus(with_torch(Torch("2.8.0+cpu"), nvidia=False))
    assert not gpu.gap
    assert "a CPU build" in gpu.detail


def test_a_cpu_build_beside_a_driver_is_a_gap() -> None:
    (gpu,) = about_gpus(with_torch(Torch("2.8.0+cpu"), nvidia=True))
    assert gpu.state == "needs"
    assert gpu.mends == ((REINSTALL,),)


def test_a_driver_that_torch_cannot_use_is_told_in_torch_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (gpu,) = about_gpus(with_torch(Torch("2.8.0", "12.8", said="The driver is too old"), nvidia=True))
    assert gpu.state == "needs"
    assert "The driver is too old" in gpu.detail


def test_hidden_gpus_are_told_by_the_variable_that_hides_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (gpu,) = about_gpus(with_torch(Torch("2.8.0", "12.8"), nvidia=True))
    assert gpu.mends == (("unset CUDA_VISIBLE_DEVICES",),)


@pytest.mark.parametrize("built_for", [["sm_80", "sm_90"], ["sm_50", "sm_120"]])
def test_a_gpu_that_torch_is_not_built_for_is_a_gap_of_its_own_in_torch_s_words(
    monkeypatch: pytest.MonkeyPatch, built_for: list[str]
) -> None:
    import torch

    capability = {"an old card": (3, 7), "a card": (8, 0), "a new card": (12, 0)}
    cards = [*capability]

    def properties(number: int) -> SimpleNamespace:
        torch.cuda._check_capability()  # as the first call that needs a GPU does
        torch.cuda._check_cubins()
        major, minor = capability[cards[number]]
        return SimpleNamespace(name=cards[number], total_memory=8 * 10**9, major=major, minor=minor)

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built_for)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: cards[number])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: capability[cards[number]])
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    here = machine()
    fit = ["a card"] if "sm_80" in built_for else ["a new card"]
    assert [card for number, card in enumerate(cards) if number not in here.torch.unfit] == fit
    assert set(json.loads(json.dumps(asdict(here)))["torch"]["unfit"]) == {str(number) for number in here.torch.unfit}
    found = about_gpus(here)[:3]
    assert [card for card, finding in zip(cards, found, strict=True) if not finding.gap] == fit
    for finding in found:
        if finding.gap:
            assert "this torch is not built for it: " in finding.detail
            assert finding.mends
            assert finding.mends[0][0].startswith("pip install ")


def test_a_torch_that_cannot_be_imported_is_broken() -> None:
    (torch,) = about_gpus(with_torch(Torch(None, said="OSError: libcudart is not there"), nvidia=True))
    assert torch.state == "broken"
    assert "libcudart" in torch.detail


def test_memory_is_a_container_s_where_that_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8000 kB\nMemFree:  1000 kB\nMemAvailable:  4000 kB\n")
    monkeypatch.setattr(devices, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(devices, "LIMITS", [tmp_path / "none", tmp_path / "limit"])
    assert read_memory() == (8_192_000, 4_096_000)
    (tmp_path / "limit").write_text("5000000\n")
    assert read_memory() == (5_000_000, 4_096_000)
    (tmp_path / "limit").write_text("max\n")
    assert read_memory() == (8_192_000, 4_096_000)
