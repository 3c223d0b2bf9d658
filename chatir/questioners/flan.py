"""FLAN-T5 and FLAN-Alpaca, XL and XXL: the open questioners of the paper, as `hf` plays them."""

from __future__ import annotations

from chatir.models.local.model_name import ModelName
from chatir.plugins import Context
from chatir.questioners.hf import HF, Options


class FlanT5XLOptions(Options):
    """As those of `hf`."""

    model: ModelName = "google/flan-t5-xl"


class FlanT5XXLOptions(Options):
    """As those of `hf`."""

    model: ModelName = "google/flan-t5-xxl"


class FlanAlpacaXLOptions(Options):
    """As those of `hf`."""

    model: ModelName = "declare-lab/flan-alpaca-xl"


class FlanAlpacaXXLOptions(Options):
    """As those of `hf`."""

    model: ModelName = "declare-lab/flan-alpaca-xxl"


def flan_t5_xl(options: FlanT5XLOptions, context: Context) -> HF:
    """FLAN-T5-XL (2.8 billion parameters) on the paper's few-shot prompt."""
    return HF(options, context, name="FLAN_T5_XL")


def flan_t5_xxl(options: FlanT5XXLOptions, context: Context) -> HF:
    """FLAN-T5-XXL (11 billion parameters) on the paper's few-shot prompt."""
    return HF(options, context, name="FLAN_T5_XXL")


def flan_alpaca_xl(options: FlanAlpacaXLOptions, context: Context) -> HF:
    """FLAN-Alpaca-XL (2.8 billion parameters) on the paper's few-shot prompt."""
    return HF(options, context, name="FLAN_ALPACA_XL")


def flan_alpaca_xxl(options: FlanAlpacaXXLOptions, context: Context) -> HF:
    """FLAN-Alpaca-XXL (11 billion parameters) on the paper's few-shot prompt."""
    return HF(options, context, name="FLAN_ALPACA_XXL")
