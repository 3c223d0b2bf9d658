"""Runs whose files write the same paths differently are compared as what they are: about the same images."""

from __future__ import annotations

from pathlib import Path

from compare.made_runs import CLIP, made_run

from chatir import Dialog
from chatir.compare import compare
from chatir.run.runs import read_runs

PLAIN = ["a/0.jpg", "a/1.jpg", "caf\u00e9.jpg", "a/3.jpg"]
WRITTEN = ["./a/0.jpg", "a\\1.jpg", "cafe\u0301.jpg", "a//3.jpg"]


def targets(names: list[str]) -> list[Dialog]:
    return [Dialog(name, f"a picture of {number} things") for number, name in enumerate(names)]


def test_runs_over_other_spellings_have_all_dialogs_in_common(tmp_path: Path) -> None:
    ranks = [(CLIP, lambda dialog: (9, 5, 4, 1))]
    files = [
        made_run(tmp_path, "plain", targets=targets(PLAIN), ranks=ranks, failing=["a/3.jpg"]),
        made_run(tmp_path, "written", targets=targets(WRITTEN), ranks=ranks, failing=["./a/0.jpg"]),
    ]
    found = compare(files)
    assert found.images == 2
    assert [[dialog.image for dialog in run.dialogs] for run in found.runs] == [["a/1.jpg", "caf\u00e9.jpg"]] * 2
    assert all(run.retrieval for run in found.runs)
    (failed,) = [each for each in found.differences if each.metric == "failed_dialogs"]
    assert failed.n == 4


def test_a_run_names_its_images_in_one_way_wherever_it_tells_of_them(tmp_path: Path) -> None:
    file = made_run(
        tmp_path, "x", targets=targets(WRITTEN), ranks=[(CLIP, lambda _: (1, 1, 1, 1))], failing=["a//3.jpg"]
    )
    (run,) = read_runs([file], print)
    assert run.record is not None
    assert [dialog.id for dialog in run.dialogs] == [dialog.image for dialog in run.dialogs] == PLAIN[:3]
    assert list(run.record.digests) == list(run.record.images) == list(run.record.images.values()) == PLAIN
    assert [failed.id for failed in run.record.failed] == PLAIN[3:]
    assert list(run.record.rankings[0].ranks) == PLAIN[:3]


def test_captions_of_one_image_written_in_two_ways_are_taken_together(tmp_path: Path) -> None:
    several = [Dialog("./a.jpg", "one", id="1"), Dialog("a.jpg", "two", id="2"), Dialog("b.jpg", "three", id="3")]
    found = compare([made_run(tmp_path, name, targets=several) for name in ("x", "y")])
    assert found.images == 2
    assert [dialog.id for dialog in found.runs[0].dialogs] == ["1", "2", "3"]
