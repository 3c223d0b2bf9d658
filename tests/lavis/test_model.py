"""The model's side of the worker, against a fake one: what is sent, what is kept, and what becomes of a bad look."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from chatir.errors import InputError, StoppedRunError
from chatir.models.builtin import checkpoints
from chatir.models.lavis import model, worker, worker_process
from chatir.models.lavis.model import LavisModel, LavisOptions
from chatir.models.lavis.model_files import config_sha256
from chatir.models.local.loading import load_model
from chatir.models.local.vision_model import Look
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context

FAKE = Path(__file__).with_name("fake_worker.py")


class Played:
    """A model with a fake worker, what it told the user, and what the worker was asked."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "worker.py"
        self.told: list[str] = []
        self.models: list[LavisModel] = []
        self.folder = folder
        for name in "abcdef":
            Image.new("RGB", (3, 2), "red").save(folder / f"{name}.png")

    def model(self, cache: ReplyCache | None = None, **options: Any) -> LavisModel:
        context = Context(self.folder, cache, self.told.append)
        made = LavisModel(LavisOptions(python=Path(sys.executable), **options), context)
        self.models.append(made)
        return made

    @property
    def asked(self) -> list[str]:
        return Path(f"{self.script}.log").read_text().splitlines()


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    made = Played(tmp_path)
    made.script.write_text(FAKE.read_text())
    monkeypatch.setattr(worker_process, "SCRIPT", made.script)
    yield made
    for each in made.models:
        each.close()


def looks(*texts: str) -> list[Look]:
    """Each text about an image of its own."""
    return [Look(f"{name}.png", text) for name, text in zip("abcdef", texts, strict=False)]


def test_an_image_is_sent_once_and_every_text_as_it_is(played: Played) -> None:
    player = played.model()
    for _ in range(2):
        answers = player.complete([Look("a.png", "a {0}?"), Look("a.png", "b?"), Look("b.png", "c {?")])
        assert [each.text for each in answers] == ["a.png a {0}?", "a.png b?", "b.png c {?"]
    assert played.asked == ["about 0", "check 0", "load fp32", "encode 2", "answer 3", "answer 3"]
    assert played.told == ["loading LAVIS's blip2_t5/pretrain_flant5xxl (fp32)"]


def test_every_answer_is_searched_for_as_the_options_say(played: Played) -> None:
    (answer,) = played.model(beams=3, length_penalty=0.5, max_tokens=7, min_tokens=2).complete(looks("how?"))
    asked = json.loads(answer.text or "")
    del asked["items"]
    assert asked == {"num_beams": 3, "length_penalty": 0.5, "max_len": 7, "min_len": 3}


def test_the_precision_asked_for_is_the_one_it_is_loaded_in(played: Played) -> None:
    played.model(precision="8bit").complete(looks("one"))
    assert "load 8bit" in played.asked


def test_a_device_is_asked_for_by_its_word_and_recorded(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GPUS", "2")
    player = played.model(device="cuda:1")
    assert player.provenance == {}
    player.complete(looks("one"))
    assert player.provenance == {"devices": "cuda:1", "gpus": {"cuda:1": "a card"}}
    assert player.identity["model"]["precision"] == "8bit"
    assert played.model(device="cpu").identity["model"]["precision"] == "fp32"
    first = played.model(device="cuda")
    first.complete(looks("one"))
    assert first.provenance["devices"] == "cuda:0"
    for device, told in (("cuda:2", "finds 2 of CUDA's: use device=cpu"), ("gpu", "must be auto, cpu, cuda or")):
        with pytest.raises(InputError, match=f"^device={device}: .*{told}"):
            played.model(device=device).complete(looks("one"))
    with pytest.raises(InputError, match="precision=fp16 needs a CUDA device, and device is cpu"):
        played.model(device="cpu", precision="fp16").complete(looks("one"))


def test_the_worker_takes_the_freest_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [3, 9, 5]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (free[number], 10))
    assert worker._freest() == "cuda:1"
    free.clear()
    assert worker._freest() == "cpu"


