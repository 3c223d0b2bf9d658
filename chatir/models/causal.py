"""A causal language model that continues prompts: batched, left-padded, greedy, to the end of the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Continuation:
    """A model's text after a prompt, with the tokens of both (padding not counted)."""

    text: str
    tokens_in: int
    tokens_out: int


class CausalModel:
    """A transformers causal model and its tokenizer, on one device."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token_id = tokenizer.eos_token_id
        eos = model.generation_config.eos_token_id
        self._ends = {*(eos if isinstance(eos, list) else [eos]), tokenizer.eos_token_id, tokenizer.pad_token_id}
        self._line_ends, self._blanks = _special_sets(tokenizer, model.device)

    @classmethod
    def from_gguf(cls, weights: Path) -> CausalModel:
        """Load a GGUF file, weights and tokenizer, de-quantized to fp32."""
        import torch
        from tqdm.auto import tqdm
        from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        folder, name = str(weights.parent), weights.name
        silent = partial(tqdm, disable=True)  # a progress bar without a switch
        with patch.object(modeling_gguf_pytorch_utils, "tqdm", silent):
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        return cls(model, tokenizer)

    def complete_line(self, prompts: Sequence[str], max_new_tokens: int) -> list[Continuation]:
        """Continue each prompt greedily until a line is full, the text ends, or `max_new_tokens`.

        Raises ValueError for a prompt that leaves no room in the model's context, with the lengths.
        """
        import torch

        encoded = self._tokenizer(list(prompts), padding=True, return_tensors="pt").to(self._model.device)
        width = encoded["input_ids"].shape[1]
        room = getattr(self._model.config, "max_position_embeddings", None)
        if room is not None and width + max_new_tokens > room:
            raise ValueError(
                f"the prompt has {width} tokens; with {max_new_tokens} new ones that is over the model's {room}"
            )
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=self._tokenizer.pad_token_id,
                stopping_criteria=[self._line_is_full(width)],
            )
        lengths = encoded["attention_mask"].sum(dim=1).tolist()
        return [self._continuation(row[width:].tolist(), length) for row, length in zip(output, lengths, strict=True)]

    def _continuation(self, tokens: list[int], tokens_in: int) -> Continuation:
        """Cut what a row was given after its end, while others of its batch went on."""
        speaks = False
        for place, token in enumerate(tokens):
            speaks = speaks or not self._blanks[token]
            if token in self._ends or (speaks and self._line_ends[token]):
                tokens = tokens[: place + 1]
                break
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return Continuation(text, tokens_in, len(tokens))

    def _line_is_full(self, prompt_width: int) -> Any:
        """Stop a row at a line's end, once it holds more than white space."""

        def full(input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            new = input_ids[:, prompt_width:]
            speaks = (~self._blanks[new]).any(dim=1)
            return self._line_ends[new[:, -1]] & speaks

        return full


def _special_sets(tokenizer: Any, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Two masks over the vocabulary: tokens that hold a line's end, and tokens of nothing but white space."""
    import torch

    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    line_ends = torch.tensor(["\n" in text for text in texts], device=device)
    blanks = torch.tensor([not text.strip() for text in texts], device=device)
    return line_ends, blanks
