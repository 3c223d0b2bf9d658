"""How fast BLIP-2 of full size answers dialogs on a GPU, batched, each image encoded once, against the usual way.

The architecture of blip2-flan-t5-xl (4 billion parameters) with random weights, which are as fast as any; in bf16 and
in 8-bit; 640 x 480 JPEG images, ten questions each. Random weights never end an answer, so that each has its ten
tokens: the longest there are. Prints JSON; without a GPU, that there is none. `--tiny` tries the script anywhere.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.answering import compared, loaded
from chatir import Dialog
from chatir.scenes.drawing import draw
from chatir.scenes.folder import scene_dialogs

IMAGES = 32
BATCH = 32


def pictures(folder: Path, count: int) -> list[Dialog]:
    """Scenes as large JPEGs, with the dialogs about them."""
    dialogs = []
    for number, (scene, dialog) in enumerate(scene_dialogs(count, seed=0)):
        draw(scene).resize((640, 480)).save(folder / f"{number}.jpg", quality=90)
        dialogs.append(replace(dialog, image=f"{number}.jpg", said=dialog.rounds or dialog.said, rounds=()))
    return dialogs


def tokenizer() -> Any:
    """Words enough to read the questions."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = ["<pad>", "</s>", "<unk>", *map(chr, range(33, 127))]
    made = Tokenizer(models.WordPiece({word: number for number, word in enumerate(letters)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def random_blip2(folder: Path, *, tiny: bool) -> None:
    """Save a BLIP-2 of the architecture of blip2-flan-t5-xl, with random weights."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessorPil, T5Config

    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes = {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 1} if tiny else {
        "d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32
    }  # fmt: skip
    text = T5Config(
        vocab_size=32128, d_kv=64, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **sizes,
    )  # fmt: skip
    # The defaults are those of BLIP-2: ViT-g/14 at 224 pixels, a Q-Former as large as BERT-base with 32 queries.
    config = Blip2Config(
        vision_config={**(small if tiny else {}), "initializer_range": 0.02},
        qformer_config={**small, "encoder_hidden_size": 64} if tiny else {},
        text_config=text.to_dict(),
        image_token_index=32100,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Blip2ForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    Blip2Processor(BlipImageProcessorPil(size={"height": 224, "width": 224}), tokenizer(), 32).save_pretrained(folder)


def measured(precision: str, folder: str, root: Path, dialogs: list[Dialog]) -> dict[str, Any]:
    """Speed of both ways, and the most memory that the batched one took."""
    answerer = loaded(folder, root, precision=precision, batch_size=BATCH)
    figures = compared(answerer, folder, root, dialogs)
    figures["weights_gb"] = round(answerer.model._model.get_memory_footprint() / 1e9, 2)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        answerer.answer(dialogs[:BATCH], [dialog.said[0].question for dialog in dialogs[:BATCH]])
        figures["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tiny", action="store_true", help="a model of no size, on any machine")
    tiny = arguments.parse_args().tiny
    if not torch.cuda.is_available() and not tiny:
        print(json.dumps({"skipped": "there is no GPU"}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        root, folder = Path(temporary, "images"), Path(temporary, "blip2-flan-t5-xl")
        root.mkdir()
        dialogs = pictures(root, (4 if tiny else IMAGES) + 1)
        random_blip2(folder, tiny=tiny)
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        figures: dict[str, Any] = {"device": device, "model": "tiny" if tiny else folder.name}
        for precision in ("bf16", "8bit"):
            figures[precision] = measured(precision, str(folder), root, dialogs)
            gc.collect()  # the next one needs the room
            torch.cuda.empty_cache()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
