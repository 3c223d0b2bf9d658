"""`unanswered`: asks a model for all questions at once, from the caption alone, and plays them in order.

A model that writes one question at a time is asked so (`questions=1`): it is shown its own questions, and no answer.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chatir.dialog import Dialog, Failure, Reply
from chatir.errors import ChatirError, InputError
from chatir.models.chat.endpoint import ChatEndpoint
from chatir.models.chat.options import ChatOptions
from chatir.models.chat.player import EndpointPlayer
from chatir.models.completion import Completion, Request, nothing_said, total
from chatir.models.local.player import LocalPlayer
from chatir.models.local.text_model import LocalModel
from chatir.plugins import Context, build
from chatir.prompts import load_prompt
from chatir.prompts.estimates import QUESTION_TOKENS, Estimate, tokens_of
from chatir.prompts.question_list import question_list
from chatir.questioners.chatgpt import MODEL as CHATGPT
from chatir.questioners.prompted import PromptedEndpoint, PromptedModel, first_unasked

LIST_BYTES = 8
"""Bytes that a token of a list may hold when it is shown again, its share of the numbers among them."""
REQUESTS = 3
"""Requests for one list at most: a model that gives too few is asked for the missing ones."""


class ListOptions(BaseModel):
    """questions: how many are asked for at once, in one reply; 1: one a round. prompt: its name or .toml file.

    max_tokens: of the whole list.
    """

    model_config = ConfigDict(frozen=True)
    questions: int = Field(default=10, ge=1, le=100)
    prompt: str = "unanswered"
    max_tokens: int = Field(default=400, ge=1)


class Options(ListOptions):
    """backend: a questioner with a model, as `chatgpt` or `hf`; any further option goes to it."""

    model_config = ConfigDict(frozen=True, extra="allow")
    backend: str = "chatgpt"


class ChatGPTOptions(ListOptions, ChatOptions):
    """As those of an endpoint, and of a list."""

    model: str = Field(default=CHATGPT, min_length=1)


def unanswered(options: Options, context: Context) -> UnansweredEndpoint | UnansweredModel:
    """Asks for all questions at once through the model of another questioner.

    Raises InputError for `shots`, for decode=first-unasked with several questions at once, and for a backend without
    a model.
    """
    further = options.model_extra or {}
    if "shots" in further:
        raise InputError("questioner 'unanswered': a list takes no 'shots'")
    if further.get("decode") == "first-unasked" and options.questions > 1:
        raise InputError(
            "questioner 'unanswered': decode=first-unasked chooses one question at a time: add questions=1"
        )
    backend = build("questioners", options.backend, further, context)
    name = f"Unanswered_{getattr(backend, 'name', type(backend).__name__)}"
    match backend:
        case PromptedEndpoint():
            return UnansweredEndpoint(backend.model, options, name)
        case PromptedModel():
            return UnansweredModel(backend.model, options, name)
    raise InputError(f"questioner 'unanswered': backend={options.backend}: has no model that could write a list")


def unanswered_chatgpt(options: ChatGPTOptions, context: Context) -> UnansweredEndpoint:
    """ChatGPT that never sees an answer: asks for all ten questions at once, and plays them in order."""
    return UnansweredEndpoint(ChatEndpoint(options, context), options, "Unanswered_ChatGPT")


class Unanswered:
    """Lists of questions: asked for once a dialog, kept in its memory, completed where they are short."""

    model: ChatEndpoint | LocalModel

    def __init__(self, options: ListOptions, name: str) -> None:
        self.name = name
        self._count = options.questions
        self._max_tokens = options.max_tokens
        self._prompt = load_prompt(options.prompt)

    @property
    def config(self) -> dict[str, Any]:
        """The model with its options, and what it is asked for."""
        asked_for = {"questions": self._count, "max_tokens": self._max_tokens}
        return {"model": self.model.identity, "prompt": self._prompt.identity, **asked_for}

    def estimate(self, dialog: Dialog, rounds: int) -> Estimate:
        """What the lists that the dialog still lacks will take."""
        lists = -(-rounds // self._count) - (-(-len(dialog.rounds) // self._count))
        if not lists:
            return Estimate()
        tokens_in = lists * tokens_of(self._request(dialog, []).messages)
        tokens_out = lists * self._count * QUESTION_TOKENS
        return Estimate(lists, tokens_in, tokens_out, self.model.cost(tokens_in, tokens_out))

    def _request(self, dialog: Dialog, asked: Sequence[str], number: int = 0) -> Request:
        """A request for the questions that a list still lacks."""
        missing = self._count - len(asked) % self._count
        caption = Dialog(dialog.image, dialog.caption)
        messages = self._prompt.messages(caption, chats=self.model.chats, count=missing, asked=list(asked))
        return Request(tuple(messages), (dialog.seed + number) % 2**63, self._max_tokens, whole=self._count > 1)

    def _next(self, dialog: Dialog) -> Generator[Request, Completion, Reply]:
        """The next question: from the list, or after the requests that it takes to have one; they are yielded."""
        listed: list[str] = json.loads(dialog.memory) if dialog.memory else []
        place = len(dialog.rounds)
        if place < len(listed):
            return Reply(listed[place])
        wanted = (place // self._count + 1) * self._count
        said: list[Completion] = []
        while len(said) < REQUESTS and len(listed) < wanted:
            said.append(first_unasked(listed, (yield self._request(dialog, listed, len(said)))))
            if said[-1].failure is not None:
                break
            listed += question_list(said[-1].text or "")[: wanted - len(listed)]
        if place < len(listed):
            return _reply(said, listed[place], None, json.dumps(listed))
        failure = said[-1].failure or nothing_said("no_question", "the reply lists no question", said[-1])
        return _reply(said, None, failure)


class UnansweredEndpoint(EndpointPlayer, Unanswered):
    """Lists through a chat endpoint, many dialogs at once."""

    model: ChatEndpoint

    def __init__(self, model: ChatEndpoint, options: ListOptions, name: str) -> None:
        super().__init__(options, name)
        self.model = model

    async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """Ask the next question of each dialog."""
        return [await self._played(dialog) for dialog in dialogs]

    async def _played(self, dialog: Dialog) -> Reply:
        steps = self._next(dialog)
        try:
            request = next(steps)
            (completion,) = await self.model.complete([request])
            while True:
                request = steps.send(completion)
                try:
                    (completion,) = await self.model.complete([request])
                except ChatirError as error:  # the list that is there is paid for; the next request stops the run
                    completion = Completion(None, Failure("stopped", str(error)))
        except StopIteration as end:
            reply: Reply = end.value
            return reply

    def max_cost(self, dialog: Dialog) -> float | None:
        """US dollars that the next question can cost at most: that of its list, where it begins one."""
        listed = json.loads(dialog.memory) if dialog.memory else []
        if len(dialog.rounds) < len(listed):
            return 0.0
        # Each further request shows the questions that came before: max_tokens, and their numbers, a list.
        longest = [*listed, *["?" * LIST_BYTES * self._max_tokens] * (REQUESTS - 1)]
        most = self.model.max_cost(self._request(dialog, longest))
        return None if most is None else REQUESTS * most


class UnansweredModel(LocalPlayer, Unanswered):
    """Lists by a model at hand, in batches."""

    model: LocalModel

    def __init__(self, model: LocalModel, options: ListOptions, name: str) -> None:
        super().__init__(options, name)
        self.model = model
        model.share_head([self._request(Dialog("", caption), []) for caption in ("a cat", "two dogs")])

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """Ask the next question of each dialog."""
        steps = [self._next(dialog) for dialog in dialogs]
        replies: dict[int, Reply] = {}
        completions: dict[int, Completion | None] = dict.fromkeys(range(len(steps)))
        while completions:
            requests: dict[int, Request] = {}
            for place, completion in completions.items():
                try:
                    requests[place] = next(steps[place]) if completion is None else steps[place].send(completion)
                except StopIteration as end:
                    replies[place] = end.value
            completions = dict(zip(requests, self.model.complete([*requests.values()]), strict=True))
        return [replies[place] for place in range(len(steps))]


def _reply(
    said: Sequence[Completion], question: str | None, failure: Failure | None, memory: str | None = None
) -> Reply:
    """A reply with what the requests of one list took together, and all that the model said to them."""
    raw = "\n\n".join(each.text for each in said if each.text is not None)
    tokens_in, tokens_out = (
        None if (known := total(getattr(each, name) for each in said)) is None else int(known)
        for name in ("tokens_in", "tokens_out")
    )
    cost = total(each.cost for each in said)
    notes = {name: value for each in said for name, value in (each.notes or {}).items()}
    return Reply(question, raw or None, tokens_in, tokens_out, cost, failure, memory, notes or None)
