"""Images whose names are odd, or written in more than one way, from targets to report, as a user types the commands."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
from models.image_files import picture
from players import query

from chatir import plugins
from chatir.cli import run
from chatir.datasets.target_checks import check_all_targets
from chatir.datasets.targets import Targets
from chatir.errors import InputError
from chatir.models.builtin import checkpoints

Typed = Callable[..., tuple[int, str, str]]

SCREENSHOT = "Screenshot 2026-02-03 at 4.05.06\u202fPM.png"
CAFE = "cafe\u0301/na\u00efve.png"
COLORS = ("--retriever", "colors", "--corpus", "corpus.json", "--images", "photos")
HUMANS = ("simulate", "--questioner", "human", "--answerer", "human", "--rounds", "2")
MODELS = checkpoints()


def dialogue(path: str, *images: str) -> None:
    rounds = ["is it black? no", "is it small? yes"]
    items = [{"img": image, "dialog": [f"picture {n}", *rounds]} for n, image in enumerate(images)]
    Path(path).write_text(json.dumps(items))


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command where a small retriever is installed, beside images with odd names and their list."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATIR_DATA", str(tmp_path / "data"))
    point = EntryPoint("colors", "retriever.colors:Colors", "chatir.retrievers")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point, *entry_points(group=group)])
    for number, name in enumerate((SCREENSHOT, unicodedata.normalize("NFD", CAFE), "a/b.png", "12:30 \u3000.png")):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(color=("red", "green", "blue", "white")[number]))
    listed = [SCREENSHOT, unicodedata.normalize("NFC", CAFE), "./a/b.png", "12:30 \u3000.png"]
    Path("corpus.json").write_text(json.dumps(listed))

    def type_(*words: str) -> tuple[int, str, str]:
        code = run(words)
        return code, *capsys.readouterr()

    return type_


def test_targets_in_other_words_than_the_corpus_are_the_same_images(typed: Typed) -> None:
    written = [SCREENSHOT, unicodedata.normalize("NFD", CAFE), ".\\a/.//b.png"]
    dialogue("targets.json", *written)
    code, out, err = typed(*HUMANS, "--targets", "targets.json", "--out", "one.json", *COLORS)
    assert code == 0, err
    assert Path("one.json").read_bytes() == Path("targets.json").read_bytes(), "what was written so is exported so"
    assert query(Path("one.run"), "SELECT image FROM dialogs ORDER BY position") == [(image,) for image in written]
    # Ranks with their best images are read back, and nothing is ranked again.
    ranked = query(Path("one.run"), "SELECT * FROM ranks")
    assert len(ranked) == 3
    assert typed("score", "one.json", *COLORS)[:2] == (0, out[out.index("one.json: ") :])
    assert typed(*HUMANS, "--targets", "targets.json", "--out", "one.json", *COLORS)[0] == 0

    dialogue("plain.json", SCREENSHOT, CAFE, "a/b.png", "12:30 \u3000.png")
    assert typed(*HUMANS, "--targets", "plain.json", "--out", "two.json", *COLORS)[0] == 0
    for form in ("table", "markdown", "latex", "csv"):
        code, out, err = typed("compare", "one.json", "two.json", "--format", form)
        assert code == 0, err
        assert "\u202f" not in out + err
    code, out, err = typed(
        "compare", "one.json", "two.json", "--format", "json", "--report", "r.html", "--images", "photos"
    )
    assert code == 0, err
    assert json.loads(out)["images"] == 3
    assert "placeholders" not in err
    page = Path("r.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    names = data["images"]
    listed = json.loads(Path("corpus.json").read_text())
    assert sorted(names) == sorted(name.removeprefix("./") for name in listed), "each image once"
    assert page.count("data:image/webp") == len(names), "each with its picture"
    assert [names[place] for place in data["targets"]] == [SCREENSHOT, unicodedata.normalize("NFC", CAFE), "a/b.png"]


def test_an_image_named_twice_in_two_forms_is_told_as_any_other(typed: Typed) -> None:
    dialogue("targets.json", SCREENSHOT, "a/b.png", "./a\\b.png")
    code, _, err = typed(*HUMANS, "--targets", "targets.json", "--out", "one.json")
    assert code == 2
    assert err == (
        "chatir: targets.json: entry 2: './a\\\\b.png' is named twice (first at entry 1); "
        "give each entry an 'id' of its own\n"
    )
    Path("targets.csv").write_text("image,caption\ncaf\u00e9.png,x\ncafe\u0301.png,y\n")
    with pytest.raises(InputError, match=r"target 1: .* is named twice \(first as target 0\); give each an 'id'"):
        check_all_targets(Targets(Path("targets.csv")), 1, [])


def test_an_odd_name_is_escaped_on_the_terminal_not_mended(typed: Typed) -> None:
    Path("photos", SCREENSHOT).write_bytes(b"no image")
    code, _, err = typed("index", *COLORS)
    assert code == 2
    assert "4.05.06\\u202fPM.png: is not an image" in err


def play(typed: Typed, folder: Path) -> None:
    """Index, simulate with models that look, and score a folder of one screenshot."""
    clip = ("--retriever", "clip", "-r", f"model={MODELS['clip']}")
    search = (*clip, "--corpus", str(folder / "corpus.json"), "--images", str(folder / "photos"))
    code, out, err = typed("index", *search)
    assert code == 0, err
    asks = ("--questioner", "hf", "-q", f"model={MODELS['t5']}", "-q", "prompt=scenes")
    answers = ("--answerer", "blip2", "-a", f"model={MODELS['blip2']}")
    sees = ("--targets", str(folder / "targets.jsonl"), "--images", str(folder / "photos"))
    code, out, err = typed("simulate", *asks, *answers, *sees, "--rounds", "1", "--out", "seen.json")
    assert code == 0, err
    code, out, err = typed("score", "seen.json", *search)
    assert code == 0, err
    assert "seen.json: 1 dialog" in out


def test_a_screenshot_of_macos_is_an_image_like_others(typed: Typed, tmp_path: Path) -> None:
    Path("corpus.json").write_text(json.dumps([SCREENSHOT]))
    Path("targets.jsonl").write_text(json.dumps({"image": SCREENSHOT, "caption": "a picture with a circle"}))
    play(typed, tmp_path)


def test_the_field_s_screenshot_is_an_image_like_others(typed: Typed, shared: Path) -> None:
    names = shared / "fixtures" / "field" / "names"
    if not names.is_dir():
        pytest.skip("the field's fixtures (../shared/fixtures/field) are not beside the project")
    play(typed, names)
