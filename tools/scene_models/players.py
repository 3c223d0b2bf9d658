"""The shipped models through plain transformers, as anyone would use them, batched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from transformers import AutoModelForSeq2SeqLM, AutoProcessor, AutoTokenizer, Blip2ForConditionalGeneration, CLIPModel

from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.world import Scene
from chatir.dialog import Dialog
from chatir.measures.questions import normalised_question
from tools.scene_models.texts import ANSWER_PROMPT, QUESTION_PROMPT, joined

ANSWER_DECODING = {"num_beams": 5, "length_penalty": -1.0, "max_new_tokens": 10, "min_length": 1, "do_sample": False}
LONGEST_QUESTION = 20

Item = TypeVar("Item")


def in_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items, `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


class SmallBlip2:
    """The shipped BLIP-2, through plain transformers."""

    def __init__(self, folder: Path) -> None:
        self.model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
        self.processor = AutoProcessor.from_pretrained(folder)

    @torch.inference_mode()
    def __call__(self, some: Sequence[Scene], texts: Sequence[Sequence[str]]) -> list[list[str]]:
        """Answer the questions about each scene."""
        pixels = self.processor(images=[draw(scene) for scene in some], return_tensors="pt").pixel_values
        places = [place for place, questions in enumerate(texts) for _ in questions]
        pictures = "<image>" * self.model.config.num_query_tokens
        prompts = [pictures + ANSWER_PROMPT.format(text) for questions in texts for text in questions]
        inputs = self.processor.tokenizer(prompts, padding=True, return_tensors="pt")
        output = self.model.generate(**inputs, pixel_values=pixels[places], **ANSWER_DECODING)
        answers = iter(self.processor.batch_decode(output, skip_special_tokens=True))
        return [[next(answers).strip() for _ in questions] for questions in texts]


class SmallClip:
    """The shipped CLIP, through plain transformers."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.processor = AutoProcessor.from_pretrained(folder)

    @torch.inference_mode()
    def images(self, some: Sequence[Scene]) -> torch.Tensor:
        """Unit vectors of pictures [scenes, space]."""
        found = []
        for part in in_batches(some, 100):
            inputs = self.processor(images=[draw(scene) for scene in part], return_tensors="pt")
            found.append(self.model.get_image_features(**inputs).pooler_output)
        return torch.nn.functional.normalize(torch.cat(found), dim=-1)

    @torch.inference_mode()
    def dialogs(self, some: Sequence[Dialog], rounds: int) -> torch.Tensor:
        """Unit vectors of the caption and the first `rounds` rounds [dialogs, space]."""
        found = []
        for part in in_batches(some, 100):
            texts = [joined(dialog, rounds) for dialog in part]
            inputs = self.processor(text=texts, padding=True, truncation=True, return_tensors="pt")
            found.append(self.model.get_text_features(**inputs).pooler_output)
        return torch.nn.functional.normalize(torch.cat(found), dim=-1)


class SmallT5:
    """The shipped T5, through plain transformers, on its prompt."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def ask(self, dialogs: Sequence[Dialog], beams: int = 1) -> list[str]:
        """The next question of each dialog: the likeliest, or the first of `beams` beams that was not asked yet."""
        inputs = self.tokenizer(
            [QUESTION_PROMPT.render(dialog) for dialog in dialogs], padding=True, return_tensors="pt"
        )
        output = self.model.generate(
            **inputs,
            do_sample=False,
            num_beams=beams,
            num_return_sequences=beams,
            max_new_tokens=LONGEST_QUESTION,
        )
        texts = iter(self.tokenizer.batch_decode(output, skip_special_tokens=True))
        return [first_unasked([next(texts).strip() for _ in range(beams)], dialog) for dialog in dialogs]


def first_unasked(texts: Sequence[str], dialog: Dialog) -> str:
    """The first question that the dialog has not asked; the first of all where it has asked every one."""
    asked = {normalised_question(turn.question) for turn in dialog.rounds}
    return next((text for text in texts if normalised_question(text) not in asked), texts[0])