def test_8_bit_leaves_the_same_inputs_unquantized_as_without_lavis_and_is_recorded(played: Played) -> None:
    from bitsandbytes.nn import Linear8bitLt

    torch.manual_seed(0)
    exact, language = (torch.nn.Sequential(torch.nn.Linear(64, 8)) for _ in range(2))
    exact[0].weight.data[:, 3] = 0
    language.load_state_dict(exact.state_dict())
    worker.to_8bit(language)
    ours = load_model(str(checkpoints()["t5"]), None, "8bit", "cpu").model
    layers = [layer for model in (language, ours) for layer in model.modules() if isinstance(layer, Linear8bitLt)]
    assert {layer.state.threshold for layer in layers} == {6.0}
    assert played.model(precision="8bit").identity["model"]["threshold"] == 6.0
    assert "threshold" not in played.model(precision="fp32").identity["model"]
    far = torch.ones(2, 64)
    far[:, 3] = 1000  # without a threshold, the ones would be rounded to 0 beside it
    with torch.no_grad():
        assert torch.allclose(language.eval().to("cpu")(far), exact(far), atol=0.02)


def test_the_image_used_longest_ago_goes_first_and_a_batch_always_has_room(played: Played) -> None:
    player = played.model(kept_images=1, batch_size=2)
    player.complete(looks("22", "1"))
    player.complete([Look("a.png", "1")])
    player.complete([Look("c.png", "1")])  # b goes
    player.complete([Look("a.png", "1"), Look("c.png", "1")])
    assert [line for line in played.asked if "encode" in line] == ["encode 2", "encode 1"]
    player.complete([Look("b.png", "1")])
    assert played.asked[-2:] == ["encode 1", "answer 1"]


def test_a_worker_that_lost_images_is_shown_them_again(played: Played) -> None:
    player = played.model()
    assert [each.text for each in player.complete(looks("forget", "x"))] == ["a.png forget", "b.png x"]
    assert played.asked[3:] == ["encode 2", "answer 2", "encode 2", "answer 2"]


@pytest.mark.parametrize(
    ("text", "why"), [("die, worker", "killed by SIGKILL"), ("hang", "gave no reply within 0.7 s")]
)
def test_a_worker_that_dies_is_started_again_once_and_then_the_run_stops(played: Played, text: str, why: str) -> None:
    player = played.model(batch_size=2, timeout=0.7)
    answers = player.complete(
        [Look("a.png", "a text that is long"), Look("b.png", "a text as long"), *looks(text, "x")]
    )
    assert [each.text for each in answers] == ["a.png a text that is long", "b.png a text as long", None, None]
    assert {each.failure.kind for each in answers[2:] if each.failure} == {"worker_died"}
    assert sum("started again" in line for line in played.told) == 1
    assert played.asked.count("load fp32") == 2
    with pytest.raises(StoppedRunError, match=rf"two LAVIS workers in a row ended without an answer.*{why}"):
        player.complete(looks("fine"))
    assert player.complete(looks("fine"))[0].text == "a.png fine", "in another run"


def test_an_answer_between_two_deaths_keeps_the_run_going(played: Played) -> None:
    player = played.model()
    for _ in range(3):
        assert player.complete(looks("one", "die once"))[0].text == "a.png one"
    assert sum("started again" in line for line in played.told) == 3


def test_what_the_model_cannot_answer_fails_alone_and_needs_no_new_worker(played: Played) -> None:
    answers = played.model().complete(looks("one", "fail", "three"))
    assert [each.failure.kind if each.failure else each.text for each in answers] == [
        "a.png one",
        "model_failed",
        "c.png three",
    ]
    assert answers[1].failure
    assert answers[1].failure.message == "cannot say"
    assert played.asked.count("load fp32") == 1


def test_where_the_memory_ends_there_are_smaller_batches(played: Played) -> None:
    answers = played.model(batch_size=4).complete(looks("large", "large", "large", "large"))
    assert [each.text for each in answers] == [f"{name}.png large" for name in "abcd"]
    assert [line for line in played.told if "out of memory" in line][-1].endswith("1 at once for now")
    assert played.asked.count("encode 4") == 1


def test_an_image_that_cannot_be_shown_fails_alone(played: Played) -> None:
    (played.folder / "b.png").write_bytes(b"no image")
    answers = played.model().complete([*looks("one", "two"), Look("none.png", "three")])
    assert [each.failure.kind if each.failure else each.text for each in answers] == [
        "a.png one",
        "broken_image",
        "missing_image",
    ]


def test_a_closed_model_starts_anew(played: Played) -> None:
    player = played.model()
    player.complete(looks("one"))
    player.close()
    assert [each.text for each in player.complete(looks("one"))] == ["a.png one"]
    assert played.asked == [
        "about 0",
        "check 0",
        "load fp32",
        "encode 1",
        "answer 1",
        "load fp32",
        "encode 1",
        "answer 1",
    ]


