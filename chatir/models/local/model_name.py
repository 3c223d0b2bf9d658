"""How options name a model: by its hub id, its folder, or as `scenes:t5` and the like where it is built in."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from chatir.datasets.scenes.names import BUILT_IN
from chatir.models.builtin import checkpoints
from chatir.plugins import did_you_mean


def built_in_names() -> list[str]:
    """`scenes:blip2`, `scenes:clip`, `scenes:t5`: the small models that were trained on scenes."""
    return [f"{BUILT_IN}{name}" for name in checkpoints()]


def model_folder(model: str) -> str:
    """The folder of a built-in model; any other name as it is. Raises ValueError for a built-in one that is not."""
    if not model.startswith(BUILT_IN):
        return model
    folder = checkpoints().get(model.removeprefix(BUILT_IN))
    if folder is None:
        raise ValueError(f"there is no such built-in model{did_you_mean(model, built_in_names())}")
    return str(folder)


ModelName = Annotated[str, Field(min_length=1), AfterValidator(model_folder)]
"""A hub id, a folder, or a built-in model's name, which becomes its folder."""
