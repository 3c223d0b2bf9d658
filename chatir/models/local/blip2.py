"""BLIP-2 through transformers: an image is encoded once, and each question runs the language model only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chatir.datasets.scenes.names import shown_model
from chatir.errors import InputError
from chatir.models.completion import Completion
from chatir.models.hardware.model_size import Precision
from chatir.models.hardware.placement import chosen_precision
from chatir.models.local.batches import AHEAD
from chatir.models.local.loading import (
    load_image_processor,
    load_model,
    load_tokenizer,
    model_config,
    model_identity,
    reserve_room,
    size_of,
)
from chatir.models.local.model_name import ModelName
from chatir.models.local.vision_model import Look, LookingModel
from chatir.plugins import Context

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


ARCHITECTURE = "Blip2ForConditionalGeneration"


class AnswerDecoding(BaseModel):
    """How an answer is searched for: LAVIS's own way, unless told otherwise.

    beams: 1 is greedy. length_penalty: below 0, short answers win. max_tokens, min_tokens: new ones per answer, at
    most and at least; 1 forbids an answer that says nothing, which would fail its dialog.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    beams: int = Field(default=5, ge=1)
    length_penalty: float = -1.0
    max_tokens: int = Field(default=10, ge=1)
    min_tokens: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _least_below_most(self) -> AnswerDecoding:
        if self.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens={self.min_tokens} is more than max_tokens={self.max_tokens}")
        return self


class Blip2Options(AnswerDecoding):
    """A model and how it is run.

    model: a hub id, a folder, or the built-in `scenes:blip2`. revision: of the hub (None: the newest). precision:
    `auto` is fp32 without a GPU; with one, bf16 (fp16 where the GPU has no bf16) if it has room for that, else 8bit.
    device_map: `auto` is the freest GPU, and several only for a model that one does not hold; another word of
    accelerate's, or a device. batch_size: questions at once. kept_images: images that stay encoded; more than are in
    play are of no use.
    """

    model: ModelName = "Salesforce/blip2-flan-t5-xxl"
    revision: str | None = None
    precision: Precision = "auto"
    device_map: str = "auto"
    batch_size: int = Field(default=16, ge=1)
    kept_images: int = Field(default=1024, ge=1)


