"""The options that encoders share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from chatir.errors import InputError
from chatir.models.local.model_name import ModelName

Precision = Literal["fp32", "bf16", "fp16"]
BATCH_TOKENS = {"cuda": 16384, "cpu": 1024}
"""Tokens at once that keep a device busy; on a CPU more are slower, because they leave its caches."""


class EncoderOptions(BaseModel):
    """How dialogs and images are encoded.

    separator: what stands between the caption and the rounds; the paper has " [SEP] ", its released evaluation ", ".
    max_tokens: texts are cut to so many (None: to as many as the model reads). precision: of the weights; vectors are
    float32. device: `cpu`, `cuda`, `cuda:1`, ...; `auto` is the freest GPU where there is one. batch_tokens: of texts
    encoded at once, padding included (None: 16,384 on a GPU, 1,024 without one). batch_size: images encoded at once.
    """

    model_config = ConfigDict(frozen=True)
    separator: str = ", "
    max_tokens: int | None = Field(default=None, ge=3)
    precision: Precision = "fp32"
    device: str = "auto"
    batch_tokens: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)


class ModelOptions(EncoderOptions):
    """A model of transformers, too.

    model: a hub id, a folder, or the built-in `scenes:clip`. revision: of the hub (None: the newest).
    """

    model: ModelName
    revision: str | None = None


def chosen_limit(max_tokens: int | None, limit: int, most: int | None = None) -> int:
    """Tokens that a text is cut to: `limit` unless the user says so; `most`, by default `limit`, is what fits.

    Raises InputError for more.
    """
    most = limit if most is None else most
    if max_tokens is not None and max_tokens > most:
        raise InputError(f"max_tokens={max_tokens}: the model reads {most} tokens at most")
    return limit if max_tokens is None else max_tokens
