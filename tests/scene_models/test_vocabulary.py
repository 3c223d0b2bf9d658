"""The tokenizers: whole words, nothing of the small world unknown, every text read back as it was."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from chatir.datasets.scenes.language import QUESTIONS, wordings
from chatir.datasets.scenes.people import people_dialog
from chatir.datasets.scenes.world import scenes
from tools.scene_models.retriever import LONGEST
from tools.scene_models.texts import ANSWER_PROMPT, QUESTION_PROMPT, joined
from tools.scene_models.vocabulary import UNKNOWN, clip_tokenizer, text_to_text_tokenizer, words

SCENES = list(islice(scenes(2), 300))
DIALOGS = [people_dialog(scene, str(n), random.Random(n)) for n, scene in enumerate(SCENES)]
TEXTS = [
    *(text for q in QUESTIONS for unseen in (False, True) for text in wordings(q, unseen=unseen)),
    *(q.answer(scene) for scene in SCENES for q in QUESTIONS),
    *(joined(dialog, 10) for dialog in DIALOGS),
]
TOKENIZERS = {
    "blip2": text_to_text_tokenizer(image_token=True),
    "t5": text_to_text_tokenizer(),
    "clip": clip_tokenizer(LONGEST),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_text_of_the_small_world_is_known_and_read_back_as_it_was(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    for text in TEXTS:
        numbers = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in numbers
        assert tokenizer.decode(numbers, skip_special_tokens=True).strip() == text


def test_prompts_are_known_in_any_case() -> None:
    for tokenizer in (TOKENIZERS["blip2"], TOKENIZERS["t5"]):
        for text in (ANSWER_PROMPT.format("is there a star?"), QUESTION_PROMPT.render(DIALOGS[0])):
            numbers = tokenizer(text).input_ids
            assert tokenizer.unk_token_id not in numbers
            assert numbers == tokenizer(text.upper()).input_ids


def test_other_words_are_unknown_one_by_one() -> None:
    tokens = TOKENIZERS["t5"].tokenize("is there a unicorn?")
    assert tokens == ["is", "there", "a", UNKNOWN, "?"]


def test_the_longest_possible_dialog_fits_the_retriever() -> None:
    rounds = sorted((len(TOKENIZERS["clip"].tokenize(text)) for q in QUESTIONS for text in wordings(q)), reverse=True)
    answers = len(TOKENIZERS["clip"].tokenize("a small yellow triangle"))
    caption = max(len(TOKENIZERS["clip"].tokenize(dialog.caption)) for dialog in DIALOGS)
    assert 2 + caption + sum(rounds[:10]) + 10 * (answers + 1) <= LONGEST


def test_clip_pools_at_its_end_token() -> None:
    assert TOKENIZERS["clip"].eos_token_id != 2
    assert TOKENIZERS["clip"]("a star").input_ids[-1] == TOKENIZERS["clip"].eos_token_id


def test_words_are_sorted_and_unique() -> None:
    assert words() == sorted(set(words()))
