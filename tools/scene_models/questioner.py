"""Trains the questioner: a T5 that reads a dialog and asks as people of the small world ask.

It learns what people ask next, nothing else: no lesson tells it not to repeat itself. What people ask next depends on
what they were answered, which a short training does not find by itself. So it reads a few rounds before it reads ten,
what a question is about counts more than its other words, and two heads, thrown away afterwards, make it hear: the
state at each round's end names the fact that the round told, the one at the prompt's end the shapes that are there.
"""

from __future__ import annotations

import random
from itertools import count
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

from chatir.datasets.scenes.people import people_dialog
from chatir.datasets.scenes.world import SHAPES
from chatir.dialog import Dialog
from tools.scene_models.hearing import RoundNaming, ShapeNaming
from tools.scene_models.pictures import batches
from tools.scene_models.shipping import ship
from tools.scene_models.speech import IGNORED, WIDTH, calm, labels, plain_generation, t5_config
from tools.scene_models.steps import train
from tools.scene_models.texts import QUESTION_PROMPT, prompt_pieces
from tools.scene_models.vocabulary import text_to_text_tokenizer

SEED = 3
STEPS = 1000
ROUNDS = 10
FIRST_ROUNDS, ALL_ROUNDS_AFTER = 3, 0.4
"""Histories are shorter than so many rounds at first, and of any length after this share of the steps."""

SUBJECTS = (*SHAPES, "background")
WEIGHT_OF_SUBJECTS = 5.0
"""What questions are about, where people choose by the answers, and its weight in the loss; other words weigh 1."""

DISTANCES = {"relative_attention_num_buckets": 128, "relative_attention_max_distance": 256}
"""A round has about 13 tokens, ten rounds 150: by T5's own 32 and 128, tokens of a round are hardly told apart."""

NEARNESS, FARTHEST = 0.3, 10.0
"""By how much the first heads' attention falls with each token of distance at first, and at most (logarithms)."""


def new_model() -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """The untrained model and its tokenizer."""
    tokenizer = text_to_text_tokenizer()
    model = T5ForConditionalGeneration(t5_config(tokenizer, **DISTANCES))
    calm(model)
    look_near(model)
    return model, tokenizer


def look_near(t5: T5ForConditionalGeneration) -> None:
    """Let one head of the encoder begin by looking a few tokens back, and one a few tokens ahead.

    There the rest of a round is. transformers draws biases near 0, and a thousand steps move them too little.
    """
    reading = t5.encoder.block[0].layer[0].SelfAttention
    buckets, farthest = DISTANCES.values()
    with torch.no_grad():
        for away in range(-farthest, farthest + 1):
            bucket = reading._relative_position_bucket(torch.tensor(away), True, buckets, farthest)
            near = -min(NEARNESS * abs(away), FARTHEST)
            back_and_ahead = [near if away <= 0 else -FARTHEST, near if away >= 0 else -FARTHEST]
            reading.relative_attention_bias.weight[bucket, :2] = torch.tensor(back_and_ahead)


def longest_history(done: float) -> int:
    """Rounds that a history may have when this share of the steps is done, below `ROUNDS`."""
    return min(ROUNDS - 1, round(FIRST_ROUNDS - 1 + done / ALL_ROUNDS_AFTER * (ROUNDS - FIRST_ROUNDS)))


def main(folder: Path, effort: float = 1.0) -> None:
    """Train the questioner and write its checkpoint into `folder`; `effort` is the share of the steps to take."""
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    model, tokenizer = new_model()
    hearing = RoundNaming(WIDTH, tokenizer, prompt_pieces, before=0)
    knowing = ShapeNaming(WIDTH)
    lessons, steps = batches(6, 96), count()
    weights = torch.ones(len(tokenizer))
    weights[tokenizer.convert_tokens_to_ids(list(SUBJECTS))] = WEIGHT_OF_SUBJECTS

    def asking() -> torch.Tensor:
        rounds = rng.randint(0, longest_history(next(steps) / (STEPS * effort)))
        dialogs = [people_dialog(scene, "", rng) for scene in next(lessons)]
        prompts = [QUESTION_PROMPT.render(Dialog("", dialog.caption, dialog.rounds[:rounds])) for dialog in dialogs]
        given = tokenizer(prompts, padding=True, return_tensors="pt")
        wanted = labels(
            tokenizer([dialog.rounds[rounds].question for dialog in dialogs], padding=True, return_tensors="pt")
        )
        read = model(input_ids=given.input_ids, attention_mask=given.attention_mask, labels=wanted)
        asked = cross_entropy(read.logits.flatten(0, 1), wanted.flatten(), weights, ignore_index=IGNORED)
        states = read.encoder_last_hidden_state
        return asked + hearing(states, dialogs, rounds) + knowing(states, given.attention_mask, dialogs, rounds)

    trained = [*model.parameters(), *hearing.parameters(), *knowing.parameters()]
    train("questioner asks", trained, asking, STEPS, 2e-3, effort)
    model.generation_config = plain_generation(model.config)
    ship(model, tokenizer, folder)
