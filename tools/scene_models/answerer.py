"""Trains the answerer: a BLIP-2 that sees scenes and answers about them.

Three lessons: its eyes name what they see, then its Q-Former, then its T5 learns to answer; each stands on the
frozen one before.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessorPil,
    PreTrainedTokenizerFast,
)

from chatir.datasets.scenes.language import KINDS, Question, wordings
from chatir.datasets.scenes.world import Scene
from tools.scene_models.pictures import PATCH, SIDE, batches, pixels
from tools.scene_models.shipping import ship
from tools.scene_models.sight import PatchNaming, QueryNaming
from tools.scene_models.speech import calm, labels, plain_generation, t5_config
from tools.scene_models.steps import train
from tools.scene_models.texts import ANSWER_PROMPT
from tools.scene_models.vocabulary import IMAGE, UNKNOWN, text_to_text_tokenizer
from tools.scene_models.wording import described_in, wording_loss

QUERIES = 12
GALLERY = 16384
SCENES, QUESTIONS_EACH = 48, 4
WIDTH = 96
SEED = 1

ABOUT_SOMETHING = 0.5
"""Share of the questions asked about a thing that is there, or a place that is not empty; the rest about anything."""
LOST_WORDS = 0.05
"""Share of words replaced by an unknown one, so that a new wording does not lose the model."""


def new_model() -> tuple[Blip2ForConditionalGeneration, Blip2Processor]:
    """The untrained model, its parts initialised by us, and its processor."""
    tokenizer = text_to_text_tokenizer(image_token=True)
    vision = Blip2VisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        initializer_range=0.02,  # the default, 1e-10, is for weights that are loaded
    )
    qformer = Blip2QFormerConfig(
        vocab_size=1,  # the queries are its only input
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        cross_attention_frequency=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config = Blip2Config(
        vision_config=vision,
        qformer_config=qformer,
        text_config=t5_config(tokenizer),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
    )
    model = Blip2ForConditionalGeneration(config)
    calm(model.language_model)
    model.query_tokens.data.normal_(std=0.5)  # transformers leaves zeros, by which all queries would be one
    images = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return model, Blip2Processor(images, tokenizer, num_query_tokens=QUERIES)


def asked(scene: Scene, rng: random.Random) -> Question:
    """A question for a lesson: every kind as often, half of them about what is there."""
    kind = rng.choice(list(KINDS))
    there = {
        "shape": [thing.shape for thing in scene.things],
        "any color": [thing.color for thing in scene.things],
        "color": [thing.shape for thing in scene.things],
        "size": [thing.shape for thing in scene.things],
        "place": [thing.shape for thing in scene.things],
        "content": [thing.place for thing in scene.things],
    }.get(kind, [""])
    return Question(kind, rng.choice(there if rng.random() < ABOUT_SOMETHING else KINDS[kind].subjects))


def muddled(text: str, question: Question, rng: random.Random) -> str:
    """A question with a word lost here and there, never what it is about."""
    kept = {*question.about.split(), "big", "small"}
    return " ".join(
        UNKNOWN if word.strip("?") not in kept and rng.random() < LOST_WORDS else word for word in text.split()
    )


def see(model: Blip2ForConditionalGeneration, some: Sequence[Scene]) -> torch.Tensor:
    """States of the vision transformer [scenes, 1 + patches, width]."""
    return model.vision_model(pixel_values=pixels(some)).last_hidden_state


def look(model: Blip2ForConditionalGeneration, seen: torch.Tensor) -> torch.Tensor:
    """States of the queries [scenes, queries, width] over those of the vision transformer."""
    queries = model.query_tokens.expand(len(seen), -1, -1)
    return model.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state


def learn_to_see(model: Blip2ForConditionalGeneration, effort: float) -> None:
    """The vision transformer names what stands at each place."""
    naming, lessons = PatchNaming(WIDTH), batches(1, 64)

    def loss() -> torch.Tensor:
        some = next(lessons)
        return naming(see(model, some), some)

    train("answerer sees", [*model.vision_model.parameters(), *naming.parameters()], loss, 800, 2e-3, effort)


def learn_to_look(model: Blip2ForConditionalGeneration, effort: float) -> None:
    """Each query of the Q-Former names what it looked for, on the frozen vision transformer."""
    naming, lessons = QueryNaming(WIDTH, QUERIES), batches(2, 128)

    def loss() -> torch.Tensor:
        some = next(lessons)
        with torch.no_grad():
            seen = see(model, some)
        return naming(look(model, seen), some)

    parameters = [model.query_tokens, *model.qformer.parameters(), *naming.parameters()]
    train("answerer looks", parameters, loss, 500, 2e-3, effort)


def learn_to_answer(
    model: Blip2ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, rng: random.Random, effort: float
) -> None:
    """The T5 answers, on what the frozen queries found in a gallery of scenes."""
    gallery = next(batches(3, max(SCENES, round(GALLERY * effort))))
    with torch.no_grad():
        parts = (gallery[start : start + 100] for start in range(0, len(gallery), 100))
        found = torch.cat([look(model, see(model, part)) for part in parts])
    holds = described_in(gallery)
    words = model.get_input_embeddings()

    def loss() -> torch.Tensor:
        chosen = rng.sample(range(len(gallery)), SCENES)
        questions = [(gallery[number], asked(gallery[number], rng)) for number in chosen for _ in range(QUESTIONS_EACH)]
        texts = [ANSWER_PROMPT.format(muddled(rng.choice(wordings(q)), q, rng)) for _, q in questions]
        prompts = tokenizer(texts, padding=True, return_tensors="pt")
        answers = tokenizer([q.answer(scene) for scene, q in questions], padding=True, return_tensors="pt")
        pictures = model.language_projection(found[chosen])
        spread = pictures.repeat_interleave(QUESTIONS_EACH, dim=0)
        mask = torch.cat([torch.ones(spread.shape[:2], dtype=torch.long), prompts.attention_mask], dim=1)
        given = torch.cat([spread, words(prompts.input_ids)], dim=1)
        answered = model.language_model(inputs_embeds=given, attention_mask=mask, labels=labels(answers))
        return answered.loss + wording_loss(pictures, words, tokenizer, holds[chosen])

    parameters = [*model.language_projection.parameters(), *model.language_model.parameters()]
    train("answerer answers", parameters, loss, 3600, 1e-3, effort)


def main(folder: Path, effort: float = 1.0) -> None:
    """Train the answerer and write its checkpoint into `folder`; `effort` is the share of the steps to take."""
    torch.manual_seed(SEED)
    model, processor = new_model()
    learn_to_see(model, effort)
    learn_to_look(model, effort)
    learn_to_answer(model, processor.tokenizer, random.Random(SEED), effort)
    model.generation_config = plain_generation(model.config.text_config)
    ship(model, processor, folder)
