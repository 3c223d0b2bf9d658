"""The nouns that every room speaks in: `Round`, `Dialog`, `Reply` and `Failure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Round:
    """One question and its answer.

    `text` is the exact string of the file that the round came from, None for a round made here. Where there is one,
    `str(round)` gives it back, else question and answer joined as files join them.
    """

    question: str
    answer: str
    text: str | None = None

    @classmethod
    def parse(cls, text: str) -> Round:
        """Read one round of a dialogue file: the question ends at the last `?`, the rest is the answer.

        One space between the two belongs to neither; any other white space stays with the answer. Without
        a `?` the whole text is the question.
        """
        mark = text.rfind("?")
        if mark < 0:
            return cls(text, "", text)
        answer = text[mark + 1 :]
        if answer[:1] == " " and answer[1:2].strip():
            answer = answer[1:]
        return cls(text[: mark + 1], answer, text)

    def __str__(self) -> str:
        """The round as a dialogue file holds it."""
        if self.text is not None:
            return self.text
        between = " " if self.answer[:1].strip() else ""
        return f"{self.question}{between}{self.answer}"


@dataclass(frozen=True, slots=True)
class Dialog:
    """A caption and its rounds so far, about one image.

    - `image`: path of the target, relative to the image root, as its file writes it
    - `caption`: round 0
    - `rounds`: the rounds so far, in order; any iterable of `Round`, kept as a tuple
    - `said`: what people said about the image; a player sees it only if it declares `uses_said`
    - `id`: identity in a run, the image unless given (Flickr30k has five captions an image)
    - `seed`: for a player that samples; derived from (run seed, id, round, attempt)
    - `memory`: what the player at hand asked, by its latest `Reply.memory` about this dialog, to be given back
    - `extra`: further keys of the file that the dialog came from, kept so that nothing is lost
    """

    image: str
    caption: str
    rounds: tuple[Round, ...] = ()
    said: tuple[Round, ...] = ()
    id: str = None  # type: ignore[assignment]  # None means: the image
    seed: int = 0
    memory: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    def __post_init__(self) -> None:
        if self.id is None:
            object.__setattr__(self, "id", self.image)
        for name in ("rounds", "said"):
            if type(getattr(self, name)) is not tuple:
                object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a player gave no text: a kind to count by and a message to read."""

    kind: str
    message: str


UNUSABLE = frozenset({"no_question", "no_answer"})
"""Kinds of failure that mean the model spoke but said nothing usable; the loop asks again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a player gave for one dialog: clean one-line text, or a typed failure, never both.

    - `text`: the question or answer, None for a failure
    - `raw`: the text as the model gave it, None where there is none but `text`
    - `tokens_in`, `tokens_out`: token counts, and `cost`, US dollars; each None when unknown, never 0 for want of
      knowledge
    - `failure`: why there is no text; `Reply.failed` makes such a reply
    - `memory`: what the player wants to be given back as `Dialog.memory` whenever it plays this dialog again; it is
      kept in the run file, and lives on after a resume (None: what it was given before stays)
    - `notes`: plain data kept with the reply in the run file, as an unknown finish reason

    Raises ValueError for a text together with a failure, and for neither.
    """

    text: str | None
    raw: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    failure: Failure | None = None
    memory: str | None = None
    notes: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if (self.text is None) == (self.failure is None):
            raise ValueError("a Reply holds either a text or a failure: use Reply(text) or Reply.failed(kind, message)")

    @classmethod
    def failed(
        cls,
        kind: str,
        message: str,
        *,
        raw: str | None = None,
        tokens_in: int | None = None,
        tokens_out: int | None = None,
        cost: float | None = None,
    ) -> Reply:
        """A reply that is a failure: `kind` is one word to count by, `message` one line to read.

        The rest is what the failed attempt gave and took, as in `Reply`. The kinds `no_question` and `no_answer` mean
        that the model spoke but said nothing usable: it is asked again at once, with another `Dialog.seed`.
        """
        return cls(None, raw, tokens_in, tokens_out, cost, Failure(kind, message))


def text_problem(text: str) -> str | None:
    """What forbids keeping a text (NUL, or half of a surrogate pair), or None."""
    if "\0" in text:
        return "holds a NUL character"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "holds a lone surrogate, which is no character"
    return None
