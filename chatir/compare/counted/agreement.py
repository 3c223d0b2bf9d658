"""Agreement: whether two answerers said the same where they were asked the same about the same image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from chatir.compare.comparison import Agreement
from chatir.compare.statistics.resampling import percentile_interval, resampled_means
from chatir.dialog import Dialog
from chatir.measures.questions import LEAKED_LABEL, bare, folded, normalised_question

YES = frozenset({"yes", "yeah", "yea", "yep", "yup"})
"""First words that answer by yes."""
NO = frozenset({"no", "nope", "nah"})
"""First words that answer by no. "not really" and "not sure" are neither."""

_SAID = {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False)}

Pair = tuple[str, str]


def agreement(
    a_name: str,
    a: Sequence[Dialog],
    b_name: str,
    b: Sequence[Dialog],
    rng: np.random.Generator,
    resamples: int = 10_000,
) -> Agreement | None:
    """How the answers of two runs agree on their shared questions; None where they share none.

    a, b: dialogs about the same images, in the same order, of the runs a_name and b_name; ValueError otherwise. Shared:
    the same normalised question about the same image; the k-th time that one run asks it is held against the k-th time
    of the other. Questions without words do not count, nor those which one of the two left without an answer, nor those
    with a leaked label in an answer: nobody can tell there where the questioner's text ends and the answer begins.

    The interval is a percentile bootstrap of so many resamples, by chance from rng, that draws images, each with all of
    its shared questions, so that questions about one image are not taken for independent; with a single image it says
    nothing and runs from 0 to 100. An answer is by yes or no if its first word is in `YES` or `NO`, whatever follows.
    """
    if [dialog.image for dialog in a] != [dialog.image for dialog in b]:
        raise ValueError(f"the dialogs of {a_name} and {b_name} are not about the same images in the same order")
    both = zip(a, b, strict=True)
    pairs = [(one.image, shared) for one, other in both if (shared := list(_shared_answers(one, other)))]
    if not pairs:
        return None
    by_image: dict[str, list[int]] = {}
    for image, some in pairs:
        same, asked = by_image.setdefault(image, [0, 0])
        by_image[image] = [same + sum(map(_same, some)), asked + len(some)]
    counts = np.array(list(by_image.values()))
    low, high = _interval(counts, rng, resamples)
    spoken = [pair for _, some in pairs for pair in some]
    decided = [(one, other) for one, other in map(_yes_no, spoken) if one is not None and other is not None]
    return Agreement(
        a=a_name,
        b=b_name,
        questions=len(spoken),
        exact=100 * float(counts[:, 0].sum() / counts[:, 1].sum()),
        exact_low=low,
        exact_high=high,
        yes_no_questions=len(decided),
        yes_no=100 * sum(one == other for one, other in decided) / len(decided) if decided else None,
        kappa=cohens_kappa(decided),
        words_a=sum(len(one.split()) for one, _ in spoken) / len(spoken),
        words_b=sum(len(other.split()) for _, other in spoken) / len(spoken),
    )


@lru_cache(maxsize=2**16)
def normalised_answer(answer: str) -> str:
    """An answer as it is compared with others: Unicode NFKC, casefold, punctuation dropped, white space collapsed."""
    return bare(folded(answer))


def cohens_kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Agreement of two raters beyond chance, 1 at most; None where chance alone would always agree, or of nothing.

    Cohen (1960), A coefficient of agreement for nominal scales.
    """
    if not pairs:
        return None
    said = np.array(pairs)
    share = said.mean(axis=0)
    chance = float(share.prod() + (1 - share).prod())
    observed = float((said[:, 0] == said[:, 1]).mean())
    return (observed - chance) / (1 - chance) if chance < 1 else None


def _shared_answers(a: Dialog, b: Dialog) -> Iterator[Pair]:
    """What the two answered to each question that they share."""
    others = _answers(b)
    for question, answers in _answers(a).items():
        for one, other in zip(answers, others.get(question, []), strict=False):
            if _is_answer(one) and _is_answer(other):
                yield one, other


def _answers(dialog: Dialog) -> dict[str, list[str]]:
    """The answers to each normalised question, in the order in which it was asked."""
    answers = defaultdict(list)
    for one in dialog.rounds:
        if question := normalised_question(one.question):
            answers[question].append(one.answer)
    return answers


def _is_answer(text: str) -> bool:
    return bool(normalised_answer(text)) and LEAKED_LABEL.search(text) is None


def _same(pair: Pair) -> bool:
    one, other = map(normalised_answer, pair)
    return one == other


def _yes_no(pair: Pair) -> tuple[bool | None, bool | None]:
    """For both answers, whether it is by yes; None for one that is neither by yes nor by no."""
    one, other = (normalised_answer(answer).split()[0] for answer in pair)
    return _SAID.get(one), _SAID.get(other)


def _interval(shared: NDArray[np.int64], rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    """The 95% interval of 100 * same / asked, the columns of shared[images, 2], each summed over images drawn anew."""
    if len(shared) == 1:
        return 0.0, 100.0
    same, asked = resampled_means(shared, resamples, rng).T
    low, high = percentile_interval(100 * (same / asked), 0.95)
    return float(low), float(high)
