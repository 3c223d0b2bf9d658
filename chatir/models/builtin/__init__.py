"""The small models that were trained on scenes: folders that transformers' `from_pretrained` loads as they are."""

from __future__ import annotations

from pathlib import Path

NAMES = ("blip2", "clip", "t5")


def checkpoints() -> dict[str, Path]:
    """The folders of the answerer (`blip2`), the retriever (`clip`) and the questioner (`t5`)."""
    return {name: Path(__file__).parent / name for name in NAMES}
