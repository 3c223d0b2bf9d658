"""A vision model behind a chat endpoint, by the command, against a server that looks at what it is sent."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from chat_server import RETRYABLE, ChatServer, Request, completion, fault, in_order, mixed
from PIL import Image
from players import query

from chatir import Dialog, Reply, Round
from chatir.answerers.openai_vision import OpenAIVision
from chatir.cli import run
from chatir.datasets.scenes.folder import write_scenes
from chatir.errors import InputError
from chatir.models.chat.image_tokens import most_tokens
from chatir.models.chat.images import EncodedImages
from chatir.models.chat.transport.retry import ATTEMPTS, SAME
from chatir.plugins import Context, build
from chatir.simulate import read_dialogs, simulate, write_dialogs

CANARY = "sk-canary-0123456789abcdef"
COLORS = {"red": (200, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 200)}

pytestmark = pytest.mark.usefixtures("quick_retries")


def sight(request: Request) -> str:
    """The script of a server that tells the color of the middle of the one image that it is shown."""
    (content,) = request.images()
    with Image.open(BytesIO(content), formats=["JPEG"]) as image:
        seen = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    assert isinstance(seen, tuple)
    near = {name: sum(abs(a - b) for a, b in zip(seen, color, strict=True)) for name, color in COLORS.items()}
    return min(near, key=lambda name: near[name])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images of one color each, about which people asked three questions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    people = tuple(Round(f"what is color number {n}?", "who knows") for n in range(3))
    for name, color in COLORS.items():
        Image.new("RGB", (1200, 900), color).save(tmp_path / "images" / f"{name}.png")
    write_dialogs(tmp_path / "targets.json", [Dialog(f"{name}.png", "a thing", people) for name in COLORS])
    return tmp_path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that are encoded, in order."""
    names: list[str] = []
    real = EncodedImages._read

    def reading(store: EncodedImages, image: str) -> Any:
        names.append(image)
        return real(store, image)

    monkeypatch.setattr(EncodedImages, "_read", reading)
    return names


def command(server: ChatServer, *more: str) -> list[str]:
    options = ["-a", f"base_url={server.url}", "-a", "model=zoo/seer-7b:q4"]
    files = ["--targets", "targets.json", "--images", "images", "--rounds", "3", "--out", str(OUT)]
    return ["simulate", "--questioner", "human", "--answerer", "openai-vision", *options, *files, *more]


OUT = Path("outputs", "Human_seer-7b_q4.json")


def answers(file: Path = OUT) -> dict[str, list[str]]:
    return {dialog.image: [turn.answer for turn in dialog.rounds] for dialog in read_dialogs(file)}


def player(server: ChatServer | None = None, images: Path | None = None, **options: Any) -> Any:
    url = server.url if server else "http://127.0.0.1:1/v1"
    return build("answerers", "openai-vision", {"base_url": url, "model": "m", **options}, Context(images))


def asked(answerer: OpenAIVision, dialogs: Sequence[Dialog], question: str = "what is it?") -> list[Reply]:
    async def play() -> list[Reply]:
        try:
            return await answerer.answer(dialogs, [question] * len(dialogs))
        finally:
            await answerer.close()

    return asyncio.run(play())


