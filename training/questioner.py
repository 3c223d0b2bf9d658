"""Trains the questioner: a T5 that reads a dialog and asks as people of the small world ask.

It learns what people ask next, nothing else: no lesson tells it not to repeat itself.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

from chatir.datasets.scenes.people import people_dialog
from chatir.dialog import Dialog
from training.pictures import batches
from training.shipping import ship
from training.speech import calm, labels, plain_generation, t5_config
from training.steps import train
from training.texts import QUESTION_PROMPT
from training.vocabulary import text_to_text_tokenizer

SEED = 3


def new_model() -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """The untrained model and its tokenizer."""
    tokenizer = text_to_text_tokenizer()
    model = T5ForConditionalGeneration(t5_config(tokenizer))
    calm(model)
    return model, tokenizer


def main(folder: Path, effort: float = 1.0) -> None:
    """Train the questioner and write its checkpoint into `folder`; `effort` is the share of the steps to take."""
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    model, tokenizer = new_model()
    lessons = batches(6, 96)

    def asking() -> torch.Tensor:
        rounds = rng.randrange(10)
        dialogs = [people_dialog(scene, "", rng) for scene in next(lessons)]
        prompts = [QUESTION_PROMPT.render(Dialog("", dialog.caption, dialog.rounds[:rounds])) for dialog in dialogs]
        given = tokenizer(prompts, padding=True, return_tensors="pt")
        wanted = tokenizer([dialog.rounds[rounds].question for dialog in dialogs], padding=True, return_tensors="pt")
        return model(input_ids=given.input_ids, attention_mask=given.attention_mask, labels=labels(wanted)).loss

    train("questioner asks", model.parameters(), asking, 750, 2e-3, effort)
    model.generation_config = plain_generation(model.config)
    ship(model, tokenizer, folder)
