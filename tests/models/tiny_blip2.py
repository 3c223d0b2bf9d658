"""Makes folders of tiny, untrained BLIP-2 models with real tokenizers and image processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from models import tiny_models

SIDE = 32


def blip2(folder: Path, language: Literal["t5", "opt"], *, room: int = 256) -> Path:
    """A BLIP-2 with such a language model; what it says hangs on the image and on the text."""
    import torch
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        BlipImageProcessorPil,
        OPTConfig,
        T5Config,
    )

    words = tiny_models.tokenizer(bos=language == "opt")
    if language == "t5":
        text: Any = T5Config(
            vocab_size=len(words) + 1, d_model=64, d_kv=32, d_ff=128, num_layers=2, num_heads=2,
            feed_forward_proj="gated-gelu", decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
            tie_word_embeddings=False,
        )  # fmt: skip
    else:
        text = OPTConfig(
            vocab_size=len(words) + 1, hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=room, word_embed_proj_dim=64, pad_token_id=0, bos_token_id=2, eos_token_id=1,
            tie_word_embeddings=False,
        )  # fmt: skip
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
            image_size=SIDE, patch_size=8, initializer_range=0.2,
        ).to_dict(),
        qformer_config=Blip2QFormerConfig(
            vocab_size=1, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
            encoder_hidden_size=64, initializer_range=0.2,
        ).to_dict(),
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=len(words),
    )  # fmt: skip
    torch.manual_seed(0)
    model = Blip2ForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                weight.normal_(0, 0.7 if any(part in name for part in ("embed", "shared", "query_tokens")) else 0.35)
    model.save_pretrained(folder)
    processor = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    Blip2Processor(processor, words, num_query_tokens=4).save_pretrained(folder)
    return folder
