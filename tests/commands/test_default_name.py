"""The default name of a run: one for each configuration, the released one where nothing differs from the defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from players import install, said

from chatir import Dialog
from chatir.cli import run
from chatir.commands.default_name import LONGEST_NAME, SETTINGS, Side, default_name
from chatir.commands.doctoring.readiness import Wanted
from chatir.plugins import Context, build
from chatir.simulate import read_dialogs, write_dialogs

Typed = Callable[..., tuple[int, str, str]]

PLAYERS = """
from pathlib import Path
from pydantic import BaseModel
from chatir import Reply

class Options(BaseModel):
    mood: str = "calm"
    shots: int | None = 3
    batch_size: int = 1

class Told:
    def __init__(self, options: Options):
        self.batch_size = options.batch_size
        self.config = {"model": {"mood": options.mood, "sizes": [{"shots": options.shots}]}}
    def ask(self, dialogs):
        Path("called").touch()
        return [Reply(f"is it {self.config['model']['mood']}?") for _ in dialogs]

class Yes:
    def answer(self, dialogs, questions):
        return [Reply("yes") for _ in dialogs]
"""


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type `simulate` with players whose config tells some of their options."""
    install(tmp_path / "site", "told_players", PLAYERS, questioners="told = Told", answerers="yes = Yes")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    write_dialogs(Path("t.json"), [Dialog(f"{n}.jpg", f"cat {n}", said("is it? no")) for n in range(2)])

    def type_in(*arguments: str) -> tuple[int, str, str]:
        code = run(("simulate", "--answerer", "yes", "--targets", "t.json", *arguments))
        return code, *capsys.readouterr()

    return type_in


TOLD = ("--questioner", "told")


def written() -> list[str]:
    return sorted(path.stem for path in Path("outputs").glob("*.json"))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ((), "Told_Yes"),
        (("-q", "mood=calm", "-q", "shots=3"), "Told_Yes"),
        (("-q", "shots=none", "-q", "mood=so/so la?"), "Told-mood=so_so_la_-shots=none_Yes"),
        (("-q", f"mood=/some/where/{'else/' * 9}mine.toml"), "Told-mood=mine.toml_Yes"),
        (("-q", f"mood=https://some.where/{'else/' * 9}v1"), "Told-mood=some.where_Yes"),
        (("-q", "mood=http://127.0.0.1:8000/v1"), "Told-mood=127.0.0.1_8000_v1_Yes"),
        (("--rounds", "2", "--deterministic", "--ask-again", "0"), "Told_Yes_rounds=2_ask-again=0_deterministic"),
        (("--soft-refusals", "fail", "--seed", "3"), "Told_Yes_soft-refusals=fail_seed3"),
        (("-q", "mood=odd", "--seed", "0,1"), "Told-mood=odd_Yes_seed0 Told-mood=odd_Yes_seed1"),
    ],
)
def test_what_fixes_the_result_and_is_no_default_is_in_the_name(
    typed: Typed, options: tuple[str, ...], name: str
) -> None:
    assert typed(*TOLD, *options)[0] == 0
    assert " ".join(written()) == name
    assert typed(*TOLD, *options)[2].count("this run was complete") == len(name.split())


def test_the_same_run_goes_on_with_another_batch_size(typed: Typed) -> None:
    assert typed(*TOLD, "-q", "mood=odd", "--limit", "1")[0] == 0
    assert typed(*TOLD, "-q", "mood=odd", "-q", "batch_size=7")[0] == 0
    assert typed(*TOLD, "-q", "batch_size=5", "-q", "mood=odd")[2].count("this run was complete") == 1
    assert written() == ["Told-mood=odd_Yes"]


def test_runs_of_other_options_stand_beside_each_other(typed: Typed) -> None:
    for mood in ("calm", "odd", "bad"):
        assert typed(*TOLD, "-q", f"mood={mood}")[0] == 0
    assert written() == ["Told-mood=bad_Yes", "Told-mood=odd_Yes", "Told_Yes"]
    questions = {read_dialogs(path)[0].rounds[0].question for path in Path("outputs").glob("*.json")}
    assert len(questions) == 3


