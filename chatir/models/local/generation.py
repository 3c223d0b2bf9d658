"""Generating text in batches with a transformers model, such that a batch changes nothing but the speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from chatir.models.local.loading import Loaded
from chatir.models.local.prompt_head import PromptHead, common_beginning

if TYPE_CHECKING:
    import torch

Decode = Literal["greedy", "sample", "first-unasked"]
Ending = Literal["line", "question", "text"]
"""Where a text ends: with its first line that says something, with the first line after a question mark, or with
the model's own end."""
DRAWERS = 4
"""Threads that draw the noise of a batch's rows."""


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen.

    - `decode`: `greedy`, the likeliest each time; `sample`, by chance, at `temperature`, among the likeliest that make
      up `top_p`, each text's chance coming from its own seed; `first-unasked`, a search with `beams`, all of them given
      back
    """

    decode: Decode = "greedy"
    temperature: float = 1.0
    top_p: float = 1.0
    beams: int = 8

    @property
    def identity(self) -> dict[str, Any]:
        """What fixes the choice: the settings that this way of decoding looks at."""
        looked_at = {"greedy": (), "sample": ("temperature", "top_p"), "first-unasked": ("beams",)}[self.decode]
        return {"decode": self.decode, **{name: getattr(self, name) for name in looked_at}}

    @property
    def rows(self) -> int:
        """Rows of a batch that one prompt takes: a search has one for each of its beams."""
        return self.beams if self.decode == "first-unasked" else 1


@dataclass(frozen=True)
class Generated:
    """Texts for one prompt, best first, and cuts: whether its length ended each.

    tokens_in: of the prompt; tokens_out: of the best text. Padding does not count.
    """

    texts: tuple[str, ...]
    cuts: tuple[bool, ...]
    tokens_in: int
    tokens_out: int

    @property
    def cut(self) -> bool:
        """Whether its length ended the best of them."""
        return self.cuts[0]


class Generator:
    """A model and its tokenizer, with the decoding; the model's own sampling settings are left aside.

    They include its repetition penalty: whether a model repeats itself is what chatir measures.
    """

    def __init__(self, loaded: Loaded, decoding: Decoding) -> None:
        from transformers import GenerationConfig

        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self._decoding = decoding
        self._seq2seq = bool(self.model.config.is_encoder_decoder)
        self.tokenizer.padding_side = "right" if self._seq2seq else "left"
        own = self.model.generation_config
        ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
        self._ends = sorted({end for end in (*ends, self.tokenizer.eos_token_id) if end is not None})
        if self.tokenizer.pad_token_id is None:  # any token will do: nobody looks at it
            self.tokenizer.pad_token_id = self._ends[0] if self._ends else 0
        kept = ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id")
        self.model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            **{name: getattr(own, name) for name in kept if getattr(own, name, None) is not None},
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self._ends or None,
        )
        self._head: PromptHead | None = None
        self._kinds = _TokenKinds(self.tokenizer, self.model.device)

    def lengths(self, texts: Sequence[str], *, special: bool = True) -> list[int]:
        """Tokens of each text; special: with those that the tokenizer adds around it."""
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=special)["input_ids"]]

    def overflow(self, tokens: int, max_tokens: int) -> str | None:
        """Why a prompt of so many tokens is too long for the model, None if it is not."""
        room = getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        if room is None:  # as of T5, whose positions are relative
            return None
        if self._seq2seq:  # the prompt and the text each have positions of their own
            return f"the prompt has {tokens} tokens; the model reads {room}" if tokens > room else None
        told = f"the prompt has {tokens} tokens; with {max_tokens} new ones that is over the model's {room}"
        return told if tokens + max_tokens > room else None

    def generate(
        self, texts: Sequence[str], seeds: Sequence[int], max_tokens: int, ending: Ending, *, special: bool = True
    ) -> list[Generated]:
        """Continue (or transform) each text, in one batch.

        seeds: one a text, for `sample`. max_tokens: new ones, at most. ending: what else ends a text. special: whether
        the tokenizer adds what it adds around a text.
        """
        import torch

        several = self._decoding.rows
        encoded = self._encoded(list(texts), special=special)
        start = 1 if self._seq2seq else encoded["input_ids"].shape[1]
        with torch.inference_mode(), self._chance(seeds) as chance:
            output = self.model.generate(
                **encoded,
                max_new_tokens=max_tokens,
                do_sample=False,
                num_beams=several,
                num_return_sequences=several,
                logits_processor=chance,
                stopping_criteria=[self._kinds.criterion(start, ending)],
            )
        rows = [self._text(row[start:].tolist(), max_tokens, ending) for row in output]
        searches = [rows[first : first + several] for first in range(0, len(rows), several)]
        given = encoded["attention_mask"].sum(dim=1).tolist()
        return [
            Generated(tuple(text for text, _, _ in beams), tuple(cut for _, cut, _ in beams), tokens_in, beams[0][2])
            for tokens_in, beams in zip(given, searches, strict=True)
        ]

    def share_head(self, texts: Sequence[str], *, special: bool = True) -> str | None:
        """Read the beginning that these texts have in common once, and not again with each text that has it too.

        Returns why the model cannot, None if it can or if there is nothing to share.
        """
        if self._seq2seq or self._decoding.decode == "first-unasked":
            return None
        rows = self.tokenizer(list(texts), add_special_tokens=special)["input_ids"]
        self._head = PromptHead(self.model, common_beginning(rows), rows[0])
        return self._head.unusable

    def _encoded(self, texts: list[str], *, special: bool) -> dict[str, Any]:
        if self._head is not None:
            rows = self.tokenizer(texts, add_special_tokens=special)["input_ids"]
            if self._head.begins(rows):
                return self._head.batch(rows, self.tokenizer.pad_token_id, self.model.device)
        encoded = self.tokenizer(texts, padding=True, add_special_tokens=special, return_tensors="pt")
        return {name: encoded[name].to(self.model.device) for name in ("input_ids", "attention_mask")}

    def _text(self, tokens: list[int], max_tokens: int, ending: Ending) -> tuple[str, bool, int]:
        """A row's text up to its end, whether its length ended it, and its tokens; other rows may have gone on."""
        for place in range(len(tokens)):
            if tokens[place] in self._ends:
                return self._decoded(tokens[: place + 1]), False, place + 1
            if self._kinds.ended(tokens[: place + 1], ending):
                return self._decoded(tokens[: place + 1]), False, place + 1
        return self._decoded(tokens), len(tokens) >= max_tokens, len(tokens)

    def _decoded(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    @contextmanager
    def _chance(self, seeds: Sequence[int]) -> Iterator[list[Any]]:
        """What makes greedy decoding sample: noise of each row's own, after temperature and top_p."""
        if self._decoding.decode != "sample":
            yield []
            return
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

        steps = LogitsProcessorList()
        if self._decoding.temperature != 1.0:
            steps.append(TemperatureLogitsWarper(self._decoding.temperature))
        if self._decoding.top_p < 1.0:
            steps.append(TopPLogitsWarper(self._decoding.top_p))
        drawers = ThreadPoolExecutor(min(len(seeds), DRAWERS))
        try:
            yield [*steps, _Noise(seeds, drawers)]
        finally:
            drawers.shutdown(cancel_futures=True)


class _Noise:
    """Gumbel noise: the largest of noisy log-probabilities is a fair draw from them, and needs no more than a seed.

    Drawn on the CPU, so that a seed means the same on any device, and a step ahead, while the model computes.
    """

    def __init__(self, seeds: Sequence[int], drawers: Executor) -> None:
        import torch

        self._sources = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._drawers = drawers
        self._ahead: tuple[torch.Tensor, list[Future[None]]] | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise, rows = self._ahead or self._begun(scores)
        for row in rows:
            row.result()
        self._ahead = self._begun(scores)
        return scores.float() + noise.to(scores.device, non_blocking=noise.is_pinned())

    def _begun(self, scores: torch.Tensor) -> tuple[torch.Tensor, list[Future[None]]]:
        """The noise of a step, float32 [rows, tokens] on the CPU, which is there when its rows are done."""
        import torch

        noise = torch.empty(scores.shape, dtype=torch.float32, pin_memory=scores.is_cuda)
        return noise, [
            self._drawers.submit(_draw, row, source) for row, source in zip(noise, self._sources, strict=True)
        ]


def _draw(row: torch.Tensor, source: torch.Generator) -> None:
    """Put Gumbel noise of the source into a row; in place, as memory for each step would cost more than the numbers."""
    import torch

    with torch.inference_mode():  # the thread's own; a row that was made in it is changed in it
        even = torch.rand(len(row), generator=source, dtype=torch.float64)
        row.copy_(even.clamp_min_(torch.finfo(torch.float64).tiny).log_().neg_().log_().neg_())


class _TokenKinds:
    """Which tokens of a vocabulary say something or ask, which break a line, and which do both, in this order."""

    def __init__(self, tokenizer: Any, device: Any) -> None:
        import torch

        tokens = [[token] for token in range(len(tokenizer))]
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        self._breaks = ["\n" in text for text in texts]
        self._says = {"line": [bool(text.strip()) for text in texts], "question": ["?" in text for text in texts]}
        self._does_both = {
            "line": ["\n" in text.lstrip() for text in texts],
            "question": ["\n" in text.partition("?")[2] for text in texts],
        }
        self._tensors = {
            ending: [torch.tensor(kind, device=device) for kind in (self._breaks, says, self._does_both[ending])]
            for ending, says in self._says.items()
        }

    def ended(self, tokens: list[int], ending: Ending) -> bool:
        """Whether a row ends with its last token."""
        if ending == "text":
            return False
        *before, last = (min(token, len(self._breaks) - 1) for token in tokens)
        if self._does_both[ending][last]:
            return True
        return self._breaks[last] and any(self._says[ending][token] for token in before)

    def criterion(self, start: int, ending: Ending) -> Any:
        """The same for the rows of a batch, as transformers asks for it; a row's new tokens begin at `start`."""
        import torch

        def ended(input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
            if ending == "text" or input_ids.shape[1] <= start:
                return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
            breaks, says, does_both = self._tensors[ending]
            new = input_ids[:, start:].clamp_max(len(breaks) - 1)  # a model may have more tokens than its tokenizer
            before, last = new[:, :-1], new[:, -1]
            return does_both[last] | (breaks[last] & says[before].any(dim=1))

        return ended
