"""The small models that were trained on scenes: folders that transformers' `from_pretrained` loads as they are."""

from __future__ import annotations

from pathlib import Path

NAMES = ("blip2", "clip", "t5")
BUILT_IN = "scenes:"
"""What names of the built-in models begin with; no hub id holds a colon."""

DIGESTS = {
    "8eca68e81f4d373233c2a517d2dffb88a3216e1fa6532fe4517c6839ca083634": "blip2",
    "11f5a4798a3671926cf0c980bd28a843f7978d4e16c4ec0905c2baa97f938ae2": "clip",
    "7230a17710abdbfb54b00af84d89553d425481ce856ee63cbb2f3ba37fd873fe": "t5",
}
"""Which model a folder holds, by its hash (`chatir.models.loading.folder_sha256`).

A model that is trained again gets a line of its own; older lines stay, by which older runs are known.
"""


def checkpoints() -> dict[str, Path]:
    """The folders of the answerer (`blip2`), the retriever (`clip`) and the questioner (`t5`)."""
    return {name: Path(__file__).parent / name for name in NAMES}
