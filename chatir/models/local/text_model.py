"""A language model at hand: loaded when it is first asked, batched by length, smaller batches where memory ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from chatir.datasets.scenes.names import shown_model
from chatir.dialog import Failure
from chatir.errors import InputError
from chatir.models.cached_completions import Remembered
from chatir.models.completion import Completion, Request
from chatir.models.hardware.gpu_errors import memory_ended, stopped_by_gpu_failure
from chatir.models.hardware.model_size import Precision
from chatir.models.hardware.placement import chosen_precision
from chatir.models.local.batches import AHEAD, Batches
from chatir.models.local.generation import Decode, Decoding, Ending, Generated, Generator
from chatir.models.local.loading import Loaded, load_model, load_tokenizer, model_identity, reserve_room, size_of
from chatir.models.local.model_name import ModelName
from chatir.plugins import Context
from chatir.prompts import Message

Chat = Literal["auto", "on", "off"]
_TODAY = "{%- macro strftime_now(form) -%}26 Jul 2024{%- endmacro -%}"
"""For chat templates that tell the model the date: the same every day, or a run's prompts would change overnight."""


class LocalOptions(BaseModel):
    """A model and how it decodes.

    model: a hub id, a folder, or the built-in `scenes:t5`. revision: of the hub (None: the newest). precision:
    `auto` is fp32 without a GPU; with one, bf16 (fp16 where the GPU has no bf16) if it has room for that, else 8bit.
    device_map: `auto` is the freest GPU, and several only for a model that one does not hold; another word of
    accelerate's, or a device.
    decode: `greedy`, `sample` (at `temperature`, within `top_p`) or `first-unasked` (of `beams`, the first that the
    dialog has not asked). max_tokens: new ones per text. chat: whether to use the model's chat template; `auto`: if
    it has one. batch_size: texts at once; `first-unasked`, which writes `beams` texts a prompt, takes
    `batch_size // beams` prompts at once, at least one.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    model: ModelName
    revision: str | None = None
    precision: Precision = "auto"
    device_map: str = "auto"
    decode: Decode = "greedy"
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    beams: int = Field(default=8, ge=2)
    max_tokens: int = Field(default=40, ge=1)
    chat: Chat = "auto"
    batch_size: int = Field(default=16, ge=1)

    @property
    def decoding(self) -> Decoding:
        """How tokens are chosen."""
        return Decoding(self.decode, self.temperature, self.top_p, self.beams)


class LocalModel:
    """Completes texts, or chats where the model has a template for them."""

    def __init__(
        self,
        load: Callable[[Callable[[], object]], Loaded],
        identity: dict[str, Any],
        context: Context,
        *,
        decoding: Decoding,
        max_tokens: int,
        batch_size: int,
        chats: bool = False,
        reserve: Callable[[object], Callable[[], object]] | None = None,
    ) -> None:
        """A model that `load` brings when it is needed; `identity` is what it is, whatever its name may mean.

        chats: whether messages go through the model's chat template; else it goes on with one text. reserve: keeps the
        room that the model will take, and returns what gives it back, with which `load` is called.
        """
        self.chats = chats
        self._load = load
        self._reserve = reserve
        self._reserved: Callable[[], object] = lambda: None
        self._about = identity
        self._progress = context.progress
        self._decoding = decoding
        self._max_tokens = max_tokens
        self._alike: list[Sequence[Message]] = []
        self._placed: Mapping[str, Any] = {}
        at_once = max(1, batch_size // decoding.rows)
        self._batches = Batches(at_once, shown_model(identity), context.progress)
        self._remembered = Remembered(context)
        self.batch_size = AHEAD * at_once

    @classmethod
    def of(cls, options: LocalOptions, context: Context) -> LocalModel:
        """The model of some options. Raises InputError if there is no such model."""
        identity = model_identity(options.model, options.revision)
        revision = identity.get("revision")
        precision = chosen_precision(options.precision, options.device_map, lambda: size_of(options.model, revision))
        chats = options.chat != "off" and bool(load_tokenizer(options.model, revision).chat_template)
        if options.chat == "on" and not chats:
            raise InputError(f"model {options.model}: has no chat template: use chat=off")

        source = (options.model, revision, precision, options.device_map)

        def load(reserved: Callable[[], object]) -> Loaded:
            return load_model(*source, note=context.progress, reserved=reserved)

        return cls(
            load,
            {**identity, "precision": precision},
            context,
            decoding=options.decoding,
            max_tokens=options.max_tokens,
            batch_size=options.batch_size,
            chats=chats,
            reserve=lambda owner: reserve_room(owner, *source),
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What fixes a completion: the model, how it decodes, and whether it chats."""
        return {**self._about, **self._decoding.identity, "max_tokens": self._max_tokens, "chats": self.chats}

    def share_head(self, requests: Sequence[Request]) -> None:
        """Read what these requests have in common at their beginning once, and not again with each like them."""
        self._alike = [request.messages for request in requests]

    def ready(self) -> None:
        """Reserve memory for the model, unless the cache may spare it. Raises InputError if there is not enough."""
        if self._reserve is not None and not self._remembered.on and not self._placed:
            self._reserved()
            self._reserved = self._reserve(self)

    @property
    def provenance(self) -> dict[str, Any]:
        """For the record: where the model is, once it is loaded."""
        return dict(self._placed)

    @cached_property
    def _generator(self) -> Generator:
        self._progress(f"loading {shown_model(self._about)} ({self._about['precision']})")
        loaded = self._load(self._reserved)
        self._placed = loaded.placed
        generator = Generator(loaded, self._decoding)
        if self._alike:
            texts = [self._text(messages, generator.tokenizer) for messages in self._alike]
            if (why := self._shared(generator, texts)) is not None:
                told = f"reads each prompt in full, not its shared beginning once: {why}"
                self._progress(f"{shown_model(self._about)}: {told}")
        return generator

    def _shared(self, generator: Generator, texts: Sequence[str]) -> str | None:
        """Why a generator does not read the beginning of these texts once, None if it does or need not."""
        with stopped_by_gpu_failure(shown_model(self._about)):
            try:
                return generator.share_head(texts, special=not self.chats)
            except (MemoryError, RuntimeError) as error:
                if not memory_ended(error):
                    raise
                return "there is not enough memory for it"

    def cost(self, tokens_in: int | None, tokens_out: int | None) -> None:
        """Nobody knows what a model at hand costs."""
        return

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Complete each request. One that is too long, or for which the memory ends, is a failure of its own."""
        return self._remembered.complete(
            [self._key(request) for request in requests],
            lambda places: self._completed([requests[place] for place in places]),
        )

    def _key(self, request: Request) -> dict[str, Any]:
        return {
            "backend": "transformers",
            "model": self._about,
            **self._decoding.identity,
            "seed": request.seed if self._decoding.decode == "sample" else None,
            "max_tokens": request.max_tokens or self._max_tokens,
            "whole": request.whole,
            "chats": self.chats,
            "messages": [list(message) for message in request.messages],
        }

    def _completed(self, requests: Sequence[Request]) -> list[Completion]:
        generator, chats = self._generator, self.chats
        texts = [self._text(request.messages, generator.tokenizer) for request in requests]
        lengths = generator.lengths(texts, special=not chats)
        done: list[Completion | None] = [None] * len(requests)

        def kind(place: int) -> tuple[int, bool]:
            return requests[place].max_tokens or self._max_tokens, requests[place].whole

        order = sorted(range(len(requests)), key=lambda place: (kind(place), lengths[place]), reverse=True)
        for (max_tokens, whole), group in groupby(order, key=kind):
            fits = []
            for place in group:
                if (told := generator.overflow(lengths[place], max_tokens)) is not None:
                    done[place] = Completion(None, Failure("context_overflow", told))
                else:
                    fits.append(place)
            ending: Ending = "text" if whole else "question" if chats else "line"

            def complete(batch: list[int], max_tokens: int = max_tokens, ending: Ending = ending) -> list[Completion]:
                return self._generated([texts[n] for n in batch], [requests[n] for n in batch], max_tokens, ending)

            for place, completion in self._batches.run(fits, complete):
                done[place] = completion
        return [completion for completion in done if completion is not None]

    def _generated(
        self, texts: Sequence[str], requests: Sequence[Request], max_tokens: int, ending: Ending
    ) -> list[Completion]:
        seeds = [request.seed for request in requests]
        results = self._generator.generate(texts, seeds, max_tokens, ending, special=not self.chats)
        return [_completion(result) for result in results]

    def _text(self, messages: Sequence[Message], tokenizer: Any) -> str:
        """Messages as the model reads them. Raises InputError if its chat template refuses them."""
        if not self.chats:
            return "\n\n".join(message.content for message in messages)
        from jinja2 import TemplateError

        try:
            try:
                return _templated(messages, tokenizer)
            except TemplateError:
                if messages[0].role != "system":
                    raise
                return _templated(_without_system(messages), tokenizer)
        except TemplateError as error:
            told = f"its chat template refuses the prompt: {error}; use another prompt, or chat=off"
            raise InputError(f"model {shown_model(self._about)}: {told}") from None


def _templated(messages: Sequence[Message], tokenizer: Any) -> str:
    return str(
        tokenizer.apply_chat_template(
            [message._asdict() for message in messages],
            chat_template=_TODAY + tokenizer.get_chat_template(),
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
    )


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """For templates that know no system message: it is the user's, and one with what the user says next."""
    first, *rest = messages
    if rest and rest[0].role == "user":
        return [Message("user", f"{first.content}\n\n{rest[0].content}"), *rest[1:]]
    return [Message("user", first.content), *rest]


def _completion(result: Generated) -> Completion:
    return Completion(
        result.texts[0],
        cut=result.cut,
        others=tuple(zip(result.texts[1:], result.cuts[1:], strict=True)),
        tokens_in=result.tokens_in,
        tokens_out=result.tokens_out,
    )