def test_the_model_sees_the_image_with_each_question(
    folder: Path, encoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatServer(sight) as server:
        assert run(command(server)) == 0
        assert len(server.requests) == 9
    assert answers() == {f"{name}.png": [name] * 3 for name in COLORS}
    assert sorted(encoded) == sorted(f"{name}.png" for name in COLORS), "once a dialog"
    assert "Human asks, seer-7b_q4 answers" in capsys.readouterr().out
    for request in server.requests:
        with Image.open(BytesIO(*request.images())) as image:
            assert image.size == (768, 576)
        (message,) = request.body["messages"]  # type: ignore[index]
        assert message["role"] == "user"
        said = request.texts()[0].strip()
        assert re.fullmatch(r"what is color number \d\?\nAnswer the question using a single word or phrase\.", said), (
            said
        )


def test_a_run_keeps_what_fixes_its_answers(folder: Path) -> None:
    with ChatServer(sight) as server:
        assert run(command(server, "-a", "detail=low")) == 0
        assert server.requests[0].body == server.requests[0].body | {"temperature": 0.0, "max_tokens": 32}  # type: ignore[operator]
        ((text,),) = query(OUT.with_suffix(".run"), "SELECT value FROM run WHERE key = 'config'")
        fixed = json.loads(text)["answerer"]["config"]
        assert fixed["model"]["model"] == "zoo/seer-7b:q4"
        assert fixed["images"] == {"max_side": 768, "detail": "low", "quality": 90}
        assert (fixed["prompt"]["name"], fixed["context_rounds"]) == ("short-answer-chat", 0)
        before = len(server.requests)
        for other in ("max_side=512", "quality=80", "detail=high", "context_rounds=1", "max_tokens=8"):
            options = ("-a", other) if other.startswith("detail") else ("-a", "detail=low", "-a", other)
            assert run(command(server, *options)) == 2, other
        assert run(command(server, "-a", "detail=low", "-a", "kept_images=1", "-a", "concurrency=1")) == 0
        assert len(server.requests) == before


def test_an_image_that_gave_way_is_encoded_again(folder: Path, encoded: list[str]) -> None:
    with ChatServer(sight) as server:
        # One dialog at a time through its three rounds would not need it: all three take turns.
        assert run(command(server, "-a", "kept_images=1", "-a", "concurrency=1", "--deterministic")) == 0
    assert 3 < len(encoded) <= 9
    assert answers() == {f"{name}.png": [name] * 3 for name in COLORS}


def test_ten_rounds_of_scenes_are_shown_with_one_encoding_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoded: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path, 4, 0)
    with ChatServer(lambda request: str(sum(request.images()[0])), latency=0.02) as server:
        files = ["--targets", "targets.json", "--images", ".", "--out", "outputs/Human_m.json"]
        options = ["-a", f"base_url={server.url}", "-a", "model=m", "-a", "concurrency=3"]
        assert run(["simulate", "--questioner", "human", "--answerer", "openai-vision", *options, *files]) == 0
        assert len(server.requests) == 40
        assert server.most_running == 3
    assert len(encoded) == len(set(encoded)) == 4
    told = answers(Path("outputs", "Human_m.json"))
    assert [len(set(texts)) for texts in told.values()] == [1] * 4, "the same picture in each round"
    assert len({texts[0] for texts in told.values()}) == 4


def test_earlier_rounds_are_turns_and_the_image_stands_with_the_first(folder: Path) -> None:
    dialog = Dialog("red.png", "a thing", tuple(Round(f"is it {n}?", f"no {n}") for n in range(3)))
    with ChatServer(sight) as server:
        asked(player(server, folder / "images", context_rounds="2"), [dialog])
    (request,) = server.requests
    assert request.body is not None
    messages = request.body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert [part["type"] for part in messages[0]["content"]] == ["image_url", "text"]
    assert [text.splitlines()[0] for text in request.texts()] == [
        " is it 1?",
        "no 1",
        "is it 2?",
        "no 2",
        "what is it?",
    ]


def test_images_that_cannot_be_shown_fail_their_dialogs_and_nobody_is_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "images" / "broken.png").write_bytes((folder / "images" / "red.png").read_bytes()[:60])
    (folder / "images" / "text.png").write_text("no image at all")
    Image.new("RGB", (8, 8), COLORS["red"]).save(folder / "secret.png")
    (folder / "images" / "out.png").symlink_to(folder / "secret.png")
    people = (Round("what is it?", "a"), Round("is it big?", "b"), Round("is it old?", "c"))
    names = ["broken.png", "text.png", "out.png", "gone.png", "green.png"]
    write_dialogs(folder / "targets.json", [Dialog(name, "a thing", people) for name in names])
    with ChatServer(sight) as server:
        assert run(command(server)) == 1
        assert [sight(request) for request in server.requests] == ["green"] * 3
        assert answers() == {"green.png": ["green"] * 3}
        failed = query(OUT.with_suffix(".run"), "SELECT kind, message FROM replies WHERE kind IS NOT NULL")
        kinds = {message.partition(":")[0]: kind for kind, message in failed}
        assert kinds == {
            "broken.png": "broken_image", "text.png": "broken_image", "out.png": "refused_image",
            "gone.png": "missing_image",
        }  # fmt: skip
        for name in ("text.png", "gone.png"):
            shutil.copy(folder / "images" / "red.png", folder / "images" / name)
        assert run(command(server)) == 1, "the same command retries them"
        assert len(server.requests) == 9
    assert list(answers()) == ["text.png", "gone.png", "green.png"]
    assert "broken.png" in capsys.readouterr().err


def test_of_several_dialogs_in_one_call_each_gets_its_own_answer(folder: Path) -> None:
    dialogs = [Dialog(name, "") for name in ("blue.png", "gone.png", "red.png", "blue.png")]
    with ChatServer(sight) as server:
        replies = asked(player(server, folder / "images"), dialogs)
    assert [reply.text for reply in replies] == ["blue", None, "red", "blue"]
    assert replies[1].failure is not None
    assert replies[1].failure.kind == "missing_image"


