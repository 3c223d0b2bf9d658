"""`make evaluate`: the figures of a card are those that are measured, or it says which card is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chatir.datasets.scenes.language import Question
from chatir.datasets.scenes.world import Scene, Thing
from chatir.dialog import Dialog, Round
from chatir.models.builtin import checkpoints
from tools.scene_models import evaluate
from tools.scene_models.measures import _counted_in, held_out_scenes, recall_at_10
from tools.scene_models.players import first_unasked

CARD = "# A model\n\n<!-- figures -->\n| 95.0 | new |\n<!-- end of figures -->\n\n## Limits\n"
STAR = Scene("white", (Thing("star", "red", "small", "top left"),))


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "README.md").write_text(CARD)
    monkeypatch.setattr(evaluate, "checkpoints", lambda: {"blip2": tmp_path})
    monkeypatch.setattr(evaluate, "measured", lambda folders: iter([("blip2", "| 93.1 | new |\n")]))
    return tmp_path / "README.md"


def test_a_card_that_shows_other_figures_is_named_and_left_alone(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([]) == 1
    assert "the model cards show other figures: blip2" in capsys.readouterr().out
    assert card.read_text() == CARD


def test_written_figures_are_found_again_and_nothing_else_changes(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--write"]) == 0
    assert card.read_text() == CARD.replace("95.0", "93.1")
    assert evaluate.main([]) == 0
    assert capsys.readouterr().out.endswith("the model cards show these figures\n")


def test_figures_are_a_mean_and_a_range() -> None:
    runs = [{"clip/0": 10.0, "reader/0": 11.0}, {"clip/0": 12.0, "reader/0": 11.0}]
    runs = [{**run, **{f"{who}/{n}": 50.0 for who in ("clip", "reader") for n in range(1, 11)}} for run in runs]
    table = evaluate.retrieval_table(runs)
    assert "| 0 | 11.0 (10.0 to 12.0) | 11.0 (11.0 to 11.0) |" in table
    assert len(table.splitlines()) == 2 + 11


def test_tables_are_the_same_within_what_differs_between_machines() -> None:
    assert evaluate.same("| a | 98.1 (97.9 to 98.3) |", "| a | 98.4 (97.9 to 98.3) |")
    assert not evaluate.same("| a | 98.1 (97.9 to 98.3) |", "| a | 98.7 (97.9 to 98.3) |")
    assert not evaluate.same("| a | 98.1 |", "| b | 98.1 |")
    assert evaluate.same("| repeats | 6.51 |", "| repeats | 6.58 |")
    assert not evaluate.same("| repeats | 6.51 |", "| repeats | 6.71 |")


def test_a_card_without_its_marks_is_refused(tmp_path: Path) -> None:
    for text in ("# A model\n", CARD.replace("<!-- figures -->", ""), CARD.replace("<!-- end of figures -->", "")):
        (tmp_path / "README.md").write_text(text)
        with pytest.raises(ValueError, match="must hold"):
            evaluate.split_card(tmp_path / "README.md")


@pytest.mark.slow
def test_a_little_of_every_measure_gives_the_tables_of_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(table: str) -> list[str]:
        return [line.split(" | ")[0] for line in table.splitlines()]

    small = {"SEEDS": (1,), "SCENES_TO_ANSWER": 4, "SCENES_TO_SEARCH": 60, "SCENES_TO_ASK_ABOUT": 4}
    for name, value in small.items():
        monkeypatch.setattr(evaluate, name, value)
    tables = dict(evaluate.measured(checkpoints()))
    assert set(tables) == set(checkpoints())
    for name, table in tables.items():
        _, shown, _ = evaluate.split_card(checkpoints()[name] / "README.md")
        assert rows(table) == rows(shown)
        assert all(" to " in line for line in shown.splitlines()[2:])


def test_recall_counts_the_ten_best_and_equal_scores_rank_in_order() -> None:
    scores = torch.zeros(20, 20)
    assert recall_at_10(scores) == 50.0
    assert recall_at_10(torch.eye(20)) == 100.0
    assert recall_at_10(-torch.eye(20)) == 0.0


def test_scenes_of_an_evaluation_are_held_out_and_differ_by_seed() -> None:
    one, other = held_out_scenes(1, 50), held_out_scenes(2, 50)
    assert all(scene.held_out for scene in one + other)
    assert one != other


@pytest.mark.parametrize(
    ("question", "there"),
    [
        (Question("shape", "star"), True),
        (Question("shape", "heart"), False),
        (Question("color", "star"), True),
        (Question("color", "heart"), False),
        (Question("content", "top left"), True),
        (Question("content", "center"), False),
        (Question("any color", "red"), True),
        (Question("any color", "blue"), False),
    ],
)
def test_what_is_there_is_counted_apart(question: Question, there: bool) -> None:
    assert _counted_in(question, STAR, unseen=False)[2:] == ([f"there/{question.kind}", "there/all"] if there else [])
    assert _counted_in(question, STAR, unseen=True) == [f"unseen/{question.kind}", "unseen/all"]


def test_the_first_unasked_beam_is_taken_and_the_first_of_all_when_none_is_new() -> None:
    dialog = Dialog("x", "a star", (Round("Is there a heart?", "no"), Round("where is it?", "center")))
    assert first_unasked(["is there a heart?", "how many?", "where is it?"], dialog) == "how many?"
    assert first_unasked(["is there a heart?", "where is it?"], dialog) == "is there a heart?"
