"""A comparison of runs: what was counted, tested and concluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from chatir.compare.counted.retrieval import Retrieval
from chatir.console import printable
from chatir.dialog import Dialog
from chatir.measures.counts import DialogCounts
from chatir.run.runs import Run

if TYPE_CHECKING:
    import pandas as pd

NAMED = 6
"""Runs that the `repr` of a comparison names."""


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run, as far as it is compared: the dialogs that all runs have, cut to the rounds that all runs have.

    - `run`: the dialogue file, whole, and what its run file tells
    - `counts`: figures of each dialog
    - `repetition`, `language`, `defects`: named and counted as `compare --format json` prints them: means over dialogs,
      `dialogs_with_repeats` a share (0 to 1), defects in rounds; repetition and language are None where most rounds
      hold no question
    - `retrieval`: how each retriever found the targets in its corpus, by the label that tells these from others
    """

    run: Run
    dialogs: tuple[Dialog, ...]
    counts: DialogCounts
    repetition: Mapping[str, float | None] | None
    language: Mapping[str, float | None] | None
    defects: Mapping[str, int]
    retrieval: Mapping[str, Retrieval]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def asks(self) -> bool:
        """Whether it is made of questions: a file of rewritten queries is not."""
        return self.repetition is not None


@dataclass(frozen=True)
class Difference:
    """One figure of b minus the same figure of a, over the same n images.

    - `a`, `b`: names of runs, or of groups of runs that differ in their seed only
    - `metric`: what is measured; `round`: None for a figure of whole dialogs
    - `retriever`, `corpus`: the label of what ranked, and the corpus's fingerprint; None for a figure of texts
    - `n`: images
    - `delta`: the mean difference, in the metric's own unit: hits, recall and failed dialogs in percentage points,
      ranks in ranks, repeats and tokens per dialog
    - `ci_low`, `ci_high`: the 95% interval of `delta` (`level` is 0.95), the same whatever else is compared; of hits at
      the rounds before the last, of all rounds together
    - `effect`: Cohen's g where single runs are compared by what an image either has or has not (hits, recall, failed
      dialogs), else the mean difference over its standard deviation; None where there is no spread
    - `test`: `mcnemar` or `sign-flip`, None where nothing is tested; `p`: of this test, two-sided, unadjusted
    - `primary`: whether it is in the family that verdicts are about; what follows is of that family only
    - `gate`, `gate_p`: how much more often b ranks targets better at a given round than a, -1 to 1, and its p, without
      which no figure of the best rank so far is decided; None for a figure of texts
    - `p_holm`: the larger of `p` and `gate_p`, 1 where the two disagree about who is better, adjusted by Holm
    - `adjusted_low`, `adjusted_high`: the interval of `delta` at `adjusted_level`, at which Holm's procedure decided
    - `least_p`: the smallest `p_holm` that so many images, and so many targets that only one of the two found, allow
    - `decided`: whether `p_holm` and the adjusted interval both say that there is a difference
    - `withheld`: why a difference that its own test (adjusted by Holm) and its plain interval show is not decided:
      `gate` where it is not shown that the better one ranks targets better at a given round, `gate-opposed` where it is
      shown to rank them worse; else None
    """

    a: str
    b: str
    metric: str
    retriever: str | None
    corpus: str | None
    round: int | None
    n: int
    delta: float
    effect: float | None
    ci_low: float
    ci_high: float
    level: float
    test: str | None
    p: float | None
    p_holm: float | None = None
    primary: bool = False
    decided: bool = False
    gate: float | None = None
    gate_p: float | None = None
    adjusted_low: float | None = None
    adjusted_high: float | None = None
    adjusted_level: float | None = None
    least_p: float | None = None
    withheld: Literal["gate", "gate-opposed"] | None = None


@dataclass(frozen=True)
class RunFigure:
    """A figure of a run, or of a group of seeds, in the metric's own unit, with its 95% interval over images.

    - `chance`: what a target drawn at random from the corpus would give; None where that is not known
    - `between_seeds`: the standard deviation of the seeds' means; None for a single run
    """

    metric: str
    retriever: str | None
    round: int | None
    value: float
    low: float
    high: float
    chance: float | None = None
    between_seeds: float | None = None


@dataclass(frozen=True)
class Summary:
    """What a reader must know of one run, or of one group of runs that differ in their seed only.

    - `name`: of the run or group; `runs`: names, one or several
    - `estimates`: the primary figures, repeats first, then for each retriever Hits@10 at the last round and BRI; those
      that cannot be given are left out
    """

    name: str
    runs: tuple[str, ...]
    estimates: tuple[RunFigure, ...]

    def __getitem__(self, measured: tuple[str, str | None]) -> RunFigure | None:
        """The estimate of a metric by a retriever's label (None for texts), None where it cannot be given."""
        return next((one for one in self.estimates if (one.metric, one.retriever) == measured), None)


