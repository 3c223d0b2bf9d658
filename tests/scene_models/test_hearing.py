"""The lesson in hearing is about the ends of rounds: there the last token of each answer stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from transformers import PreTrainedTokenizerFast

from chatir.datasets.scenes.world import SHAPES
from chatir.dialog import Dialog, Round
from tools.scene_models.hearing import ABSENT, THERE, UNKNOWN, RoundNaming, shapes_told
from tools.scene_models.questioner import ROUNDS, longest_history, new_model
from tools.scene_models.texts import QUESTION_PROMPT, joined, joined_pieces, prompt_pieces
from tools.scene_models.vocabulary import clip_tokenizer, text_to_text_tokenizer

SAID = (Round("is there a heart?", "yes, there is"), Round("where is the heart?", "top left"), Round("how big?", "big"))
DIALOG = Dialog("", "a star and something else on a dark background", SAID)


def in_prompt(dialog: Dialog, rounds: int) -> str:
    return QUESTION_PROMPT.render(Dialog("", dialog.caption, dialog.rounds[:rounds]))


@pytest.mark.parametrize(
    ("tokenizer", "written", "pieces", "before"),
    [
        pytest.param(clip_tokenizer(192), joined, joined_pieces, 1, id="clip"),
        pytest.param(text_to_text_tokenizer(), in_prompt, prompt_pieces, 0, id="t5"),
    ],
)
@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_end_with_the_last_word_of_their_answers(
    tokenizer: PreTrainedTokenizerFast,
    written: Callable[[Dialog, int], str],
    pieces: Callable[[Dialog], list[str]],
    before: int,
    rounds: int,
) -> None:
    read = tokenizer(written(DIALOG, rounds)).input_ids
    ends = RoundNaming(8, tokenizer, pieces, before)._ends(DIALOG, rounds)
    assert [tokenizer.decode(read[end]) for end in ends] == ["is", "left", "big"][:rounds]


def test_histories_are_short_at_first_and_end_before_the_last_question() -> None:
    longest = [longest_history(step / 100) for step in range(101)]
    assert longest == sorted(longest)
    assert longest[0] < 3
    assert longest[50:] == [ROUNDS - 1] * 51


def test_shapes_are_known_by_captions_answers_and_what_lies_in_a_place() -> None:
    said = (
        Round("is there a heart?", "no, there is not"),
        Round("do you see a cross?", "yes"),
        Round("what is in the center?", "a big red square"),
        Round("what color is the star?", "it is blue"),
    )
    dialog = Dialog("", "a star and something else on a dark background", said)
    assert SHAPES == ("circle", "cross", "heart", "square", "star", "triangle")
    assert shapes_told(dialog, 0) == [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, THERE, UNKNOWN]
    assert shapes_told(dialog, 4) == [UNKNOWN, THERE, ABSENT, THERE, THERE, UNKNOWN]


def test_a_head_of_the_questioner_begins_by_looking_back_and_one_ahead() -> None:
    model, _ = new_model()
    bias = model.encoder.block[0].layer[0].SelfAttention.compute_bias(9, 9)[0]
    back, ahead, *_ = bias[:, 4]
    assert back.argsort(descending=True)[:5].tolist() == [4, 3, 2, 1, 0]
    assert ahead.argsort(descending=True)[:5].tolist() == [4, 5, 6, 7, 8]
