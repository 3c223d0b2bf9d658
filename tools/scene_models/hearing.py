"""Lessons in hearing: at a round's end a text transformer names the fact that it told, at the end of all what is there.

The heads are thrown away afterwards. Which answer belongs to which question is thus learnt within a round, before
ten rounds have to fit one vector, or one question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast

from chatir.datasets.scenes.language import understood
from chatir.datasets.scenes.people import heard
from chatir.datasets.scenes.world import SHAPES
from chatir.dialog import Dialog
from tools.scene_models.facts import ANSWERS, ASKED, told

ALL_ANSWERS = sorted({answer for possible in ANSWERS for answer in possible})
OF_CAPTION = 3


class RoundNaming(nn.Module):
    """Names question and answer of each round from the state of its last token.

    pieces: splits the text that is read into the caption and each round, with what stands between them.
    before: the tokens before the first piece.
    """

    def __init__(
        self, width: int, tokenizer: PreTrainedTokenizerFast, pieces: Callable[[Dialog], list[str]], before: int
    ) -> None:
        super().__init__()
        self.pieces, self.before = pieces, before
        self.question = nn.Linear(width, len(ASKED))
        self.answer = nn.Linear(width, len(ALL_ANSWERS))
        self.tokenizer = tokenizer

    def forward(self, states: torch.Tensor, dialogs: Sequence[Dialog], rounds: int) -> torch.Tensor:
        """The loss of states [dialogs, tokens, width] of the captions and the first `rounds` rounds."""
        if not rounds:
            return states.new_zeros(())
        facts = torch.tensor([told(dialog, rounds)[OF_CAPTION:] for dialog in dialogs])
        answers = [[ALL_ANSWERS.index(ANSWERS[column][number]) for column, number in row] for row in facts.tolist()]
        rows = torch.arange(len(dialogs)).repeat_interleave(rounds)
        ends = torch.tensor([self._ends(dialog, rounds) for dialog in dialogs]).flatten()
        heard = states[rows, ends]
        return cross_entropy(self.question(heard), facts[..., 0].flatten()) + cross_entropy(
            self.answer(heard), torch.tensor(answers).flatten()
        )

    def _ends(self, dialog: Dialog, rounds: int) -> list[int]:
        """Where the last token of each round stands."""
        pieces = self.pieces(dialog)[: 1 + rounds]
        lengths = [len(numbers) for numbers in self.tokenizer(pieces, add_special_tokens=False).input_ids]
        return [self.before + end - 1 for end in accumulate(lengths)][1:]


UNKNOWN, THERE, ABSENT = range(3)


class ShapeNaming(nn.Module):
    """Names, from the state of a dialog's last token, which shapes are there, are not, or may be."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shapes = nn.Linear(width, 3 * len(SHAPES))

    def forward(self, states: torch.Tensor, read: torch.Tensor, dialogs: Sequence[Dialog], rounds: int) -> torch.Tensor:
        """The loss of states [dialogs, tokens, width], of which `read` is the attention mask."""
        heard_of = self.shapes(states[torch.arange(len(dialogs)), read.sum(1) - 1])
        true = torch.tensor([shapes_told(dialog, rounds) for dialog in dialogs])
        return cross_entropy(heard_of.unflatten(1, (len(SHAPES), 3)).flatten(0, 1), true.flatten())


def shapes_told(dialog: Dialog, rounds: int) -> list[int]:
    """What is known of each shape by a dialog of people after its first `rounds` rounds."""
    known = {shape: THERE for shape in SHAPES if shape in dialog.caption}
    for turn in dialog.rounds[:rounds]:
        asked = understood(turn.question)
        if asked and asked.kind == "shape":
            known[asked.about] = THERE if heard(turn.answer) == "yes" else ABSENT
        else:
            known |= {shape: THERE for shape in SHAPES if shape in turn.answer}
    return [known.get(shape, UNKNOWN) for shape in SHAPES]
