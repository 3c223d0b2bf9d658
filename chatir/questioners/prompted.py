"""A questioner that shows a prompt to a language model, and takes the next question from what it says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chatir.dialog import Dialog, Failure, Reply
from chatir.measures.questions import normalised_question
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.player import EndpointPlayer
from chatir.models.completion import Completion, Request, nothing_said
from chatir.models.local.player import LocalPlayer
from chatir.models.local.text_model import LocalModel
from chatir.prompts import load_prompt
from chatir.prompts.cleaning import MARK, clean_question
from chatir.prompts.cleaning.thoughts import without_thoughts
from chatir.prompts.estimates import QUESTION_TOKENS, Estimate, rounds_to_come, tokens_of


class PromptOptions(BaseModel):
    """prompt: a name from `chatir list prompts`, or a .toml file. shots: examples in it (None: all it has)."""

    model_config = ConfigDict(frozen=True)
    prompt: str = "few-shot"
    shots: int | None = Field(default=None, ge=0)


class Prompted:
    """What is alike for a chat endpoint and a model at hand: the request, the reply, and what fixes them."""

    model: ChatEndpoint | LocalModel

    def __init__(self, options: PromptOptions) -> None:
        self._prompt = load_prompt(options.prompt)
        self._shots = options.shots

    @property
    def config(self) -> dict[str, Any]:
        """The model with its options, and the prompt."""
        return {"model": self.model.identity, "prompt": self._prompt.identity, "shots": self._shots}

    def request(self, dialog: Dialog) -> Request:
        """What the model is asked for in the dialog's next round."""
        messages = self._prompt.messages(dialog, self._shots, chats=self.model.chats)
        return Request(tuple(messages), dialog.seed)

    def estimate(self, dialog: Dialog, rounds: int) -> Estimate:
        """What the rounds that the dialog still lacks will take."""
        requests = [self.request(dialog) for dialog in rounds_to_come(dialog, rounds)]
        tokens_in, tokens_out = sum(tokens_of(r.messages) for r in requests), QUESTION_TOKENS * len(requests)
        return Estimate(len(requests), tokens_in, tokens_out, self.model.cost(tokens_in, tokens_out))


class PromptedEndpoint(EndpointPlayer, Prompted):
    """Asks through a chat endpoint, many dialogs at once."""

    model: ChatEndpoint

    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """Ask the next question of each dialog."""
        return [question_reply(each) for each in await self.model.complete([*map(self.request, dialogs)])]

    def max_cost(self, dialog: Dialog) -> float | None:
        """US dollars that the next question can cost at most; None when the price is unknown."""
        return self.model.max_cost(self.request(dialog))


class PromptedModel(LocalPlayer, Prompted):
    """Asks through a model at hand, in batches."""

    model: LocalModel

    def __init__(self, options: PromptOptions) -> None:
        super().__init__(options)
        self.model.share_head([self.request(Dialog("", caption)) for caption in ("a cat", "two dogs")])

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """Ask the next question of each dialog."""
        completions = self.model.complete([self.request(dialog) for dialog in dialogs])
        return [
            question_reply(first_unasked([turn.question for turn in dialog.rounds], completion))
            for dialog, completion in zip(dialogs, completions, strict=True)
        ]


def question_reply(completion: Completion) -> Reply:
    """A model's text as a reply: its question, or the failure to find one."""
    question, failure = None, completion.failure
    raw = completion.text
    if raw is not None:
        question = clean_question(raw)
        if question is not None and completion.cut and not MARK.search(without_thoughts(raw, "question")):
            question, failure = None, Failure("no_question", "the question was cut off: max_tokens is too small")
        elif question is None:
            failure = nothing_said("no_question", "the reply holds no question", completion)
    return Reply(
        question,
        raw,
        completion.tokens_in,
        completion.tokens_out,
        completion.cost,
        failure,
        notes=completion.notes,
    )


def first_unasked(asked: Iterable[str], completion: Completion) -> Completion:
    """The completion with the first of its texts that asks what was not `asked` yet; the best, if none does."""
    if completion.text is None or not completion.others:
        return completion
    before = {normalised_question(question) for question in asked}
    for text, cut in ((completion.text, completion.cut), *completion.others):
        question = clean_question(text)
        if question is not None and normalised_question(question) not in before:
            return replace(completion, text=text, cut=cut, others=())
    return replace(completion, others=())
