"""Makes folders of tiny, untrained two-tower models with real tokenizers and image processors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIDE = 32
TOKENS = 24
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SIZES, "image_size": SIDE, "patch_size": 8}
TEXT = "a big red heart and a small blue star, is there a circle? yes, in the center, what color? red and teal" * 4


def tokenizer(*, bos: bool = True, limit: int | None = TOKENS) -> Any:
    """Byte-level; a text ends with </s>, and begins with <s> if told so."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,:?\"'0123456789"
    trainer = trainers.BpeTrainer(vocab_size=140, special_tokens=["<pad>", "</s>", "<s>", "<unk>"])
    made.train_from_iterator([TEXT, letters], trainer)
    single = "<s> $A </s>" if bos else "$A </s>"
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("</s>", 1), ("<s>", 2)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    told = {} if limit is None else {"model_max_length": limit}
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", **names, **told)


def clip(folder: Path, *, words: Any = None, positions: int = TOKENS) -> Path:
    """A CLIP that reads `positions` tokens."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    words = words or tokenizer()
    text = {**SIZES, **_ids(words), "max_position_embeddings": positions}
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=32)
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return _saved(folder, CLIPModel, config, CLIPProcessor(processor, words))


def openai_clip(folder: Path) -> Path:
    """A CLIP in files as OpenAI's first ones: older settings, pickled weights, an end known as the highest number."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    letters = [chr(code) for code in range(33, 127)]
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ids = {"eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}
    text = {**SIZES, **ids, "vocab_size": len(names), "max_position_embeddings": TOKENS}
    model = _large(CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=32)))
    folder.mkdir()
    model.config.save_pretrained(folder)
    weights = {**model.state_dict(), "text_model.embeddings.position_ids": torch.arange(TOKENS)[None]}
    torch.save(weights, folder / "pytorch_model.bin")
    words = {"bos_token": names[-2], "eos_token": names[-1], "unk_token": names[-1], "pad_token": names[-1]}
    settings = {
        "vocab.json": {name: number for number, name in enumerate(names)},
        "tokenizer_config.json": {**words, "do_lower_case": True, "model_max_length": 77},
        "preprocessor_config.json": {
            "feature_extractor_type": "CLIPFeatureExtractor", "crop_size": SIDE, "size": SIDE, "resample": 3,
            "do_center_crop": True, "do_normalize": True, "do_resize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        },
    }  # fmt: skip
    for name, content in settings.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def siglip(folder: Path) -> Path:
    """A SigLIP that reads `TOKENS` tokens; its tokenizer makes nothing of capitals by itself."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor

    words = tokenizer(bos=False)
    text = {**SIZES, **_ids(words), "max_position_embeddings": TOKENS}
    config = SiglipConfig(text_config=text, vision_config=VISION)
    processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return _saved(folder, SiglipModel, config, SiglipProcessor(processor, words))


def siglip2(folder: Path) -> Path:
    """A SigLIP2 that takes images of any shape."""
    from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model, Siglip2Processor

    words = tokenizer(bos=False)
    text = {**SIZES, **_ids(words), "max_position_embeddings": TOKENS}
    config = Siglip2Config(text_config=text, vision_config={**SIZES, "patch_size": 16, "num_patches": 256})
    processor = Siglip2ImageProcessorPil()
    return _saved(folder, Siglip2Model, config, Siglip2Processor(processor, words))


def blip(folder: Path) -> Path:
    """A BLIP for image-text retrieval."""
    from transformers import BlipConfig, BlipForImageTextRetrieval, BlipImageProcessorPil, BlipProcessor

    words = tokenizer(limit=None)
    text = {**SIZES, **_ids(words), "max_position_embeddings": TOKENS}
    config = BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=32)
    processor = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return _saved(folder, BlipForImageTextRetrieval, config, BlipProcessor(processor, words))


MAKERS = {"clip": clip, "openai": openai_clip, "siglip": siglip, "siglip2": siglip2, "blip": blip}


def _ids(words: Any) -> dict[str, int]:
    return {"vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}


def _saved(folder: Path, kind: Any, config: Any, processor: Any) -> Path:
    _large(kind(config)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _large(model: Any) -> Any:
    """Weights large enough for a vector to hang on every token and patch, and every position."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() >= 2:
                weight.normal_(0, 0.7 if "embed" in name and "patch" not in name else 0.25)
            elif name.endswith("bias"):
                weight.normal_(0, 0.1)
    return model
