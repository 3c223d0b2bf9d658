"""What a model of LAVIS is made of: its configuration, and the files that are named there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from chatir.errors import InputError
from chatir.models.local.loading import folder_sha256


def config_sha256(config: Path) -> str:
    """Hash of a model's configuration and of the files and folders that are named in it; a URL is what it says.

    Raises InputError when they cannot be read.
    """
    total = hashlib.sha256()
    try:
        text = config.read_bytes()
        total.update(text)
        for name in sorted(set(_texts(yaml.safe_load(text)))):
            path = Path(name)  # LAVIS takes a relative one from the working directory, as here
            if "/" in name and path.is_dir():
                total.update(folder_sha256(path).encode())
            elif path.is_file():
                with path.open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{config}: the model's configuration cannot be read: {error}") from None
    return total.hexdigest()


def _texts(value: Any) -> Iterator[str]:
    """All texts in a configuration."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
