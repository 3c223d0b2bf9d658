"""`chatir index`, as a user types it, with the built-in CLIP on built-in scenes and with a small retriever."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import numpy as np
import pytest
import torch
from retriever.colors import Colors, write_images

from chatir import plugins
from chatir.cli import run
from chatir.datasets.scenes.folder import write_scenes
from chatir.models.builtin import checkpoints
from chatir.retriever.index.lookup import open_corpus
from chatir.retriever.retriever import load_retriever

Typed = Callable[..., tuple[int, str, str]]

COUNT = 12
COLORS = ("index", "--retriever", "colors")
COLORS_POINT = EntryPoint("colors", "retriever.colors:Colors", "chatir.retrievers")
CLIP = ("--retriever", "clip", "-r", f"model={checkpoints()['clip']}")


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command in a folder with images and their list, where the retriever `colors` is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(plugins, "entry_points", lambda group: [COLORS_POINT, *entry_points(group=group)])
    Path("corpus.json").write_text(json.dumps(write_images(tmp_path / "images", COUNT)))

    def type_in(*words: str) -> tuple[int, str, str]:
        code = run(words)
        return code, *capsys.readouterr()

    return type_in


def table(out: str) -> dict[str, str]:
    """The lines that the command prints, by their names; all values stand in one column."""
    lines = out.splitlines()
    assert len({re.match(r"[a-z ]+?  +", line).end() for line in lines}) == 1
    return dict(re.split(r"  +", line, maxsplit=1) for line in lines)


def test_images_are_encoded_and_the_next_time_are_there(typed: Typed, tmp_path: Path) -> None:
    code, out, error = typed(*COLORS, "--corpus", "corpus.json", "--images", "images")
    assert (code, error) == (0, "")
    told = table(out)
    assert list(told) == ["images", "dimension", "left out", "fingerprint", "encoded", "folder"]
    assert (told["images"], told["dimension"], told["left out"]) == ("12", "6", "0")
    assert re.fullmatch(r"12 in \d+\.\ds, [\d,]+\.\d images/s", told["encoded"])
    assert Path(told["folder"]).parent == tmp_path / "data" / "indexes"
    assert (Path(told["folder"]) / "000000.npy").is_file()
    again = table(typed(*COLORS, "--corpus", "corpus.json", "--images", "images")[1])
    assert again == told | {"encoded": "nothing: the index was complete"}


def test_without_images_those_of_the_data_folder_are_taken(typed: Typed, tmp_path: Path) -> None:
    code, out, error = typed(*COLORS, "--corpus", "corpus.json")
    assert (code, out) == (2, "")
    assert "--images" in error
    assert "'chatir fetch images --whole-corpus'" in error
    (tmp_path / "data").mkdir()
    (tmp_path / "images").rename(tmp_path / "data" / "images")
    assert typed(*COLORS, "--corpus", "corpus.json")[0] == 0


def test_broken_images_are_named_or_left_out(typed: Typed) -> None:
    (broken, *_) = json.loads(Path("corpus.json").read_text())
    Path("images", broken).write_bytes(b"no image")
    command = (*COLORS, "--corpus", "corpus.json", "--images", "images")
    code, out, error = typed(*command)
    assert (code, out) == (2, "")
    assert error.startswith("chatir: 1 of 12 images cannot be indexed: no 000")
    assert error.count("\n") == 1
    code, out, error = typed(*command, "--on-broken", "skip")
    assert code == 0
    assert error.startswith("chatir: 1 of 12 images are left out: ")
    assert table(out)["images"] == "11"
    assert table(out)["left out"] == "1"


def test_vectors_from_elsewhere_need_no_images(typed: Typed, tmp_path: Path) -> None:
    vectors = np.eye(6, dtype=np.float32)[[0, 1, 2, 3, 4, 5] * 2]
    torch.save((torch.arange(11, -1, -1), torch.tensor(vectors[::-1].copy())), "corpus.pth")
    code, out, error = typed(*COLORS, "--corpus", "corpus.json", "--vectors", "corpus.pth")
    assert (code, error) == (0, "")
    assert table(out)["encoded"] == "nothing: 12 vectors were imported"
    opened = open_corpus(Colors(), json.loads(Path("corpus.json").read_text()))
    assert opened.fingerprint == table(out)["fingerprint"]
    assert np.array_equal(np.concatenate(opened.shards), vectors)
    again = typed(*COLORS, "--corpus", "corpus.json", "--vectors", "corpus.pth")
    assert table(again[1])["encoded"] == "nothing: the index was complete"
    Path("short.json").write_text('["a.jpg"]')
    code, _, error = typed(*COLORS, "--corpus", "short.json", "--vectors", "corpus.pth")
    assert code == 2
    assert error == ("chatir: corpora of different size: corpus.pth holds 12 vectors, short.json names 1 images\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--images", "nowhere"), "--images nowhere: is no folder"),
        (("--images", "images", "--vectors", "v.npy"), "--images does not go with --vectors"),
        (("--vectors", "v.npy"), "v.npy: is not there"),
        (("--images", "images", "--on-broken", "ignore"), "--on-broken"),
        (("--images", "images", "-r", "size=1"), "has no options"),
        (("--images", "data"), "data: holds none of the 12 images of the corpus"),
        (("--images", "images", "--corpus", "twice.json"), "twice.json: 'a.jpg' is named twice"),
        (("--images", "images", "--corpus", "absent.json"), "absent.json: no such file"),
    ],
)
def test_wrong_use_is_one_line(words: tuple[str, ...], told: str, typed: Typed) -> None:
    Path("data").mkdir()
    Path("twice.json").write_text('["a.jpg", "a.jpg"]')
    code, out, error = typed(*COLORS, "--corpus", "corpus.json", *words)
    assert (code, out) == (2, "")
    assert told in error
    assert error.count("\n") == 1


def test_scenes_are_indexed_by_the_built_in_clip_and_found_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    write_scenes(tmp_path, COUNT, seed=7)
    code = run(["index", *CLIP, "--corpus", str(tmp_path / "corpus.json"), "--images", str(tmp_path)])
    out, error = capsys.readouterr()
    assert code == 0, error
    retriever = load_retriever("clip", model=str(checkpoints()["clip"]))
    images = json.loads((tmp_path / "corpus.json").read_text())
    corpus = open_corpus(retriever, images)
    assert corpus.fingerprint == table(out)["fingerprint"]
    alone = retriever.encode_images([tmp_path / image for image in images]).numpy()
    assert np.allclose(corpus.vectors(range(COUNT)), alone, atol=1e-5)


INTERRUPTED = """
import time
from importlib.metadata import EntryPoint
from chatir import cli, plugins
from chatir.retriever.index import index_folder
from retriever.colors import Colors

index_folder.SHARD_SIZE, encode = 6, Colors.encode_prepared
plugins.entry_points = lambda group: [EntryPoint("colors", "retriever.colors:Colors", group)]

def some(self, prepared):
    if len(self.encoded) == 2:
        print("encoding", flush=True)
        for _ in range(600):  # a signal that comes just before a long sleep would be seen after it
            time.sleep(0.1)
    return encode(self, prepared)

Colors.encode_prepared = some
cli.main()
"""


def test_an_interrupt_is_one_line_and_code_130_and_the_command_goes_on(typed: Typed, tmp_path: Path) -> None:
    """A real process that is sent Ctrl-C while it encodes its third batch, the first of the second shard."""
    words = [*COLORS, "--corpus", "corpus.json", "--images", "images"]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *words],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "encoding\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error == "chatir: interrupted: what was encoded is kept; the same command goes on\n"
    code, out, _ = typed(*words)
    assert code == 0
    assert table(out)["encoded"].startswith("6 in ")
