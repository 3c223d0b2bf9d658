"""What the parts share: rows, timing, pictures, and checkpoints of random weights, which are as fast as any."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from chatir import Dialog
from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.prompts import load_prompt

Size = Literal["xl", "base", "tiny"]
PICTURES = 33
NEW_TOKENS = 12
"""Of a question. Random weights never end one; a trained model's has about as many."""
T5 = {
    "xl": {"d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32},
    "base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "tiny": {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 1},
}
TRANSFORMER = {
    "base": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
}


@dataclass(frozen=True)
class Row:
    """A line of the table. beside: what the figure is to be compared with; ratio: to it; peak_gb: on all cards."""

    what: str
    figure: float
    unit: str
    beside: str = ""
    ratio: float | None = None
    peak_gb: float | None = None


def cards() -> range:
    return range(torch.cuda.device_count() if torch.cuda.is_available() else 0)


def device() -> str:
    return "cuda" if cards() else "cpu"


def free() -> None:
    """Give back the cards' memory that is not in use any more."""
    if cards():
        gc.collect()
        torch.cuda.empty_cache()


def measured(call: Callable[[], Any]) -> tuple[Any, float, float | None]:
    """What a call gives, its seconds with the GPU's work, and the most memory that was taken meanwhile, in GB."""
    for card in cards():
        torch.cuda.synchronize(card)
        torch.cuda.reset_peak_memory_stats(card)
    started = time.perf_counter()
    result = call()
    for card in cards():
        torch.cuda.synchronize(card)
    seconds = time.perf_counter() - started
    peak = sum(torch.cuda.max_memory_allocated(card) for card in cards()) / 1e9
    return result, seconds, peak if cards() else None


class Bench:
    """Pictures and checkpoints in a folder, each made when it is first needed. tiny: models of no size."""

    def __init__(self, folder: Path, *, tiny: bool) -> None:
        self.folder, self.tiny = folder, tiny
        self.checkpoint = cache(self._checkpoint)

        self.vocabulary = 1024 if tiny else 32128
        """Tokens of the language models."""

    def size(self, size: Size) -> Size:
        return "tiny" if self.tiny else size

    @cached_property
    def dialogs(self) -> list[Dialog]:
        """Scenes as JPEG files of 640 x 480 pixels, with what people said about each."""
        dialogs = []
        for number, (scene, dialog) in enumerate(scene_dialogs(5 if self.tiny else PICTURES, seed=0)):
            draw(scene).resize((640, 480)).save(self.folder / f"{number}.jpg", quality=90)
            dialogs.append(replace(dialog, image=f"{number}.jpg", said=dialog.rounds, rounds=()))
        return dialogs

    def words(self, special: Sequence[str], size: int, filler: str) -> tuple[list[str], list[str]]:
        """A WordPiece vocabulary: letters with the words of the few-shot prompt and of the dialogs, and fillers."""
        whole = [replace(dialog, rounds=dialog.said) for dialog in self.dialogs]
        texts = [load_prompt("few-shot").messages(dialog, None, chats=False)[0].content for dialog in whole]
        letters = [chr(code) for code in range(33, 127)]
        known = [*letters, *(f"##{letter}" for letter in letters), *sorted(set(re.findall(r"\w+", " ".join(texts))))]
        known = [*dict.fromkeys([*special, *known, *map(str.lower, known)])]
        return known, [f"w{number}{filler}" for number in range(size - len(known))]

    def _checkpoint(self, kind: Literal["t5", "blip2"], size: Size, dtype: torch.dtype = torch.bfloat16) -> str:
        """The folder of a model of random weights, made on the GPU, with a tokenizer that has a word for each token."""
        from transformers import Blip2Config, Blip2ForConditionalGeneration, T5Config, T5ForConditionalGeneration
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder = self.folder / f"{kind}-{size}"
        text = T5Config(
            vocab_size=self.vocabulary, d_kv=64, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
            decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **T5[size],
        )  # fmt: skip
        # The defaults are those of BLIP-2: ViT-g/14 at 224 pixels, a Q-Former as large as BERT-base with 32 queries.
        seen = TRANSFORMER.get(size, {})
        width = {"encoder_hidden_size": seen["hidden_size"]} if seen else {}
        blip2 = Blip2Config(
            vision_config={**seen, "initializer_range": 0.02},
            qformer_config={**seen, **width},
            text_config=text.to_dict(),
            image_token_index=self.vocabulary - 1,
        )
        torch.manual_seed(0)
        with torch.device(device()):
            made: Any = T5ForConditionalGeneration if kind == "t5" else Blip2ForConditionalGeneration
            model = made._from_config(text if kind == "t5" else blip2, dtype=dtype)
        # What is said are fillers, so that no text ends early; they end in question marks, or nothing would be asked.
        known, fillers = self.words(["<pad>", "</s>", "<unk>"], self.vocabulary - 1, "?" if kind == "t5" else "")
        with torch.no_grad():
            head = torch.randn_like(model.get_input_embeddings().weight)  # FLAN-T5's is its own
            head[: len(known)] = head[-1] = 0
            model.get_output_embeddings().weight = torch.nn.Parameter(head)
            model.get_input_embeddings().weight *= 0.05  # a token hangs less on the last, and more on all before it
        model.save_pretrained(folder)
        del model
        free()
        processor(kind, known + fillers).save_pretrained(folder)
        return str(folder)


def processor(kind: str, words: Sequence[str]) -> Any:
    """A tokenizer of these words, for BLIP-2 with what prepares its images."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import Blip2Processor, BlipImageProcessorPil, PreTrainedTokenizerFast

    made = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    pixels = BlipImageProcessorPil(size={"height": 224, "width": 224})
    return tokenizer if kind == "t5" else Blip2Processor(pixels, tokenizer, 32)
