"""What a run notes for the record and never compares: versions, git revision, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("chatir", "torch", "transformers", "tokenizers", "accelerate", "bitsandbytes", "httpx2", "numpy")


def provenance() -> dict[str, Any]:
    """Versions of what can change a result, the project's git revision, and the machine; no host or user name."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "packages": versions,
        "git": git_revision(),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def git_revision() -> str | None:
    """Revision of the checkout that this code runs from ("+" when it was changed since), None elsewhere."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
