"""Packages, held against metadata as an installer writes them."""

from __future__ import annotations

from importlib.metadata import PathDistribution, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from chatir.doctor.packages import OFFLINE, install_line, lack, lacking, package_findings, required, versions


def test_each_extra_of_the_metadata_is_told_and_no_other() -> None:
    told = {finding.what for finding in package_findings() if finding.what.startswith("extra ")}
    assert {"extra offline", "extra faiss", "extra ray", "extra datasets", "extra web"} <= told
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


def test_the_offline_extra_has_a_line_that_compiles_nothing() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert install_line("chatir", ["offline"]) == OFFLINE
    gguf, no_deps = OFFLINE.split(" && ")
    assert f"$(PIP) {gguf.removeprefix('pip install ')}\n" in makefile
    assert f"$(PIP) {no_deps.removeprefix('pip install ')}\n" in makefile
    assert install_line("chatir", ["faiss"]) == "pip install 'chatir[faiss]'"
    assert install_line("other", ["offline"]) == "pip install 'other[offline]'"