def test_a_run_that_an_older_version_named_plainly_goes_on(typed: Typed) -> None:
    options = (*TOLD, "-q", "mood=odd", "--rounds", "2", "--seed", "1")
    assert typed(*options, "--out", "outputs/Told_Yes.json", "--limit", "1")[0] == 0
    code, out, _ = typed(*options)
    assert (code, out.splitlines()[-1]) == (0, "outputs/Told_Yes.json")
    assert len(read_dialogs("outputs/Told_Yes.json")) == 2
    assert written() == ["Told_Yes"]
    assert typed(*options, "-q", "shots=1")[0] == 0
    assert typed(*options, "--fresh")[0] == 0
    assert written() == ["Told-mood=odd-shots=1_Yes_rounds=2_seed1", "Told-mood=odd_Yes_rounds=2_seed1", "Told_Yes"]


def test_a_run_goes_on_where_it_is_whether_its_seed_is_in_its_name_or_not(typed: Typed) -> None:
    assert typed(*TOLD)[0] == 0
    Path("called").unlink()
    assert typed(*TOLD, "--seed", "0,1")[0] == 0
    assert written() == ["Told_Yes", "Told_Yes_seed1"]
    Path("called").unlink()
    assert typed(*TOLD, "--seed", "1")[0] == 0
    assert typed(*TOLD, "--seed", "0")[0] == 0
    assert not Path("called").exists(), "nothing is asked again"
    assert written() == ["Told_Yes", "Told_Yes_seed1"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (
            ("concurrency=2", "key_env=HOME", "price_in=1", "price_out=2", "timeout=5"),
            "ChatGPT",
        ),
        (("temperature=0.0", "model=gpt-4o-mini-2024-07-18", "prompt=few-shot"), "ChatGPT"),
        (("temperature=1", "model=gpt-4o"), "ChatGPT-model=gpt-4o-temperature=1"),
        (("temperature=1.0", "model=gpt-4o"), "ChatGPT-model=gpt-4o-temperature=1"),
        (("base_url=http://127.0.0.1:8000/v1/", "max_tokens=9"), "ChatGPT-base_url=127.0.0.1_8000_v1-max_tokens=9"),
        (("base_url=http://127.0.0.1:8000/v1", "max_tokens=9"), "ChatGPT-base_url=127.0.0.1_8000_v1-max_tokens=9"),
    ],
)
def test_an_endpoint_is_named_by_what_its_server_is_asked(typed: Typed, options: tuple[str, ...], name: str) -> None:
    code, out, _ = typed("--questioner", "chatgpt", "--dry-run", *(word for each in options for word in ("-q", each)))
    assert code == 0
    assert out.startswith(f"outputs/{name}_Yes.json: ")


@pytest.mark.parametrize(
    ("config", "typed", "name"),
    [
        ({"heat": 0.5}, {"heat": ".50"}, "X-heat=0.5"),
        ({"heat": 0.1234567}, {"heat": "0.1234567"}, "X-heat=0.1234567"),
        ({"most": 12345678}, {"most": "12345678"}, "X-most=12345678"),
        ({"own": True}, {"own": "yes"}, "X-own=true"),
        ({"url": "http://a/v1"}, {"url": "http://a/v1//"}, "X-url=a_v1"),
        # Another thing of that name in the configuration, as a prompt's.
        ({"model": {"id": "blip2_opt"}, "prompt": {"name": "short"}}, {"name": "blip2_opt"}, "X-name=blip2_opt"),
    ],
)
def test_a_value_is_spelled_as_the_configuration_has_it_and_whole(
    config: dict[str, object], typed: dict[str, str], name: str
) -> None:
    assert str(Side("X", config, typed)) == name


def test_models_that_name_their_player_are_not_named_twice() -> None:
    def side(kind: str, name: str, **options: str) -> str:
        return str(Side.of(Wanted(kind, name, options), build(kind, name, options, Context(Path()))))

    assert side("questioners", "hf", model="scenes:t5", prompt="scenes") == "scenes-t5-prompt=scenes"
    unanswered = {"backend": "hf", "model": "scenes:t5", "questions": "1", "decode": "greedy", "precision": "auto"}
    assert side("questioners", "unanswered", **unanswered) == "Unanswered_scenes-t5-questions=1"
    assert side("answerers", "openai-vision", model="org/seer:7b", max_side="64") == "seer_7b-max_side=64"
    # It declares BLIP2 whatever the model, and the released name is that of the largest.
    assert side("answerers", "blip2", model="scenes:blip2", batch_size="2") == "scenes-blip2"


def test_a_name_is_bounded_and_still_another_for_other_options() -> None:
    def name(last: str) -> str:
        changed = {f"option{number}": "x" * 30 for number in range(9)} | {"option9": last}
        return default_name([Side("A", changed, changed), Side("B", {}, {})], SETTINGS)

    assert len(name("1")) == len(name("2")) == LONGEST_NAME
    assert name("1") != name("2")
