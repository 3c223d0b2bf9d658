"""Small pictures for the browser of dialogs: of the targets that tell most, and of the images ranked best for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np

from chatir.compare.comparison import Comparison
from chatir.compare.report.inert import data_uri
from chatir.measures.retrieval import Figures, Ranks
from chatir.measures.retrieval_by_dialog import last_ranks
from chatir.storage.image_folder import ImageError, ImageFolder
from chatir.storage.image_names import image_key

SIDE = 96
"""The longer side of a picture, in pixels."""

QUALITY = 60

BEST = 5
"""Images that are shown after each round, at most."""


@dataclass(frozen=True)
class Thumbnails:
    """Small pictures of some targets, and of the images found for them.

    targets: the places of the targets. pictures: data addresses by image, None for an image that cannot be shown.
    """

    targets: tuple[int, ...] = ()
    pictures: Mapping[str, str | None] = field(default_factory=dict)


def thumbnails_of(comparison: Comparison, root: Path | None, targets: int, note: Callable[[str], None]) -> Thumbnails:
    """Pictures of the most telling targets, as many as asked for, and of the best images of their dialogs.

    They are read below `root`; nothing outside of it is opened. note: called with one line if some cannot be shown.
    """
    if root is None or targets < 1:
        return Thumbnails()
    places = most_telling(comparison)[:targets]
    images = list(dict.fromkeys(map(image_key, _shown(comparison, places))))
    folder = ImageFolder(root)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # Pillow decodes outside of the interpreter's lock
        made = list(threads.map(lambda image: _thumbnail(folder, image), images))
    problems = [problem for _, problem in made if problem]
    some = len(problems) < len(made)
    if problems:
        others = f" (and {len(problems) - 1} more images)" if len(problems) > 1 else ""
        note(f"{problems[0]}{others}: {'the report has placeholders' if some else 'the report has no pictures'}")
    if not some:
        return Thumbnails()
    return Thumbnails(tuple(places), {image: address for image, (address, _) in zip(images, made, strict=True)})


def most_telling(comparison: Comparison) -> list[int]:
    """The places of all targets, most telling first: those whose rank changes most, or differs most between runs.

    Both are factors: from rank 1,000 to 10 is as much as from 100 to 1. Without ranks, those with most repeats.
    """
    ranked: dict[str, list[Ranks]] = {}
    for run in comparison.runs:
        for label, found in run.retrieval.items():
            ranked.setdefault(label, []).append(found.ranks)
    if ranked:
        telling = np.max([_factors(ranks) for ranks in ranked.values()], axis=0)
    else:
        telling = np.max([run.counts.repeats * run.asks for run in comparison.runs], axis=0)
    return [int(place) for place in np.argsort(-telling, kind="stable")]


def _factors(runs: Sequence[Ranks]) -> Figures:
    """The logarithm of the factor by which the rank of each target changes in a run, or differs between runs."""
    first = np.log([ranks[0] for ranks in runs])
    last = np.log([last_ranks(ranks) for ranks in runs])
    return np.asarray(np.maximum(np.abs(last - first).max(axis=0), np.ptp(last, axis=0)))


def _shown(comparison: Comparison, places: Sequence[int]) -> Iterator[str]:
    """The images of the targets at these places, and those ranked best for them."""
    for run in comparison.runs:
        yield from (run.dialogs[place].image for place in places)
        for found in run.retrieval.values():
            if found.top is not None:
                yield from (image for place in places for best in found.top[place] for image in best[:BEST])


def _thumbnail(folder: ImageFolder, image: str) -> tuple[str | None, str | None]:
    """A picture's address, or what is wrong with it."""
    try:
        picture = folder.open(image)
        picture.thumbnail((SIDE, SIDE))
        with BytesIO() as file:
            picture.save(file, "WEBP", quality=QUALITY)
            return data_uri("image/webp", file.getvalue()), None
    except ImageError as error:
        return None, str(error)