def test_a_worker_that_dies_as_it_loads_stops_the_run(played: Played) -> None:
    Path(f"{played.script}.unloadable").touch()
    player = played.model()
    with pytest.raises(InputError) as told:
        player.complete(looks("one"))
    assert str(told.value) == (
        "LAVIS's blip2_t5/pretrain_flant5xxl cannot be loaded: "
        "the LAVIS worker ended with exit code 1: no room to load it"
    )


def test_identity_names_all_that_fixes_an_answer_and_needs_no_model(played: Played, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text("pass\n")
    options: dict[str, Any] = {"name": "n", "model_type": "t", "plugin": plugin}
    identity = played.model(**options).identity
    plugged, configured = (hashlib.sha256(content).hexdigest() for content in (b"pass\n", b""))
    assert identity == {
        "model": {
            "id": "n/t",
            "sha256": configured,
            "lavis": "1.0.2",
            "precision": "fp32",
            "plugin": plugged,
        },
        "beams": 5,
        "length_penalty": -1.0,
        "max_tokens": 10,
        "min_tokens": 0,
    }
    plugin.write_text("pass  # other\n")
    others = [
        played.model(**options),
        *(
            played.model(**options | {name: value})
            for name, value in (
                ("name", "m"),
                ("model_type", "u"),
                ("precision", "8bit"),
                ("plugin", None),
                ("beams", 1),
                ("length_penalty", 1.0),
                ("max_tokens", 9),
            )
        ),
    ]
    identities = [identity, *(each.identity for each in others)]
    assert all(one != other for n, one in enumerate(identities) for other in identities[:n])
    same = played.model(**options, batch_size=1, kept_images=1, timeout=5, log=tmp_path / "log")
    assert same.identity == others[0].identity
    assert not any(line.startswith("load") for line in played.asked)


def test_what_was_answered_before_comes_from_the_cache(played: Played, tmp_path: Path) -> None:
    for _ in range(2):
        cache = ReplyCache(tmp_path / "replies.cache")
        assert played.model(cache).complete(looks("one"))[0].text == "a.png one"
        cache.close()
    assert played.asked.count("answer 1") == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"precision": "fp16"}, "precision=fp16 needs a CUDA device"),
        ({"plugin": Path("/no/plugin.py")}, "/no/plugin.py: no such file"),
        ({"log": Path("/no/such/log")}, "/no/such/log: no such file"),
        ({"python": Path("/no/python")}, "python=/no/python: is no program; name a Python that has LAVIS"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run(played: Played, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as told:
        LavisModel(LavisOptions(**{"python": Path(sys.executable)} | options), Context(played.folder))
    assert str(told.value).startswith(problem)


def test_a_request_that_was_interrupted_leaves_no_reply_for_the_next(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = played.model()
    player.complete(looks("one"))
    exchange = worker_process._exchange

    def interrupted(process: Any, request: dict[str, Any]) -> None:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        raise KeyboardInterrupt

    monkeypatch.setattr(worker_process, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        player.complete(looks("first"))
    monkeypatch.setattr(worker_process, "_exchange", exchange)
    assert player.complete(looks("second"))[0].text == "a.png second"


def test_what_a_configuration_names_counts_with_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, folder, config = tmp_path / "w.pth", tmp_path / "t5", tmp_path / "model.yaml"
    folder.mkdir()
    weights.write_bytes(b"1")
    (folder / "config.json").write_text("{}")
    config.write_text(
        f"model: {{pretrained: {weights}, deep: [{{t5_model: {folder}}}], url: 'https://a.b/c.pth', n: 3}}"
    )
    before = config_sha256(config)
    assert config_sha256(config) == before
    for change in (
        lambda: weights.write_bytes(b"2"),
        lambda: (folder / "config.json").write_text("[]"),
        lambda: config.write_text(config.read_text().replace("a.b", "b.a")),
    ):
        change()
        assert config_sha256(config) != before
        before = config_sha256(config)
    monkeypatch.chdir(tmp_path)
    config.write_text("pretrained: w.pth")
    before = config_sha256(config)
    weights.write_bytes(b"3")
    assert config_sha256(config) != before
    config.write_text("a: [")
    with pytest.raises(InputError, match="the model's configuration cannot be read"):
        config_sha256(config)


def test_many_bytes_of_images_are_sent_in_parts(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "PART_BYTES", 50)  # an image has 24
    assert [each.text for each in played.model().complete(looks(*"12345"))] == [
        f"{name}.png {text}" for name, text in zip("abcde", "12345", strict=True)
    ]
    assert [line for line in played.asked if line.startswith("encode")] == ["encode 2", "encode 2", "encode 1"]
