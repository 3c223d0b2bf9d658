"""The demo: the `chatir` commands that tell the whole story on small scenes, offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SCENES = 6000
SMOLLM2_TARGETS = 10

GREEDY = ("--questioner", "hf", "-q", "model=scenes:t5", "-q", "prompt=scenes")
FIRST_UNASKED = (*GREEDY, "-q", "decode=first-unasked")
UNANSWERED = (
    *("--questioner", "unanswered", "-q", "backend=hf", "-q", "model=scenes:t5", "-q", "questions=1"),
    *("-q", "prompt=scenes-unanswered", "-q", "decode=first-unasked"),
)
BLIP2 = ("--answerer", "blip2", "-a", "model=scenes:blip2")
HUMAN = ("--questioner", "human")
CLIP = ("--retriever", "clip", "-r", "model=scenes:clip")


@dataclass(frozen=True)
class Step:
    """A command of the demo: what it is about, and the words that a user types after `chatir`."""

    about: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Demo:
    """The demo in one folder. limit: targets of each run. smollm2: whether a real language model asks as well."""

    folder: Path
    limit: int
    smollm2: bool = False

    @property
    def reports(self) -> list[Path]:
        """The pages that the demo ends with."""
        return [self.folder / name for name in ("report.html", "smollm2.html")[: 1 + self.smollm2]]

    def steps(self) -> Iterator[Step]:
        """The commands, in order; each may be typed again, and goes on where it was."""
        yield Step(
            f"{SCENES:,} pictures, and what simulated people say about them", ("scenes", *self._scenes(), "--seed", "0")
        )
        runs = {
            "first-unasked": ("a small T5 asks the likeliest question that it has not asked yet", FIRST_UNASKED, BLIP2),
            "greedy": ("the same T5 asks the likeliest question: it repeats itself", GREEDY, BLIP2),
            "unanswered": ("the same T5, first unasked, never sees an answer", UNANSWERED, BLIP2),
            "people-blip2": ("people's questions, a small BLIP-2 answers", HUMAN, BLIP2),
            "people": ("people's questions, people's answers", HUMAN, ("--answerer", "human")),
        }
        for name, (about, asking, answering) in runs.items():
            yield self._run(name, about, asking, answering, self.limit)
        yield self._score(*runs)
        yield self._compare("Who asks better?", self.reports[0], *runs)
        if self.smollm2:
            about = f"a real language model, SmolLM2, asks about {SMOLLM2_TARGETS} targets; it knows nothing of scenes"
            yield self._run("smollm2", about, ("--questioner", "smollm2"), BLIP2, min(SMOLLM2_TARGETS, self.limit))
            yield self._score("smollm2")
            yield self._compare("The same few targets in both runs", self.reports[1], "first-unasked", "smollm2")

    def _scenes(self) -> tuple[str, ...]:
        return str(self.folder / "scenes"), "--count", str(SCENES)

    def _run(self, name: str, about: str, asking: tuple[str, ...], answering: tuple[str, ...], limit: int) -> Step:
        shown = ("--targets", str(self.folder / "scenes" / "targets.json"), *self._images())
        return Step(
            about, ("simulate", *asking, *answering, *shown, "--limit", str(limit), "--out", self._dialogs(name))
        )

    def _score(self, *names: str) -> Step:
        corpus = ("--corpus", str(self.folder / "scenes" / "corpus.json"), *self._images())
        about = f"scenes:clip ranks each target in {SCENES:,} pictures, after every round"
        return Step(about, ("score", *map(self._dialogs, names), *CLIP, *corpus))

    def _compare(self, about: str, report: Path, *names: str) -> Step:
        return Step(about, ("compare", *map(self._dialogs, names), "--report", str(report), *self._images()))

    def _images(self) -> tuple[str, ...]:
        return "--images", str(self.folder / "scenes")

    def _dialogs(self, name: str) -> str:
        return str(self.folder / "outputs" / f"{name}.json")