class Blip2Model(LookingModel):
    """A BLIP-2 with any language model, T5 or OPT; loaded when it is first asked.

    Gives what transformers' own `generate` gives for the image and the text, whatever the batch, but for
    near-ties of the best beams. Raises InputError for a model that is no BLIP-2, or cannot be loaded.
    """

    backend = "transformers"

    def __init__(self, options: Blip2Options, context: Context) -> None:
        self._options = options
        about = model_identity(options.model, options.revision)
        self._revision = about.get("revision")
        self._config = model_config(options.model, self._revision)
        if self._config.model_type != "blip-2":
            raise InputError(f"model {options.model}: is a {self._config.model_type}, and no BLIP-2")
        self._processor = load_image_processor(options.model, self._revision)
        self._tokenizer = load_tokenizer(options.model, self._revision)
        self._precision: Precision = chosen_precision(
            options.precision, options.device_map, lambda: size_of(options.model, self._revision, ARCHITECTURE)
        )
        self._source = (options.model, self._revision, self._precision, options.device_map, ARCHITECTURE)
        self._reserved: Callable[[], object] = lambda: None
        self._about = {**about, "precision": self._precision}
        self._tokens = lru_cache(maxsize=2 * AHEAD * options.batch_size)(self._tokenized)  # looked at thrice
        super().__init__(context, batch_size=options.batch_size, kept_images=options.kept_images)

    def ready(self) -> None:
        """Reserve memory for the model, unless the cache may spare it. Raises InputError if there is not enough."""
        if not self._remembered.on and not self._placed:
            self._reserved()
            self._reserved = reserve_room(self, *self._source)

    @property
    def identity(self) -> dict[str, Any]:
        """The model, and how it searches for an answer."""
        return {"model": self._about, **{name: getattr(self._options, name) for name in AnswerDecoding.model_fields}}

    @cached_property
    def _model(self) -> Any:
        from transformers import GenerationConfig

        self._progress(f"loading {shown_model(self._about)} ({self._precision})")
        options = self._options
        loaded = load_model(*self._source, note=self._progress, reserved=self._reserved)
        self._placed = loaded.placed
        model = loaded.model
        speaker = model.language_model
        if (hook := getattr(speaker, "_hf_hook", None)) is not None:  # as Blip2's own `generate` does
            hook.io_same_device = True
        own = speaker.generation_config
        names = ("bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id")
        # The rest of it, a repetition penalty say, is not the decoding that is recorded.
        speaker.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            **{name: getattr(own, name) for name in names if getattr(own, name, None) is not None},
            pad_token_id=self._tokenizer.pad_token_id or 0,
            num_beams=options.beams,
            length_penalty=options.length_penalty if options.beams > 1 else None,
            max_new_tokens=options.max_tokens,
            min_new_tokens=options.min_tokens or None,
            do_sample=False,
        )
        return model

    def _tokenized(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer(text)["input_ids"]
        return tokens

    def _length(self, text: str) -> int:
        return len(self._tokens(text))

    def _overflow(self, text: str) -> str | None:
        room = getattr(self._config.get_text_config(), "max_position_embeddings", None)
        if room is None:  # as of T5, whose positions are relative
            return None
        tokens, new = self._config.num_query_tokens + self._length(text), self._options.max_tokens
        told = f"the image and the prompt have {tokens} tokens; with {new} new ones that is over the model's {room}"
        return told if tokens + new > room else None

    def _prepared(self, picture: Image) -> torch.Tensor:
        pixels: torch.Tensor = self._processor(images=picture, return_tensors="pt")["pixel_values"]
        return pixels

    def _encoded(self, prepared: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        """The projected query tokens [queries, width] of each image."""
        import torch

        model = self._model
        pixels = torch.cat([*prepared.values()])
        with torch.inference_mode():
            seen = model.get_image_features(pixel_values=pixels.to(_device(model.query_tokens))).pooler_output.cpu()
        return [each.clone() for each in seen]  # a view would keep the whole batch

    def _completed(self, looks: Sequence[Look], encodings: Sequence[torch.Tensor]) -> list[Completion]:
        import torch

        speaker = self._model.language_model
        embedding = speaker.get_input_embeddings()
        pad = speaker.generation_config.pad_token_id
        rows = [self._tokens(look.text) for look in looks]
        queries = self._config.num_query_tokens
        longest = queries + max(map(len, rows))
        tokens = torch.full((len(rows), longest), pad)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        sights = torch.zeros((len(rows), longest), dtype=torch.bool)
        for place, row in enumerate(rows):
            # The image comes first, before any token. A decoder goes on at the end, so that its padding leads.
            start = 0 if speaker.config.is_encoder_decoder else longest - queries - len(row)
            sights[place, start : start + queries] = True
            tokens[place, start + queries : start + queries + len(row)] = torch.tensor(row)
            mask[place, start : start + queries + len(row)] = 1
        with torch.inference_mode():
            embedded = embedding(tokens.to(_device(embedding.weight)))
            seen = torch.stack([*encodings]).to(embedded.device, embedded.dtype)
            embedded = embedded.masked_scatter(sights.unsqueeze(-1).to(embedded.device), seen)
            output = speaker.generate(inputs_embeds=embedded, attention_mask=mask.to(embedded.device))
        return [self._completion(row.tolist(), int(given)) for row, given in zip(output, mask.sum(dim=1), strict=True)]

    def _completion(self, row: list[int], tokens_in: int) -> Completion:
        config = self._model.language_model.generation_config
        if self._config.get_text_config().is_encoder_decoder:
            row = row[1:]
        ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
        size = next((place + 1 for place, token in enumerate(row) if token in ends), None)
        text = str(self._tokenizer.decode(row[:size], skip_special_tokens=True)).strip()
        cut = size is None and len(row) >= self._options.max_tokens
        return Completion(text, cut=cut, tokens_in=tokens_in, tokens_out=size or len(row))


def _device(weight: torch.Tensor) -> torch.device:
    """Where a layer of this weight takes its input; one that accelerate has put away fetches it itself."""
    import torch

    return torch.device("cpu") if weight.is_meta else weight.device