def test_it_may_play_one_run_after_another_and_looks_anew_at_the_images(folder: Path) -> None:
    with ChatServer(sight) as server:
        answerer = player(server, folder / "images")
        assert asked(answerer, [Dialog("red.png", "")])[0].text == "red"
        shutil.copy(folder / "images" / "blue.png", folder / "images" / "red.png")
        assert asked(answerer, [Dialog("red.png", "")])[0].text == "blue"


def test_answers_are_cleaned_and_what_says_nothing_is_no_answer(folder: Path) -> None:
    dialogs = [Dialog(f"{name}.png", "") for name in COLORS]
    said = {"red": "**Answer:** Red?\nI am sure.", "green": "...", "blue": "Dark blue."}
    with ChatServer(lambda request: said[sight(request)]) as server:
        red, green, blue = asked(player(server, folder / "images"), dialogs)
    assert (red.text, red.raw) == ("Red", said["red"])
    assert green.failure is not None
    assert (green.failure.kind, green.raw) == ("no_answer", "...")
    assert blue.text == "Dark blue."
    assert (blue.tokens_in, blue.tokens_out) == (12, 2)


def test_nothing_is_lost_when_three_of_ten_replies_are_faulty(tmp_path: Path, encoded: list[str]) -> None:
    write_scenes(tmp_path, 20, 1)
    dialogs = read_dialogs(tmp_path / "targets.json")
    odd = (fault.html(200), fault.choices([]), fault.content(""), fault.role("user"), fault.huge())

    def told(request: Request) -> str:
        return f"{sum(request.images()[0]) % 1000} of {len(request.texts()[-1])}"

    for name, script in (("faulty", mixed(0.3, 7, (*RETRYABLE, *odd), told, SAME - 1)), ("whole", told)):
        with ChatServer(script) as server:
            options = {"base_url": server.url, "model": "m"}
            answerer = build("answerers", "openai-vision", options, Context(tmp_path))
            summary = simulate(
                dialogs, build("questioners", "human", {}), answerer, out=tmp_path / f"{name}.json", images=tmp_path
            )
            assert (summary.dialogs, summary.rounds, summary.failed) == (20, 200, ())
            assert (len(server.requests) > 240) == (name == "faulty")
    assert (tmp_path / "faulty.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert len(encoded) == 40, "once a dialog and run, however often it is sent"


def test_a_cost_limit_is_not_passed_and_images_count(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def paid(request: Request) -> Any:
        usage = {"prompt_tokens": 25_000, "completion_tokens": 2}
        return completion(request, sight(request)) | {"usage": usage}

    prices = ["-a", "price_in=1", "-a", "price_out=2"]
    with ChatServer(paid, latency=0.01) as server:
        assert run(command(server, *prices, "--cost-limit", "0.4")) == 3
        assert server.most_running == 1, "there is no room for two"
        told = capsys.readouterr().err
        assert "the same command with a higher --cost-limit goes on" in told
        ((spent,),) = query(OUT.with_suffix(".run"), "SELECT sum(cost) FROM replies")
        assert spent == pytest.approx(6 * 0.025, rel=0.01), "one more might take all its attempts, and pass the limit"
        assert not OUT.exists()
        assert run(command(server, *prices, "--cost-limit", "40")) == 0
        assert len(server.requests) == 9


def test_a_price_that_nobody_knows_is_told_before_anything_is_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatServer(sight) as server:
        assert run(command(server, "--cost-limit", "1")) == 2
        assert not server.requests
    assert "price_in and price_out" in capsys.readouterr().err


def test_what_an_answer_can_cost_is_known_without_the_image(encoded: list[str]) -> None:
    dialog = Dialog("there/is/none.png", "a thing")
    known = player(model="gpt-4o-mini", base_url="https://api.openai.com/v1")
    most = known.max_cost(dialog, "what is it?")
    assert most == pytest.approx(ATTEMPTS * (25_501 + 75) * 0.15e-6 + ATTEMPTS * 32 * 0.6e-6, rel=0.01)
    assert most > known.model.cost(ATTEMPTS * most_tokens("gpt-4o-mini", 768, "auto"), 0)
    low = player(model="gpt-4o-mini", base_url="https://api.openai.com/v1", detail="low")
    small = player(model="gpt-4o-mini", base_url="https://api.openai.com/v1", max_side=512)
    assert low.max_cost(dialog, "?") < small.max_cost(dialog, "?") < most / 2
    assert player().max_cost(dialog, "what is it?") is None
    assert not encoded


def test_a_dry_run_counts_the_images_and_asks_nobody(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--targets", "targets.json", "--images", "images", "--rounds", "3", "--dry-run"]
    assert run(["simulate", "--questioner", "human", "--answerer", "openai-vision", *files]) == 0
    told = capsys.readouterr().out
    tokens = re.search(r"gpt-4o-2024-08-06 answers +9 calls, about ([\d,]+) tokens in \+ 27 out, about \$(\S+)", told)
    assert tokens is not None, told
    count = int(tokens[1].replace(",", ""))
    assert 9 * 425 < count < 9 * 500
    assert float(tokens[2]) == pytest.approx(count * 2.5e-6 + 27 * 10e-6, abs=0.005)
    assert not Path("outputs").exists()


def test_what_was_asked_about_an_image_comes_from_the_cache_and_another_image_does_not(folder: Path) -> None:
    for color in COLORS:  # with noise, so that what is sent is large
        noise = Image.effect_noise((700, 700), 60).convert("RGB")
        picture = Image.blend(noise, Image.new("RGB", noise.size, COLORS[color]), 0.8)
        picture.save(folder / "images" / f"{color}.png")
    with ChatServer(sight) as server:
        for number in range(2):
            assert run(command(server, "--cache", "replies.cache", "--out", f"{number}.json")) == 0
            assert len(server.requests) == 9
        shutil.copy(folder / "images" / "red.png", folder / "images" / "blue.png")
        assert run(command(server, "--cache", "replies.cache", "--out", "2.json")) == 0
        assert len(server.requests) == 9 + 3
        assert run(command(server, "--cache", "replies.cache", "--out", "3.json", "-a", "detail=high")) == 0
        assert len(server.requests) == 12 + 9
        sent = max(len(str(request.body)) for request in server.requests)
    assert (folder / "0.json").read_bytes() == (folder / "1.json").read_bytes()
    assert answers(folder / "2.json")["blue.png"] == ["red"] * 3
    longest = query(folder / "replies.cache", "SELECT max(length(key)), count(*) FROM replies")
    assert sent > 50_000
    assert longest[0][0] < 1000
    assert longest[0][1] == 21


def test_no_file_or_line_holds_the_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    replies = (fault.echo_key(), fault.refusal(f"not with {CANARY}"), fault.status(422, message="bad: {key}"))
    with caplog.at_level(0), ChatServer(lambda request: replies[request.number % 3]) as server:
        assert (
            run(command(server, "--cache", "replies.cache", "-a", "concurrency=1", "-a", "key_env=OPENAI_API_KEY")) == 1
        )
        assert server.requests[0].key == CANARY
    shown = capfd.readouterr()
    assert len(caplog.text) > 1000
    assert all(CANARY not in text for text in (shown.out, shown.err, caplog.text))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / OUT.with_suffix(".run") in files
    assert all(CANARY.encode() not in path.read_bytes() for path in files)


def test_openai_is_not_asked_without_a_key(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--targets", "targets.json", "--images", "images", "--rounds", "3", "--out", str(OUT)]
    assert run(["simulate", "--questioner", "human", "--answerer", "openai-vision", *files]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "wants a key: put it into the environment, as OPENAI_API_KEY" in line
    assert not Path("outputs").exists(), "it is told before anything begins"


def test_a_server_that_takes_no_images_costs_one_request_and_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ChatServer(in_order(fault.status(400, message="zoo/seer-7b:q4 is not a multimodal model"))) as server:
        assert run(command(server)) == 2
        assert len(server.requests) == 1
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert shown.out == ""
    assert f"{server.url}, model zoo/seer-7b:q4: 400: zoo/seer-7b:q4 is not a multimodal model" in line
    assert line.endswith("perhaps it takes no images: name a model that does")
    assert not OUT.exists()


@pytest.mark.parametrize(
    ("chat", "told"),
    [
        ("{% call system() %}{{ question }}{% endcall %}", "has no message by the user"),
        ("{% call user() %}{{ nothing }}{% endcall %}", "cannot be rendered"),
    ],
)
def test_a_prompt_that_shows_no_image_is_refused_at_once(tmp_path: Path, chat: str, told: str) -> None:
    prompt = tmp_path / "prompt.toml"
    prompt.write_text(f"name = 'mine'\nversion = 1\nsource = 'me'\nchat = '''{chat}'''")
    with pytest.raises(InputError, match=told):
        player(prompt=str(prompt))


@pytest.mark.parametrize(
    ("model", "name"),
    [("gpt-4o", "gpt-4o"), ("/models/Qwen2-VL 2B", "Qwen2-VL_2B"), ("llava:13b", "llava_13b"), ("x/", "OpenAIVision")],
)
def test_it_is_named_after_its_model(model: str, name: str) -> None:
    assert player(model=model).name == name
    assert player().needs_images
