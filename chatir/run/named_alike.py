"""One name for each image, so that runs whose files write the same path differently (`./a.png`, `a.png`) meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chatir.storage.image_names import dialog_key, image_key

if TYPE_CHECKING:
    from chatir.run.runs import Record, Run


def named_by_keys(run: Run) -> Run:
    """A run whose images are named by `image_key`, and its dialogs that are known by their images too."""
    images = {dialog.id: dialog.image for dialog in run.dialogs} | (dict(run.record.images) if run.record else {})
    keys = {id_: dialog_key(id_, image) for id_, image in images.items()}
    if all(id_ == keys[id_] and image == image_key(image) for id_, image in images.items()):
        return run
    dialogs = tuple(replace(one, id=keys[one.id], image=image_key(one.image)) for one in run.dialogs)
    return replace(run, dialogs=dialogs, record=run.record and _record(run.record, keys))


def _record(record: Record, keys: dict[str, str]) -> Record:
    return replace(
        record,
        digests={keys[id_]: digest for id_, digest in record.digests.items()},
        images={keys[id_]: image_key(image) for id_, image in record.images.items()},
        failed=tuple(replace(one, id=keys[one.id]) for one in record.failed),
        lost=frozenset(keys[id_] for id_ in record.lost),
        rankings=tuple(
            ranked._replace(ranks={keys[id_]: ranks for id_, ranks in ranked.ranks.items()})
            for ranked in record.rankings
        ),
    )
