"""`pool`: picks the question of a closed pool that is nearest to the dialog so far; needs no training and no GPU."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from chatir.datasets.data_folder import TARGETS, data_folder
from chatir.datasets.dialogue_json import read_dialogs
from chatir.dialog import Dialog, Reply
from chatir.errors import InputError
from chatir.measures.questions import normalised_question
from chatir.models.local.sentences import SentenceEncoder
from chatir.plugins import Context, Free
from chatir.storage.image_names import image_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EQUAL = 1e-6
"""Cosines no further apart than this are equal; fp32 gives one sentence two vectors that differ by less."""
LONG = 1000
"""Questions in a pool whose encoding takes seconds, and is announced."""


class Options(BaseModel):
    """What the pool is made of.

    - `file`: dialogue JSON whose questions make the pool (None: the released VisDial queries, which people asked)
    - `size`: keep only so many questions, the most frequent ones (None: all)
    - `own`: may questions be picked that the file asks about the very same image, and about no other?
    - `batch_size`: dialogs a call
    """

    model_config = ConfigDict(frozen=True)
    file: Path | None = None
    size: int | None = Field(default=None, ge=1)
    own: bool = False
    batch_size: int = Field(default=32, ge=1)


@dataclass(frozen=True, slots=True)
class PoolQuestion:
    """A question of the pool: its most frequent wording as `text`, and its `normalised` form.

    only_image: the image that it was asked about, None if it was asked about several.
    """

    text: str
    normalised: str
    only_image: str | None


class Pool(Free):
    """Asks what the file asked elsewhere, and never twice in a dialog, by normalised question.

    Nearness is the cosine of all-MiniLM-L6-v2 vectors of a question and of the dialog as the released evaluation
    joins it: caption and rounds with ", " between (the encoder reads the first 256 tokens). Among equals the
    earlier in the pool wins, which is the more frequent. Nothing is left to chance: seeds do not matter. The
    non-generative baseline of Levy et al. (NeurIPS 2023) trained a classifier over 40,000 questions instead.

    An image is known by its path: questions about the target are left out where the file calls it the same.
    """

    def __init__(self, options: Options, context: Context) -> None:
        self.batch_size = options.batch_size
        self._options = options
        self._progress = context.progress
        self._encoder = SentenceEncoder()
        self._file = options.file or _released()
        self._pool = _read_pool(self._file, options.size)
        self._places = {question.normalised: place for place, question in enumerate(self._pool)}
        self._own: defaultdict[str, list[int]] = defaultdict(list)
        if not options.own:
            for place, question in enumerate(self._pool):
                if question.only_image is not None:
                    self._own[image_key(question.only_image)].append(place)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The pool by its content (whatever its file is called), the options, and the encoder."""
        own = self._options.own
        content = json.dumps([(question.text, None if own else question.only_image) for question in self._pool])
        return {
            "pool": {"questions": len(self._pool), "sha256": sha256(content.encode("ascii")).hexdigest()},
            "size": self._options.size,
            "own": own,
            "encoder": self._encoder.identity,
        }

    def check(self, target: Dialog, rounds: int) -> None:
        """Raise InputError for a target about which fewer than `rounds` questions can be asked."""
        left_out = len(self._own.get(image_key(target.image), ()))
        available = len(self._pool) - left_out
        if available < rounds:
            ways_out = [f"--rounds {available}"] if available else []
            ways_out += ["-q own=true"] if len(self._pool) >= rounds else []
            ways_out += ["a larger -q size"] if len(self._pool) == self._options.size else []
            raise InputError(
                f"{self._file}: questioner 'pool' needs {rounds} questions for {target.id!r}, but has {available}"
                + (f" of {len(self._pool)} ({left_out} were asked about this image only)" if left_out else "")
                + f": use {' or '.join([*ways_out, '-q file=FILE with more questions'])}"
            )

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """Pick the next question of each dialog; a dialog fails (`pool_exhausted`) where none is left to ask."""
        return [self._pick(dialog) for dialog in dialogs]

    def _pick(self, dialog: Dialog) -> Reply:
        import numpy as np

        # Encoded alone, and one product a dialog: sums of fp32 differ in the last bits between shapes of a batch.
        likeness = self._vectors @ self._encoder.encode([_joined(dialog)])[0]
        likeness[self._own.get(image_key(dialog.image), [])] = -np.inf
        asked = (self._places.get(normalised_question(turn.question)) for turn in dialog.rounds)
        likeness[[place for place in asked if place is not None]] = -np.inf
        best = likeness.max()
        if best == -np.inf:
            return Reply.failed("pool_exhausted", f"{self._file}: no question is left to ask about {dialog.id!r}")
        return Reply(self._pool[int(np.argmax(likeness >= best - EQUAL))].text)

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        if len(self._pool) >= LONG:
            self._progress(f"encoding the pool's {len(self._pool):,} questions (about {len(self._pool) // 400} s)")
        return self._encoder.encode([question.text for question in self._pool])


def _joined(dialog: Dialog) -> str:
    return ", ".join([dialog.caption, *map(str, dialog.rounds)])


def _released() -> Path:
    path = data_folder() / TARGETS.name
    if not path.is_file():
        raise InputError(
            f"{path}: is not there; 'chatir fetch' brings it, or name another pool of questions with -q file=FILE"
        )
    return path


def _read_pool(file: Path, size: int | None) -> list[PoolQuestion]:
    pool = pool_of(read_dialogs(file))
    if not pool:
        raise InputError(f"{file}: holds no question to ask; -q file=FILE needs dialogs with rounds 'question? answer'")
    return pool[:size]


def pool_of(dialogs: Iterable[Dialog]) -> list[PoolQuestion]:
    """The distinct questions of dialogs, the most frequent first and ties in file order.

    Each in its most frequent wording, the first among equals. What has no `?`, or no word, is no question.
    """
    wordings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    images: defaultdict[str, set[str]] = defaultdict(set)
    for dialog in dialogs:
        for turn in dialog.rounds:
            normalised = normalised_question(turn.question)
            if normalised and "?" in turn.question:
                wordings[normalised][turn.question] += 1
                images[normalised].add(dialog.image)
    return [
        PoolQuestion(
            wordings[normalised].most_common(1)[0][0],
            normalised,
            next(iter(images[normalised])) if len(images[normalised]) == 1 else None,
        )
        for normalised in sorted(wordings, key=lambda normalised: -wordings[normalised].total())
    ]
