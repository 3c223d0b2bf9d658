"""What a language model is asked for, and what it gives: the same for a chat endpoint and for a model at hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatir.dialog import Failure
from chatir.prompts import Message
from chatir.prompts.cleaning.thoughts import without_thoughts

if TYPE_CHECKING:
    from chatir.models.chat.images import EncodedImage


def total(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Request:
    """Messages to complete.

    - `seed`: of this very request, for a model that samples
    - `max_tokens`: how long the text may become; None: as the model's own options say
    - `whole`: the text is wanted to its end; else its first question will do, and a model at hand stops there
    - `image`: shown with the first message by the user, by a chat endpoint only; `image_tokens`: what it takes at most
    """

    messages: tuple[Message, ...]
    seed: int = 0
    max_tokens: int | None = None
    whole: bool = False
    image: EncodedImage | None = None
    image_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's text, or the failure to get one, never both.

    - `cut`: whether `max_tokens` ended it
    - `others`: what else a model offers, best first, where it searches for several, each with its `cut`
    - `tokens_in`, `tokens_out`: of all attempts that told them, None where none did
    - `cost`: US dollars for all attempts, where the price is known; one whose reply is lost counts with its upper bound
    - `notes`: what is odd about the reply (an unknown finish reason, another model), kept with it
    - `origin`: what the cache keeps of an endpoint's reply: the model that it names, and the options that its request
      had to adapt; None for a reply that is not to be cached
    """

    text: str | None
    failure: Failure | None = None
    cut: bool = False
    others: tuple[tuple[str, bool], ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    notes: Mapping[str, Any] | None = None
    origin: Mapping[str, Any] | None = None


def nothing_said(kind: str, message: str, completion: Completion) -> Failure:
    """The failure of a completion that says nothing usable: `cut_off` where `max_tokens` ended it amid thoughts."""
    if completion.cut and not without_thoughts(completion.text or "").strip():
        return Failure("cut_off", "max_tokens were spent on thoughts, before the model said anything: give it more")
    return Failure(kind, message)