@dataclass(frozen=True)
class Verdict:
    """What is concluded of a and b, in one line.

    - `about`: the questioners, or, where more than they differs, only the runs
    - `differs`: what else differs or is not known, a short phrase each
    - `sentence`: begins with the name of b
    """

    a: str
    b: str
    about: Literal["questioners", "runs"]
    differs: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Agreement:
    """How two answerers agree where their runs asked the same question about the same image.

    - `a`, `b`: names of the runs; `questions`: how many they share
    - `exact`: percent of the shared questions with the same normalised answer, with a 95% interval over images,
      `exact_low` to `exact_high`
    - `yes_no`: percent that agree among the `yes_no_questions`, those which both answer by yes or no; `kappa`: Cohen's,
      of these; None where there are none, or chance alone would always agree
    - `words_a`, `words_b`: mean words of the answers to the shared questions
    """

    a: str
    b: str
    questions: int
    exact: float
    exact_low: float
    exact_high: float
    yes_no_questions: int
    yes_no: float | None
    kappa: float | None
    words_a: float
    words_b: float


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in their seed only, under one name, with the seed of each, in the same order.

    spread: how much each primary figure differs from seed to seed.
    """

    name: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    spread: tuple[Spread, ...]


@dataclass(frozen=True)
class Spread:
    """A figure of a group of seeds, in the metric's own unit.

    mean: over the seeds. between_seeds: the standard deviation of the seeds' means. over_images: the standard error of
    the mean over images, nan for a single image. retriever: the label, None for a figure of texts.
    """

    metric: str
    retriever: str | None
    mean: float
    between_seeds: float
    over_images: float


@dataclass(frozen=True)
class FailureBound:
    """What failed dialogs could change: a metric's difference b minus a if each went as badly or as well as it can.

    failed_a, failed_b: failed dialogs among the `targets` that both runs had. low, high: the least and the largest
    difference. retriever: the label, None for a figure of texts.
    """

    a: str
    b: str
    metric: str
    retriever: str | None
    targets: int
    failed_a: int
    failed_b: int
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side.

    - `baseline`: the name of the run (or group) that others are held against
    - `images`: how many are common to all runs; `rounds`: how many are compared; `ks`: ranks that count as a hit
    - `runs`: in the order of their files; `groups`: those of them that differ in their seed only
    - `summaries`: the primary figures of each run or group of seeds, in the order of `runs`
    - `differences`: primary ones first, then what is only described; `verdicts`: one for each pair
    - `agreements`: of the answers, for each pair of runs that share questions
    - `bounds`: what failed dialogs could change, where some failed
    - `notes`: what a reader must know, a line each
    - `method`: how was tested, in a paragraph; `tests`: how many tests p is adjusted for
    - `worst`: for each run the places (in its `dialogs`) of its dialogs with most repeats, as many as were asked for
    """

    baseline: str
    images: int
    rounds: int
    ks: tuple[int, ...]
    runs: tuple[ComparedRun, ...]
    groups: tuple[SeedGroup, ...]
    summaries: tuple[Summary, ...]
    differences: tuple[Difference, ...]
    verdicts: tuple[Verdict, ...]
    agreements: tuple[Agreement, ...]
    bounds: tuple[FailureBound, ...]
    notes: tuple[str, ...]
    method: str
    tests: int
    worst: Mapping[str, tuple[int, ...]]

    def __repr__(self) -> str:
        """What was compared, and a line for each verdict."""
        names = [run.name for run in self.runs]
        told = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        extent = f"{self.images:,} images, {self.rounds} rounds, baseline {self.baseline}"
        lines = [f"Comparison of {len(names)} runs ({told}): {extent}", *(one.sentence for one in self.verdicts)]
        return "\n  ".join(map(printable, lines))

    @cached_property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The same as pandas frames, with the names and units of `compare --format json`. A row stands for

        - `summary`: a run or group of seeds, a retriever and a primary figure
        - `runs`: a run
        - `curves`: a run, retriever, measure and round
        - `differences`: a pair and a measure
        - `answers`: a pair of runs that share questions
        - `dialogs`: a run and a dialog
        - `ranks`: a run, retriever, dialog and round
        """
        from chatir.compare.tables import frames

        return {
            "summary": frames.summary_frame(self),
            "runs": frames.runs_frame(self),
            "curves": frames.curves_frame(self),
            "differences": frames.differences_frame(self),
            "answers": frames.agreements_frame(self),
            "dialogs": frames.dialogs_frame(self),
            "ranks": frames.ranks_frame(self),
        }
