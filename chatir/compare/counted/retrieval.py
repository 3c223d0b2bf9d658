"""How well each run's targets are found: the ranks that its run file holds, as curves with simultaneous bands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chatir.compare.statistics.resampling import log_band, max_t_band, resampled_means
from chatir.compare.statistics.streams import Stream
from chatir.console import printable
from chatir.dialog import Dialog
from chatir.measures.names import PRIMARY_HITS
from chatir.measures.ranks import DialogRanks, rank_table
from chatir.measures.retrieval import Figures, Ranks, chance_of_hits, chance_of_recall, truncated_share
from chatir.measures.retrieval_by_dialog import by_dialog, image_sizes, per_image
from chatir.run.ranking_labels import ranking_labels
from chatir.run.ranks import Ranking
from chatir.run.runs import Run

BAND_RESAMPLES = 2_000
LEVEL = 0.95

DEFAULT_SEARCH = ("--retriever", "clip")
"""What to type where nobody has ranked anything: a retriever and the released corpus, which need no further option."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A measure of retrieval, round by round: values [rounds + 1], nan where they cannot be given.

    low, high: a simultaneous 95% band of all rounds together [rounds + 1].
    """

    values: Figures
    low: Figures
    high: Figures


@dataclass(frozen=True, eq=False)
class Retrieval:
    """How one retriever found a run's targets in one corpus.

    - `ranking`: the retriever with all that fixes its vectors, and the corpus
    - `ranks`: 1-based [rounds + 1, dialogs], 0 beyond the end of a dialog
    - `curves`: `hits@K` and `recall@K` (percent) for each K, `atr`, `mrr`, means over dialogs; `bri`: one figure
    - `chance`: what `hits@K` and `recall@K` (percent) would be if targets were drawn at random from the corpus
      [rounds + 1], nan where the best images were not kept
    - `truncated`: percent of dialogs whose text is longer than the retriever reads [rounds + 1], None if it cannot tell
    - `top`: the best images of each dialog after each round, best first, None where they were not kept
    """

    ranking: Ranking
    ranks: Ranks
    curves: Mapping[str, Curve]
    bri: float
    chance: Mapping[str, Figures]
    truncated: Figures | None = None
    top: tuple[tuple[tuple[str, ...], ...], ...] | None = None


def retrievals(
    runs: Sequence[Run],
    dialogs: Sequence[Sequence[Dialog]],
    rounds: int,
    ks: Sequence[int],
    seed: int,
    note: Callable[[str], None],
) -> list[dict[str, Retrieval]]:
    """For each run, by label, how its dialogs (those that are compared) were ranked, up to so many rounds.

    ks: ranks that count as a hit. seed: of the bands' resampling. note: called with a line for ranks that are missing,
    and how to get them.
    """
    known = [run.record.rankings if run.record else () for run in runs]
    labels = ranking_labels([one.ranking for rankings in known for one in rankings])
    found: list[dict[str, Retrieval]] = []
    for some, rankings in zip(dialogs, known, strict=True):
        complete = [one for one in rankings if all(dialog.id in one.ranks for dialog in some)]
        found.append(
            {
                labels[one.ranking.key]: _retrieval(
                    one.ranking, some, [one.ranks[dialog.id] for dialog in some], rounds, ks, seed
                )
                for one in complete
            }
        )
    typed: dict[str, Sequence[str]] = dict.fromkeys(labels.values(), ())
    for one in (one for rankings in known for one in rankings):
        typed[labels[one.ranking.key]] = typed[labels[one.ranking.key]] or one.provenance.get("typed", ())
    _tell_of_missing(runs, found, typed, note)
    _tell_of_unknown_chance(runs, found, typed, note)
    return found


def _tell_of_missing(
    runs: Sequence[Run],
    found: Sequence[Mapping[str, Retrieval]],
    typed: Mapping[str, Sequence[str]],
    note: Callable[[str], None],
) -> None:
    """Name the runs that a retriever has not ranked, and the line that does it: as it was typed for the others."""
    if not typed:
        note(f"no run has ranks, so there is no Hits@K and no BRI; to rank them: {_score_line(runs, DEFAULT_SEARCH)}")
    for label, words in typed.items():
        missing = [run for run, own in zip(runs, found, strict=True) if label not in own]
        if missing:
            names = ", ".join(printable(run.name) for run in missing)
            line = _score_line(missing, words) if words else "'chatir score' ranks them, typed as for the others"
            note(f"{printable(label)}: no ranks, or not of all dialogs, in {names}: {line}")


def _tell_of_unknown_chance(
    runs: Sequence[Run],
    found: Sequence[Mapping[str, Retrieval]],
    typed: Mapping[str, Sequence[str]],
    note: Callable[[str], None],
) -> None:
    """Name the runs whose ranks were made before ten best images were kept, and the line that ranks them again."""
    for label, words in typed.items():
        unknown = [
            run
            for run, own in zip(runs, found, strict=True)
            if label in own and np.isnan(own[label].chance[PRIMARY_HITS]).any()
        ]
        if unknown:
            names = ", ".join(printable(run.name) for run in unknown)
            line = _score_line(unknown, words) if words else "'chatir score', typed as before, ranks them again"
            note(f"{printable(label)}: no chance line for {names}, ranked by chatir 0.1: {line}")


def _score_line(runs: Sequence[Run], search: Sequence[str]) -> str:
    return printable(shlex.join(["chatir", "score", *(str(run.file) for run in runs), *search]))


def _retrieval(
    ranking: Ranking,
    dialogs: Sequence[Dialog],
    found: Sequence[DialogRanks],
    rounds: int,
    ks: Sequence[int],
    seed: int,
) -> Retrieval:
    ranks, images = rank_table(found, rounds), [dialog.image for dialog in dialogs]
    chance = {f"recall@{k}": np.full(rounds + 1, chance_of_recall(k, ranking.images)) for k in ks}
    for k in ks:
        drawn = chance_of_hits([one.top for one in found], k, ranking.images, rounds)
        chance[f"hits@{k}"] = drawn.mean(axis=1)
    measures = [*(f"hits@{k}" for k in ks), *(f"recall@{k}" for k in ks), "atr", "mrr"]
    measured = {measure: by_dialog(measure, ranks) for measure in measures}
    return Retrieval(
        ranking=ranking,
        ranks=ranks,
        curves=_curves(measured, images, ranking.images, seed),
        bri=float(by_dialog("bri", ranks).mean()),
        chance=chance,
        truncated=truncated_share(ranks, [one.truncated for one in found]),
        top=tuple(one.top[: rounds + 1] for one in found if one.top) if all(one.top for one in found) else None,
    )


def _curves(measured: Mapping[str, Figures], images: Sequence[str], corpus: int, seed: int) -> dict[str, Curve]:
    """Each measure [dialogs, rounds + 1] as a curve; the same images are drawn for all of them."""
    values = per_image(np.concatenate(list(measured.values()), axis=1), images)
    given = ~np.isnan(values).any(axis=0)
    means = np.full((BAND_RESAMPLES, values.shape[1]), np.nan)
    rng = Stream.CURVE_BANDS.generator(seed)
    sizes = image_sizes(images)
    means[:, given] = resampled_means(values[:, given], BAND_RESAMPLES, rng, sizes)
    curves, start = {}, 0
    for name, own in measured.items():
        columns = np.arange(start, start := start + own.shape[1])
        curves[name] = _curve(name, values[:, columns], means[:, columns], corpus, sizes)
    return curves


def _curve(name: str, values: Figures, means: Figures, images: int, sizes: Figures | None) -> Curve:
    """One measure with its band, which holds nothing that cannot be. images: how many the corpus has."""
    mean, low, high = (np.full(values.shape[1], np.nan) for _ in range(3))
    given = ~np.isnan(values).any(axis=0)
    mean[given] = values[:, given].mean(axis=0)
    if given.any():
        band = log_band if name in ("atr", "mrr") else max_t_band
        low[given], high[given] = band(values[:, given], means[:, given], LEVEL, sizes)
    least, most = {"atr": (1, images), "mrr": (1 / images, 1)}.get(name, (0, 100))
    return Curve(mean, low.clip(least, most), high.clip(least, most))
