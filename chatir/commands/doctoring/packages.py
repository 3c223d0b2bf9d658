"""The installed packages, held against what chatir's own metadata ask for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement

from chatir import __version__
from chatir.commands.doctoring.finding import Finding, one_line
from chatir.run.provenance import PACKAGES, git_revision

OWN = "chatir"
NO_EXTRAS = ("all", "dev", "docs")
"""Extras that only gather others, or that a developer's Makefile installs."""


def versions() -> dict[str, str | None]:
    """Versions of what can change a result; None for what is not installed."""
    return {name: installed(name) for name in PACKAGES}


def installed(name: str) -> str | None:
    """The version of a distribution, None if it is not installed."""
    try:
        return metadata.version(name) or None
    except (metadata.PackageNotFoundError, KeyError):
        return None


def package_findings(cuda: str | None = None) -> list[Finding]:
    """The versions, each requirement that is not met, and each extra. cuda: torch's, None for a CPU build."""
    known = versions()
    revision = git_revision()
    listed = ", ".join(f"{name} {version}" for name, version in known.items() if name != OWN and version)
    findings = [
        Finding(OWN, "ok", __version__ + (f" (git {revision[:12]}{'+' * revision.endswith('+')})" if revision else "")),
        Finding("versions", "ok", listed),
    ]
    asked = metadata.distribution(OWN)
    for requirement in required(asked.requires or ()):
        if told := lack(requirement):
            line = f"pip install '{requirement.name}{requirement.specifier}'"
            findings.append(Finding(requirement.name, "needs", told, ((line,),)))
    findings += [] if cuda is None or known["bitsandbytes"] is None else _quantizing(cuda)
    extras = [extra for extra in asked.metadata.get_all("Provides-Extra") or () if extra not in NO_EXTRAS]
    return findings + [_extra(extra, required(asked.requires or (), extra)) for extra in sorted(extras)]


def _quantizing(cuda: str) -> list[Finding]:
    """A gap where bitsandbytes has no library for a CUDA, so that nothing can be put into 8 or 4 bit on a GPU."""
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)  # it warns of what is said here
    mend = "unset BNB_CUDA_VERSION" if "BNB_CUDA_VERSION" in os.environ else "pip install --upgrade bitsandbytes"
    major, minor = (int(part) for part in cuda.split(".")[:2])
    try:
        from bitsandbytes.cextension import get_cuda_bnb_library_path
        from bitsandbytes.cuda_specs import CUDASpecs

        library = get_cuda_bnb_library_path(CUDASpecs((0, 0), f"{major}{minor}", (major, minor)))
    except Exception as error:  # its import loads a library, and a variable may name none
        return [Finding("bitsandbytes", "broken", f"finds no library: {one_line(error)}", ((mend,),))]
    if library.exists():
        return []
    said = f"has no library for torch's CUDA {cuda}, which 8 and 4 bit need on a GPU: {library.name} is missing"
    return [Finding("bitsandbytes", "needs", said, ((mend,),))]


def required(lines: Iterable[str], extra: str | None = None) -> list[Requirement]:
    """What a distribution asks for here: always, or only with an extra. Lines that cannot be read are left out."""
    found = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        with_extra = extra is not None and not always and marker is not None and marker.evaluate({"extra": extra})
        if with_extra if extra is not None else always:
            found.append(requirement)
    return found


def lack(requirement: Requirement) -> str | None:
    """What is wrong with a requirement here, None if it is met."""
    version = installed(requirement.name)
    if version is None:
        return "is not installed"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"is {version}, but {requirement.specifier} is needed"
    return None


def lacking(distribution: metadata.Distribution | None, extras: Sequence[str]) -> list[str]:
    """Names of the packages that extras of a distribution lack here."""
    lines = (distribution.requires if distribution else None) or ()
    return sorted({each.name for extra in extras for each in required(lines, extra) if lack(each)})


def install_line(distribution: str, extras: Sequence[str]) -> str:
    """The line that installs extras of a distribution."""
    return f"pip install '{distribution}[{','.join(extras)}]'"


def _extra(extra: str, wanted: Sequence[Requirement]) -> Finding:
    name = f"extra {extra}"
    missing = [f"{each.name} {told}" for each in wanted if (told := lack(each))]
    if not missing:
        return Finding(name, "ok", ", ".join(f"{each.name} {installed(each.name)}" for each in wanted))
    return Finding(name, "optional", ", ".join(missing), ((install_line(OWN, [extra]),),))
