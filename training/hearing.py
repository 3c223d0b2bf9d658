"""A lesson in hearing: at the end of each round, a text transformer names the fact that the round told.

The heads are thrown away afterwards. Which answer belongs to which question is thus learnt within a round, before
ten rounds have to fit one vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast

from chatir.dialog import Dialog
from training.facts import ANSWERS, ASKED, told

ALL_ANSWERS = sorted({answer for possible in ANSWERS for answer in possible})
OF_CAPTION = 3


class RoundNaming(nn.Module):
    """Names question and answer of each round from the state of its last token."""

    def __init__(self, width: int, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.question = nn.Linear(width, len(ASKED))
        self.answer = nn.Linear(width, len(ALL_ANSWERS))
        self.tokenizer = tokenizer

    def forward(self, states: torch.Tensor, dialogs: Sequence[Dialog], rounds: int) -> torch.Tensor:
        """The loss of states [dialogs, tokens, width] of the captions and the first `rounds` rounds, joined."""
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
        """Where the last token of each round stands, after the start token, the caption and a comma a round."""
        texts = [dialog.caption, *map(str, dialog.rounds[:rounds])]
        lengths = [len(numbers) for numbers in self.tokenizer(texts, add_special_tokens=False).input_ids]
        ends, place = [], lengths[0]
        for length in lengths[1:]:
            place += 1 + length
            ends.append(place)
        return ends
