"""What the two T5 models share: their shape, and a start from which they learn."""

from __future__ import annotations

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast, T5Config
from transformers.tokenization_utils_base import BatchEncoding

WIDTH = 128
IGNORED = -100


def t5_config(tokenizer: PreTrainedTokenizerFast, **more: int) -> T5Config:
    """Two layers to read and two to write, and anything `more` that T5Config takes.

    Words are written by the embeddings they are read by, which transformers ties in every T5, and like FLAN-T5's
    they are not scaled down: `tie_word_embeddings=False` says no more than that.
    """
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        d_kv=32,
        num_heads=4,
        d_ff=3 * WIDTH,
        num_layers=2,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        **more,
    )


def calm(t5: PreTrainedModel) -> None:
    """Make the first guesses unsure: transformers draws embeddings with a deviation of 1, far too sure for a head."""
    with torch.no_grad():
        t5.lm_head.weight.mul_(WIDTH**-0.5)


def labels(wanted: BatchEncoding) -> torch.Tensor:
    """What a T5 shall write, its padding ignored."""
    return wanted.input_ids.masked_fill(wanted.attention_mask == 0, IGNORED)


def plain_generation(config: T5Config) -> GenerationConfig:
    """Greedy, with the numbers of the tokens that begin, end and fill a text."""
    return GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
