"""What a run lacks is told at once, before a player is built or anything is asked, as a user types it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer
from players import said

from chatir import Dialog
from chatir.cli import run
from chatir.commands.doctoring import weights
from chatir.commands.doctoring.readiness import Wanted, look
from chatir.commands.doctoring.weights import NoDownload, no_download
from chatir.datasets.data_folder import default_targets
from chatir.datasets.scenes.folder import write_scenes
from chatir.models.builtin import checkpoints
from chatir.simulate import write_dialogs

Bare = Callable[..., tuple[int, list[str], str]]
HEAVY = ("torch", "transformers", "pandas", "scipy")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """Type a command on a machine without keys, data and weights; gives the code, the lines on stderr and stdout."""

    def type_in(*arguments: str, **environment: str) -> tuple[int, list[str], str]:
        hidden = ("OPENAI_", "HF_", "CHATIR_", "HTTP_", "HTTPS_", "ALL_", "http_", "https_", "all_", "TRANSFORMERS_")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        ours |= {"CHATIR_DATA": str(tmp_path / "data"), "HF_HOME": str(tmp_path / "hub")} | environment
        code = (
            f"import sys, json; from chatir.cli import run; code = run({arguments!r});"
            f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))"
        )
        (tmp_path / "work").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / "work", env=ours, capture_output=True, text=True, check=True
        )
        *out, last = done.stdout.splitlines()
        code, heavy = json.loads(last)
        assert heavy == [], "a list of what is missing needs none of these"
        return code, done.stderr.splitlines(), "\n".join(out)

    return type_in


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which a server listens, that nobody may ask."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_bare_machine_is_told_every_gap_at_once_and_asks_nobody(bare: Bare, tmp_path: Path, nobody: str) -> None:
    code, lines, out = bare(
        "simulate", "--questioner", "chatgpt", "--answerer", "blip2", HF_HUB_OFFLINE="1", HF_ENDPOINT=nobody
    )
    assert (code, out) == (2, "")
    key, weights, images, targets, last = lines
    assert "wants a key: put it into the environment, as OPENAI_API_KEY" in key
    assert "answerer 'blip2' needs Salesforce/blip2-flan-t5-xxl, a download of 24 to 48 GB or more, and " in weights
    assert weights.endswith("HF_HUB_OFFLINE is set: unset HF_HUB_OFFLINE, or -a model=scenes:blip2")
    assert "answerer 'blip2' looks at the images: 'chatir fetch images' brings them, or name --images DIR" in images
    assert "VisDial_v1.0_queries_val.json: is not there; 'chatir fetch' brings it" in targets
    assert last == "chatir: 4 things stand in the way; 'chatir doctor' tells more"
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    ("players", "told"),
    [
        (
            ("unanswered", "-q", "backend=hf", "-q", "model=a/b", "-q", "decode=sample"),
            "needs a/b, a download of unkno",
        ),
        (("unanswered", "-q", "questions=3"), "wants a key: put it into the environment, as OPENAI_API_KEY"),
        (("chatgpt", "-q", "key_env=MINE", "-q", "base_url=http://127.0.0.1:9/v1"), "wants a key: .* as MINE"),
        (("hf", "-q", "model=/no/such/folder"), "/no/such/folder: there is no such folder"),
        (("pool", "-q", "file=/no/such/file"), "/no/such/file: no such file or directory"),
    ],
)
def test_options_count_and_a_gap_alone_is_the_error(bare: Bare, tmp_path: Path, players: str, told: str) -> None:
    write_dialogs(tmp_path / "t.json", [Dialog("a.jpg", "a cat", said("is it black? no"))])
    answerer = ("--answerer", "blip2", "-a", "model=scenes:blip2", "--images", str(tmp_path))
    files = ("--targets", str(tmp_path / "t.json"))
    code, lines, _ = bare("simulate", "--questioner", *players, *answerer, *files, HF_HUB_OFFLINE="1")
    assert code == 2
    assert len(lines) == 1
    assert re.search(told, lines[0])


def test_what_searching_lacks_is_told_with_the_rest(bare: Bare, tmp_path: Path) -> None:
    search = ("--retriever", "chatir", "-r", "checkpoint=no.ckpt", "--corpus", "no.json")
    code, lines, _ = bare("score", "x.json", *search, HF_HUB_OFFLINE="1")
    assert code == 2
    assert lines[0] == "chatir: no.ckpt: no such file or directory"
    assert "retriever 'chatir' needs the tokenizer bert-base-uncased, and HF_HUB_OFFLINE is set" in lines[1]
    assert lines[2:] == [
        "chatir: x.json: no such file or directory",
        "chatir: no.json: no such file or directory",
        "chatir: 4 things stand in the way; 'chatir doctor' tells more",
    ]
    simulated = ("simulate", "--questioner", "human", "--answerer", "blip2", "-a", "backend=lavis")
    code, lines, _ = bare(*simulated, *search, HF_HUB_OFFLINE="1")
    assert [line.split(": ")[1][:20] for line in lines[:2]] == ["LAVIS has no environ", "answerer 'blip2' loo"]
    assert lines[-1] == "chatir: 6 things stand in the way; 'chatir doctor' tells more"


def test_names_and_options_that_are_wrong_are_no_gaps(bare: Bare) -> None:
    for wrong, told in (
        (("--questioner", "chatgpd"), "did you mean 'chatgpt'?"),
        (("--questioner", "chatgpt", "-q", "heat=1"), "has no option 'heat'"),
        (("--questioner", "chatgpt", "-q", "prompt=few-short"), "few-short"),
    ):
        code, lines, _ = bare("simulate", *wrong, "--answerer", "blip2", HF_HUB_OFFLINE="1")
        assert (code, len(lines)) == (2, 1)
        assert told in lines[0]


def test_a_run_says_once_that_it_leaves_a_gpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    write_scenes(Path("scenes"), 2, 0)
    for name, folder in checkpoints().items():
        shutil.copytree(folder, name)
    files = ("--targets", "scenes/targets.json", "--images", "scenes", "--rounds", "1", "--limit", "1")
    small = ("--answerer", "blip2", "-a", "model=scenes:blip2")
    own = ("--answerer", "blip2", "-a", "model=blip2")
    asking = ("--questioner", "hf", "-q", "model=t5", "-q", "prompt=scenes")
    typed = {
        ("simulate", *asking, *own, *files): "questioner 'hf' and answerer 'blip2'",
        ("simulate", "--questioner", "human", *small, *files): "",
        ("simulate", "--questioner", "human", *own, "-a", "device_map=cpu", *files): "",
        ("index", "--retriever", "clip", "-r", "model=clip", "--corpus", "scenes"): "retriever 'clip'",
        ("index", "--retriever", "clip", "-r", "model=clip", "-r", "device=cpu", "--corpus", "scenes"): "",
    }
    for driver in (False, True):
        if driver:
            (tmp_path / "nvidia-smi").touch(mode=0o755)
            monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        for words, owners in typed.items():
            assert run([*words, *(["--fresh"] if words[0] == "simulate" else [])]) == 0
            told = [line for line in capsys.readouterr().err.splitlines() if "will run on the CPU" in line]
            build = f"torch {torch.__version__}, a CPU build, which cannot use it"
            line = f"chatir: {owners} will run on the CPU: an NVIDIA driver is here, but {build}; 'chatir doctor' shows"
            assert [each.removesuffix(" the remedy") for each in told] == ([line] if owners and driver else [])


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("--answerer", "human"), r"Missing option '--questioner'\. There are: chatgpt, .*unanswered-chatgpt"),
        (("--questioner", "human"), r"Missing option '--answerer'\. There are: blip2, .*openai-vision"),
        (
            ("--questioner", "scenes:t5", "--answerer", "human"),
            "'scenes:t5' is a model, .*: --questioner hf -q model=scenes:t5 -q prompt=scenes",
        ),
        (
            ("--questioner", "human", "--answerer", "scenes:blip2"),
            "'scenes:blip2' is a model, .*: --answerer blip2 -a model=scenes:blip2",
        ),
        (
            ("--questioner", "human", "--answerer", "human", "--retriever", "scenes:clip"),
            "'scenes:clip' is a model, .*: --retriever clip -r model=scenes:clip",
        ),
        (
            ("--questioner", "google/flan-t5-xl", "--answerer", "human"),
            "'google/flan-t5-xl' is a model, .*: --questioner hf -q model=google/flan-t5-xl",
        ),
        (("--questioner", "scenes:clip", "--answerer", "human"), "there is no questioner 'scenes:clip'"),
    ],
)
def test_a_name_that_is_missing_or_a_model_is_answered_with_names(
    typed: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(("simulate", *typed)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(told, line)


def test_free_questions_are_not_paid_for_where_nobody_answers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_dialogs("t.json", [Dialog("a.jpg", "a cat", said("is it black? no"))])
    with ChatServer() as server:
        asked = ("--questioner", "chatgpt", "-q", f"base_url={server.url}", "-q", "model=m")
        assert run(("simulate", *asked, "--answerer", "human", "--targets", "t.json")) == 2
        assert not server.requests
    (line,) = capsys.readouterr().err.splitlines()
    assert "answerer 'human' only replays what people answered, and questioner 'chatgpt' asks" in line
    assert "answerers for free questions: blip2, blip2-lavis, nearest-human, openai-vision" in line
    assert not Path("outputs").exists()


def test_an_endpoint_without_a_price_is_told_under_a_cost_limit(bare: Bare, nobody: str) -> None:
    server = ("-q", f"base_url={nobody}", "-q", "model=m")
    asked = ("simulate", "--questioner", "chatgpt", *server, "--answerer", "human", "--cost-limit", "1")
    code, lines, _ = bare(*asked)
    assert code == 2
    assert "questioner 'chatgpt': its price is unknown" in lines[0]
    priced = bare(*asked, "-q", "price_in=1", "-q", "price_out=1")[1]
    assert not any("price" in line for line in priced)


def test_weights_are_a_gap_only_where_the_hub_cannot_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert no_download() is None
    assert no_download() == NoDownload("127.0.0.1 cannot be reached")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert no_download() is None, "only the proxy may know the way"
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    assert no_download() == NoDownload("TRANSFORMERS_OFFLINE is set")


def test_a_hub_that_is_slow_to_answer_is_a_gap_only_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> None:
        raise TimeoutError

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path))
    monkeypatch.setattr(weights.socket, "create_connection", slow)
    wanted = [Wanted("questioners", "flan-t5-xl", {})]
    alone = look(wanted)
    assert not alone.lacks
    assert "huggingface.co has not answered within 1.5 s" in alone.downloads[0]
    beside = look(wanted, files=[default_targets])
    assert len(beside.lacks) == 2
    assert not beside.downloads


def test_weights_that_can_be_had_are_announced_and_no_gap(bare: Bare, tmp_path: Path) -> None:
    write_dialogs(tmp_path / "t.json", [Dialog("a.jpg", "a cat", said("is it black? no"))])
    played = ("simulate", "--questioner", "human", "--answerer", "blip2", "--images", ".", "--rounds", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        hub = f"http://127.0.0.1:{server.getsockname()[1]}"
        code, lines, _ = bare(*played, "--targets", "no.json", HF_ENDPOINT=hub)
        assert (code, lines) == (2, ["chatir: no.json: no such file or directory"])
        code, lines, out = bare(*played, "--targets", str(tmp_path / "t.json"), "--dry-run", HF_ENDPOINT=hub)
    told = "chatir: answerer 'blip2': Salesforce/blip2-flan-t5-xxl will be downloaded: 24 to 48 GB or more"
    assert (code, lines[0]) == (0, told)
    assert "blip2 answers  1 calls, not checked" in out


def test_a_dry_run_tells_gaps_as_notes_and_the_price_all_the_same(bare: Bare, tmp_path: Path, nobody: str) -> None:
    (tmp_path / "work" / "outputs").mkdir(parents=True)
    write_dialogs(tmp_path / "work" / "t.json", [Dialog(f"{n}.jpg", f"cat {n}") for n in range(4)])
    players = ("simulate", "--questioner", "chatgpt", "--answerer", "blip2", "--targets", "t.json", "--dry-run")
    offline = {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": nobody}
    code, lines, out = bare(*players, **offline)
    assert code == 0
    assert [line.split(" needs ")[0].split(" wants ")[0].split(" looks ")[0] for line in lines] == [
        "chatir: https://api.openai.com/v1",
        "chatir: answerer 'blip2'",
        "chatir: answerer 'blip2'",
    ]
    head, asks, answers = out.splitlines()
    assert head == "chatgpt x blip2: 4 dialogs"
    assert re.search(r"ChatGPT asks +40 calls, about [\d,]+ tokens in \+ 480 out, about \$0\.\d+", asks)
    assert re.search(r"blip2 answers +40 calls, not checked$", answers)
    assert bare(*players, "-a", "heat=1", **offline)[0] == 2
    code, lines, _ = bare(*players, "--targets", "no.json", **offline)
    assert (code, lines[-1]) == (2, "chatir: no.json: no such file or directory")
    (tmp_path / "work" / "3.jpg").touch()
    lines = bare(*players, "--images", ".", **offline)[1]
    assert "chatir: the images of 3 of 4 targets are missing from . or are not regular files" in lines[-1]


def test_a_dry_run_builds_no_local_model_unless_there_is_a_run_to_compare(bare: Bare, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    write_dialogs(work / "t.json", [Dialog(f"{n}.jpg", f"cat {n}", said("is it? no")) for n in range(4)])
    asking = ("simulate", "--questioner", "hf", "-q", "model=scenes:t5", "-q", "prompt=scenes")
    answering = ("--answerer", "blip2", "-a", "model=scenes:blip2", "--images", ".")
    (work / "0.jpg").touch()
    code, lines, out = bare(*asking, *answering, "--targets", "t.json", "--rounds", "1", "--dry-run")
    assert code == 0
    assert len(lines) == 1, "of the images that are missing"
    assert out.splitlines() == [
        "scenes:t5 x scenes:blip2: 4 dialogs",
        "  scenes:t5 asks        4 calls, a local model, not built",
        "  scenes:blip2 answers  4 calls, a local model, not built",
    ]
