"""`blip2`: BLIP-2 as transformers runs it, by default the largest, in 8-bit where there is a GPU."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, model_validator

from chatir.answerers.sighted import SightedModel, SightOptions
from chatir.errors import InputError
from chatir.models.local.blip2 import Blip2Model, Blip2Options
from chatir.plugins import Context, build, did_you_mean


class TransformersOptions(Blip2Options, SightOptions):
    """As those of a BLIP-2, and of a prompt."""


class Blip2(SightedModel):
    """Shows the model the image and one question at a time; images are encoded once a dialog."""

    name = "BLIP2"

    def __init__(self, options: TransformersOptions, context: Context) -> None:
        super().__init__(options, Blip2Model(options, context))


class Options(TransformersOptions):
    """backend: what runs the model; with `lavis`, all other options are those of `blip2-lavis`.

    Raises InputError for an option that the backend transformers does not have.
    """

    model_config = ConfigDict(extra="allow")
    backend: Literal["transformers", "lavis"] = "transformers"

    @model_validator(mode="after")
    def _further_ones_for_lavis_only(self) -> Options:
        for name in (self.model_extra or {}) if self.backend == "transformers" else ():
            raise InputError(f"answerer 'blip2' has no option {name!r}{did_you_mean(name, Options.model_fields)}")
        return self


def blip2(options: Options, context: Context) -> SightedModel:
    """BLIP-2, through transformers or through LAVIS."""
    if options.backend == "lavis":
        given = options.model_dump(include=options.model_fields_set - {"backend"})
        player: SightedModel = build("answerers", "blip2-lavis", given, context)
        return player
    return Blip2(options, context)
