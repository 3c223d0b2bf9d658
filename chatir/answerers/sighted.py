"""An answerer that shows a model the image with a prompt, and takes the answer from what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chatir.dialog import Dialog, Reply
from chatir.errors import InputError
from chatir.models.completion import Completion, nothing_said
from chatir.models.local.player import LocalPlayer
from chatir.models.local.vision_model import Look, LookingModel
from chatir.prompts import Message, load_prompt
from chatir.prompts.cleaning import clean_answer

_MARK = "what is this?"


class SightOptions(BaseModel):
    """What a model is told beside the image.

    - `prompt`: a name from `chatir list prompts`, or the path of a `.toml` file
    - `context_rounds`: how many of the last rounds are shown in it
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    prompt: str = "short-answer"
    context_rounds: int = Field(default=0, ge=0)


class Sighted:
    """What is alike for all that look at the image: the prompt."""

    needs_images = True

    def __init__(self, options: SightOptions, *, chats: bool = False) -> None:
        """chats: whether the model is given a chat, else one text.

        Raises InputError for a prompt that is not there, or never shows the question.
        """
        self._prompt = load_prompt(options.prompt)
        self._chats = chats
        self._context_rounds = options.context_rounds
        shown = self.messages(Dialog("", ""), _MARK)
        if not any(_MARK in message.content for message in shown):
            raise InputError(f"prompt {options.prompt!r}: is not for answers: it never shows the {{{{ question }}}}")

    @property
    def shown(self) -> dict[str, Any]:
        """What of the prompt fixes an answer."""
        return {"prompt": self._prompt.identity, "context_rounds": self._context_rounds}

    def messages(self, dialog: Dialog, question: str) -> list[Message]:
        """What the model is told beside the image; a model that does not chat is given one text."""
        seen = replace(dialog, rounds=dialog.rounds[max(len(dialog.rounds) - self._context_rounds, 0) :])
        return self._prompt.messages(seen, chats=self._chats, question=question)


class SightedModel(LocalPlayer, Sighted):
    """Answers by a model at hand, in batches."""

    model: LookingModel

    def __init__(self, options: SightOptions, model: LookingModel) -> None:
        super().__init__(options)
        self.model = model

    @property
    def image_folder(self) -> Path | None:
        """Where it looks for the images, None if it was given no folder."""
        return self.model.image_folder

    @property
    def config(self) -> dict[str, Any]:
        """The model with its options, and the prompt."""
        return {**self.model.identity, **self.shown}

    def close(self) -> None:
        """Forget the images; the model stays loaded."""
        self.model.close()

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        """Answer a question about each dialog's image."""
        looks = [
            Look(dialog.image, self.messages(dialog, question)[0].content)
            for dialog, question in zip(dialogs, questions, strict=True)
        ]
        completions = self.model.complete(looks)
        return [answer_reply(each, question) for each, question in zip(completions, questions, strict=True)]


def answer_reply(completion: Completion, question: str) -> Reply:
    """A model's text as a reply: its answer to the question, or the failure to find one."""
    answer, failure = None, completion.failure
    if completion.text is not None:
        answer = clean_answer(completion.text, question)
        if answer is None:
            failure = nothing_said("no_answer", "the reply says nothing, or only the question again", completion)
    return Reply(
        answer,
        completion.text,
        completion.tokens_in,
        completion.tokens_out,
        completion.cost,
        failure,
        notes=completion.notes,
    )
