"""`blip2-lavis`: BLIP-2 as LAVIS itself runs it, in an environment of its own that `chatir lavis install` makes."""

from __future__ import annotations

from chatir.answerers.sighted import SightedModel, SightOptions
from chatir.models.lavis.model import LavisModel, LavisOptions
from chatir.plugins import Context


class Options(LavisOptions, SightOptions):
    """As those of a model of LAVIS, and of a prompt."""


class Blip2Lavis(SightedModel):
    """Shows the model the image and one question at a time; images are encoded once a dialog."""

    name = "BLIP2_LAVIS"
    model: LavisModel

    def __init__(self, options: Options, context: Context) -> None:
        super().__init__(options, LavisModel(options, context))
