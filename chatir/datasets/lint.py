"""What is wrong with a dialogue file, counted by kind, with examples; nothing is repaired."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from chatir.datasets.dialogue_json import Entry, read_entries
from chatir.dialog import Round
from chatir.measures.counts import most_lack_questions
from chatir.measures.defects import DEFECTS, round_defects
from chatir.measures.questions import normalised_question
from chatir.storage.image_names import dialog_key, image_problem

FINDINGS = (
    "wrong_round_count",
    "duplicate_image",
    "malformed_image",
    "empty_id",
    "empty_caption",
    "control_characters",
    "odd_spacing",
)
"""What a file can be found to have beside the defects of its rounds."""

REFERENCE_FINDINGS = ("missing_dialog", "extra_dialog", "different_caption", "reordered_rounds")
"""What only the comparison with a reference file can find."""

EXAMPLES = 3
"""Examples kept of each kind, the first ones in the file."""

_CONTROL = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode categories of what is not seen or breaks the line: controls, formats, line and paragraph separators."""

_TWO_SPACES = re.compile(r"[^\S\t-\r\x1c-\x1f\x85\u2028\u2029]{2}")


@dataclass(frozen=True, slots=True)
class Example:
    """Where a finding is: the image, img, and the round with its text.

    Round 0 is the caption, None the whole dialog, of which `text` then says what is wrong.
    """

    img: str
    round: int | None
    text: str


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found in one file, with so many dialogs and, all together, rounds.

    defects: how many findings of every kind that was looked for, zeros too. examples: the first of each kind that was
    found, `EXAMPLES` at most.
    """

    file: str
    dialogs: int
    rounds: int
    defects: dict[str, int]
    examples: dict[str, list[Example]]

    @property
    def asks(self) -> bool:
        """Whether at least half of the rounds hold a question; a file of rewritten queries does not."""
        return not most_lack_questions(self.defects, self.rounds)

    def as_json(self) -> dict[str, Any]:
        """The report as `lint --format json` prints it."""
        return asdict(self)


def lint(path: Path | str, reference: Path | str | None = None, rounds: int = 10) -> LintReport:
    """Look for everything that is odd in a dialogue file, and in how it differs from a reference file.

    rounds: how many each dialog should have. Raises InputError for a file that is no dialogue file.
    """
    entries = list(read_entries(path))
    kinds: tuple[str, ...] = DEFECTS + FINDINGS
    found = _findings(entries, rounds)
    if reference is not None:
        kinds += REFERENCE_FINDINGS
        found = chain(found, _differences(entries, read_entries(reference)))
    defects = dict.fromkeys(kinds, 0)
    examples: dict[str, list[Example]] = {kind: [] for kind in kinds}
    for kind, example in found:
        defects[kind] += 1
        if defects[kind] <= EXAMPLES:
            examples[kind].append(example)
    return LintReport(
        file=str(path),
        dialogs=len(entries),
        rounds=sum(len(entry.texts) - 1 for entry in entries),
        defects=defects,
        examples={kind: some for kind, some in examples.items() if some},
    )


def _findings(entries: Iterable[Entry], rounds: int) -> Iterator[tuple[str, Example]]:
    first: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if (count := len(entry.texts) - 1) != rounds:
            text = f"{count} round{'s' * (count != 1)} instead of {rounds}"
            yield "wrong_round_count", Example(entry.img, None, text)
        name = _identity(entry)
        if first.setdefault(name, number) != number:
            text = f"{name!r} is named again at entry {number}, first at entry {first[name]}"
            yield "duplicate_image", Example(entry.img, None, text)
        if problem := image_problem(entry.img):
            yield "malformed_image", Example(entry.img, None, problem)
        if "id" in entry.extra and not entry.extra["id"].strip():
            yield "empty_id", Example(entry.img, None, "its id is empty")
        if not entry.texts[0].strip():
            yield "empty_caption", Example(entry.img, 0, entry.texts[0])
        for place, text in enumerate(entry.texts):
            for kind in (round_defects(text) if place else []) + _text_findings(text):
                yield kind, Example(entry.img, place, text)


def _text_findings(text: str) -> list[str]:
    """What is odd in a caption or a round, whatever it says; a control character is not also odd spacing."""
    found = []
    if not text.isprintable() and any(map(_is_control, text)):
        found.append("control_characters")
    edges = text[: len(text) - len(text.lstrip())] + text[len(text.rstrip()) :]
    if not all(map(_is_control, edges)) or _TWO_SPACES.search(text):
        found.append("odd_spacing")
    return found


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL


def _identity(entry: Entry) -> str:
    """What the dialog is known by: its id where the file gives one, else its image."""
    return dialog_key(entry.extra.get("id", entry.img), entry.img)


def _differences(entries: Iterable[Entry], reference: Iterable[Entry]) -> Iterator[tuple[str, Example]]:
    """How a file differs from its reference; of a dialog named twice, the first one counts."""
    here, there = _by_identity(entries), _by_identity(reference)
    for name, entry in here.items():
        if (other := there.get(name)) is None:
            yield "extra_dialog", Example(entry.img, None, entry.texts[0])
            continue
        if entry.texts[0] != other.texts[0]:
            yield "different_caption", Example(entry.img, 0, entry.texts[0])
        if order := _new_order(entry.texts[1:], other.texts[1:]):
            text = f"the reference's rounds in the order {', '.join(map(str, order))}"
            yield "reordered_rounds", Example(entry.img, None, text)
    for name, other in there.items():
        if name not in here:
            yield "missing_dialog", Example(other.img, None, other.texts[0])


def _by_identity(entries: Iterable[Entry]) -> dict[str, Entry]:
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(_identity(entry), entry)
    return first


def _new_order(here: list[str], there: list[str]) -> list[int] | None:
    """For each round here, the reference's round (from 1) with its question; None unless only the order differs."""
    asked, expected = ([normalised_question(Round.parse(text).question) for text in texts] for texts in (here, there))
    if asked == expected or sorted(asked) != sorted(expected):
        return None
    places: dict[str, list[int]] = {}
    for place, question in enumerate(expected, start=1):
        places.setdefault(question, []).append(place)
    return [places[question].pop(0) for question in asked]
