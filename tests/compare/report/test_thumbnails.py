"""Which pictures a report holds, and from where they come."""

from __future__ import annotations

import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from compare.report.reports import pictures, two_runs, with_retrieval
from PIL import Image

from chatir.compare.report.thumbnails import SIDE, most_telling, thumbnails_of
from chatir.measures.retrieval_by_dialog import last_ranks


def with_ranks(first, second):
    """Two runs with these ranks [rounds + 1, dialogs]."""
    ranks = iter((np.array(first), np.array(second)))
    comparison = two_runs(np.shape(first)[1])
    return with_retrieval(comparison, ranks=lambda found: next(ranks), top=lambda found: None)


def test_most_telling_are_the_largest_factors_of_change_or_difference():
    # By factors: the first changes by 10, the second by 100, the third by 5, but it then differs by 25.
    comparison = with_ranks([[10, 1000, 20], [1, 10, 100]], [[10, 1000, 20], [10, 1000, 4]])
    assert most_telling(comparison) == [1, 2, 0]


def test_equally_telling_targets_stay_in_order():
    assert most_telling(with_ranks([[2, 2, 2], [1, 1, 1]], [[2, 2, 2], [1, 1, 1]])) == [0, 1, 2]


def test_without_ranks_repeats_tell_most():
    comparison = two_runs()
    runs = [run.counts.repeats for run in comparison.runs]
    order = most_telling(with_no_ranks(comparison))
    assert np.max(runs, axis=0)[order].tolist() == sorted(np.max(runs, axis=0).tolist(), reverse=True)


def with_no_ranks(comparison):
    return replace(comparison, runs=tuple(replace(run, retrieval={}) for run in comparison.runs))


def test_the_last_rank_of_a_stopped_dialog_is_that_of_its_end():
    assert last_ranks(np.array([[9, 8], [3, 7], [0, 6]])).tolist() == [3, 6]


def test_pictures_are_of_the_targets_asked_for_and_of_their_best_images(tmp_path):
    comparison = two_runs()
    shown = thumbnails_of(comparison, pictures(tmp_path / "images", comparison), 4, pytest.fail)
    assert shown.targets == tuple(most_telling(comparison)[:4])
    expected = {comparison.runs[0].dialogs[place].image for place in shown.targets}
    for run in comparison.runs:
        expected |= {
            image for place in shown.targets for best in run.retrieval["CLIP"].top[place] for image in best[:5]
        }
    assert set(shown.pictures) == expected


def test_a_picture_is_small_and_keeps_its_shape(tmp_path):
    comparison = two_runs()
    root = pictures(tmp_path / "images", comparison)
    Image.new("RGB", (960, 480), "red").save(root / "0.jpg")
    address = thumbnails_of(comparison, root, 60, pytest.fail).pictures["0.jpg"]
    kind, content = address.split(";base64,")
    assert kind == "data:image/webp"
    assert Image.open(BytesIO(base64.b64decode(content))).size == (SIDE, SIDE // 2)


def test_without_a_folder_or_targets_nothing_is_read(tmp_path):
    comparison = two_runs()
    assert thumbnails_of(comparison, None, 10, pytest.fail).pictures == {}
    assert thumbnails_of(comparison, tmp_path / "none", 0, pytest.fail).pictures == {}


def test_a_broken_image_is_a_placeholder_and_all_of_them_one_note(tmp_path):
    comparison = two_runs()
    root = pictures(tmp_path / "images", comparison)
    (root / "other3.png").write_bytes(b"no image")
    (root / "other4.png").unlink()
    notes = []
    shown = thumbnails_of(comparison, root, 60, notes.append)
    assert [image for image, address in shown.pictures.items() if address is None] == ["other3.png", "other4.png"]
    assert len(notes) == 1
    assert "other3.png" in notes[0]
    assert "1 more" in notes[0]


def test_nothing_outside_of_the_folder_is_opened(tmp_path):
    comparison = two_runs(3)
    root = pictures(tmp_path / "images", comparison)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    outside = ("../secret.png", str(tmp_path / "secret.png"), "link.png", "0.jpg", "1.jpg")
    dialogs = with_retrieval(
        comparison, top=lambda found: tuple(tuple(outside for _ in dialog) for dialog in found.top)
    )
    notes = []
    shown = thumbnails_of(dialogs, root, 3, notes.append)
    assert [image for image, address in shown.pictures.items() if address is None] == list(outside[:3])
    assert len(notes) == 1


def test_a_folder_with_none_of_the_images_gives_a_report_without_pictures(tmp_path):
    notes = []
    shown = thumbnails_of(two_runs(), tmp_path, 60, notes.append)
    assert (shown.targets, shown.pictures) == ((), {})
    assert len(notes) == 1
