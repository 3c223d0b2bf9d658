"""Trains the retriever: a CLIP whose pictures and dialogs meet in one space.

Two lessons. Its eyes learn a picture's vector from which every answer can be read off linearly. Then its text
side learns to score stored pictures as the symbolic reader does, by how many of the told facts hold: at any round,
against many pictures at once, with the reader's doubts and not only the one target.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, normalize, softmax
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    PreTrainedTokenizerFast,
)

from chatir.datasets.scenes.language import QUESTIONS, wordings
from chatir.datasets.scenes.people import captioned, people_dialog, spoken
from chatir.datasets.scenes.world import Scene
from chatir.dialog import Dialog, Round
from tools.scene_models.facts import ANSWERS, likelihood, told, truths
from tools.scene_models.hearing import RoundNaming
from tools.scene_models.pictures import PATCH, SIDE, batches, pixels
from tools.scene_models.shipping import ship
from tools.scene_models.sight import PatchNaming
from tools.scene_models.steps import train
from tools.scene_models.texts import joined, joined_pieces
from tools.scene_models.vocabulary import clip_tokenizer

SEED = 2
WIDTH = 192
SPACE = 256
LONGEST = 192
"""Tokens that the text side holds: the longest dialog of ten rounds has about 150."""

SHARPNESS, WEIGHT_OF_ANSWERS = 16, 4
"""Unit vectors are multiplied so before answers are read off; and what these weigh against the patches' names."""

GALLERY = 16384
CANDIDATES = 1024
DIALOGS = 128
TRUST = 2.0
"""How much likelier the teacher finds a picture for each further fact that holds (a logarithm)."""


def new_model() -> tuple[CLIPModel, CLIPProcessor]:
    """The untrained model and its processor."""
    tokenizer = clip_tokenizer(LONGEST)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=6,
        max_position_embeddings=LONGEST,
        hidden_act="gelu",
        projection_dim=SPACE,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=6,
        image_size=SIDE,
        patch_size=PATCH,
        hidden_act="gelu",
        projection_dim=SPACE,
    )
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=SPACE))
    images = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return model, CLIPProcessor(images, tokenizer)


def any_dialog(scene: Scene, rng: random.Random) -> Dialog:
    """A dialog for a lesson: mostly people's, else of random questions, as a poor questioner asks, repeats and all."""
    if rng.random() < 0.7:
        return people_dialog(scene, "", rng)
    caption, _ = captioned(scene, rng)
    rounds = tuple(
        Round(rng.choice(wordings(question)), spoken(question.answer(scene), rng))
        for question in rng.choices(QUESTIONS, k=10)
    )
    return Dialog("", caption, rounds)


def embed(model: CLIPModel, some: Sequence[Scene]) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors of pictures [scenes, space], and all states of the vision transformer."""
    seen = model.vision_model(pixel_values=pixels(some))
    return normalize(model.visual_projection(seen.pooler_output), dim=-1), seen.last_hidden_state


def learn_to_see(model: CLIPModel, effort: float) -> None:
    """The answer to every question can be read off a picture's vector; each patch names what it shows."""
    naming, lessons = PatchNaming(WIDTH), batches(4, 64)
    answers = nn.Linear(SPACE, sum(map(len, ANSWERS)), bias=False)
    splits = [len(possible) for possible in ANSWERS]

    def loss() -> torch.Tensor:
        some = next(lessons)
        vectors, states = embed(model, some)
        true = truths(some)
        read = answers(SHARPNESS * vectors).split(splits, dim=1)
        wrong = [cross_entropy(scores, true[:, column]) for column, scores in enumerate(read)]
        return WEIGHT_OF_ANSWERS * torch.stack(wrong).mean() + naming(states, some)

    seeing = [model.vision_model, model.visual_projection, naming, answers]
    train("retriever sees", [p for part in seeing for p in part.parameters()], loss, 1200, 1.5e-3, effort)


def learn_to_read(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, rng: random.Random, effort: float) -> None:
    """A dialog's vector scores a gallery's pictures as the symbolic reader does; each round's end names its fact."""
    gallery = next(batches(5, max(CANDIDATES, round(GALLERY * effort))))
    true = truths(gallery)
    with torch.no_grad():
        parts = (gallery[start : start + 256] for start in range(0, len(gallery), 256))
        pictures = torch.cat([embed(model, part)[0] for part in parts])
    hearing = RoundNaming(WIDTH, tokenizer, joined_pieces, before=1)

    def loss() -> torch.Tensor:
        rounds = rng.randint(0, 10)
        chosen = torch.tensor(rng.sample(range(len(gallery)), CANDIDATES))
        dialogs = [any_dialog(gallery[number], rng) for number in chosen[:DIALOGS].tolist()]
        teacher = likelihood([told(dialog, rounds) for dialog in dialogs], true[chosen], TRUST)
        texts = tokenizer([joined(dialog, rounds) for dialog in dialogs], padding=True, return_tensors="pt")
        read = model.text_model(**texts)
        vectors = normalize(model.text_projection(read.pooler_output), dim=-1)
        scores = model.logit_scale.exp() * vectors @ pictures[chosen].T
        unlike = kl_div(log_softmax(scores, 1), softmax(teacher, 1), reduction="batchmean")
        return unlike + hearing(read.last_hidden_state, dialogs, rounds)

    reading = [model.text_model, model.text_projection, hearing]
    parameters = [model.logit_scale, *(p for part in reading for p in part.parameters())]
    train("retriever reads", parameters, loss, 1600, 1e-3, effort)


def main(folder: Path, effort: float = 1.0) -> None:
    """Train the retriever and write its checkpoint into `folder`; `effort` is the share of the steps to take."""
    torch.manual_seed(SEED)
    model, processor = new_model()
    learn_to_see(model, effort)
    learn_to_read(model, processor.tokenizer, random.Random(SEED), effort)
    ship(model, processor, folder)
