"""The dry run: what a run would take, told without calling anyone or making a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from players import Answering, Asking, said, targets

from chatir import Dialog, Reply
from chatir.datasets.targets import Targets
from chatir.errors import InputError
from chatir.plugins import build
from chatir.prompts.estimates import Estimate
from chatir.simulate import simulate
from chatir.simulate.dry_run import MOST, SAMPLE, Foreseen, NotBuilt, dry_run


class Untouchable(Asking):
    name = "Asking"

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        raise AssertionError("was called")

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        raise AssertionError("was called")

    def close(self) -> None:
        raise AssertionError("was called")


class Estimating(Untouchable):
    def __init__(self) -> None:
        super().__init__()
        self.estimated: list[Dialog] = []

    def estimate(self, dialog: Dialog, rounds: int) -> Estimate:
        self.estimated.append(dialog)
        calls = rounds - len(dialog.rounds)
        return Estimate(calls, 10 * calls, 2 * calls, 0.5 * calls)


def foreseen(out: Path, asking: object = None, answering: object = None, *, count: int = 6, **more: object) -> Foreseen:
    settings = {"rounds": 4, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False} | more
    answering = answering or Untouchable()
    return dry_run(targets(count), asking or Estimating(), answering, out=out / "x.json", **settings)


def begun(
    out: Path, *, count: int = 6, rounds: int = 4, answer: Callable[[Dialog, str], Reply] | None = None, **more: object
) -> None:
    answering = Answering(answer) if answer else Answering()
    answering.name = "Asking"
    simulate(targets(count), Asking(), answering, out=out / "x.json", rounds=rounds, **more)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def test_calls_tokens_and_cost_are_counted_by_player_and_nothing_is_made(tmp_path: Path) -> None:
    told = foreseen(tmp_path / "deep")
    assert told == Foreseen(
        6, 6, {"Asking asks": Estimate(24, 240, 48, 12.0), "Asking answers": Estimate(24, None, None, None)}
    )
    assert str(told).splitlines() == [
        "6 dialogs",
        "  Asking asks     24 calls, about 240 tokens in + 48 out, about $12.00",
        "  Asking answers  24 calls, tokens unknown, cost unknown",
    ]
    assert not list(tmp_path.iterdir())


def test_a_run_that_exists_is_continued_and_stays_as_it_is(tmp_path: Path) -> None:
    def fallible(dialog: Dialog, asked: str) -> Reply:
        broken = dialog.caption.startswith("a picture of 2 ") and len(dialog.rounds) == 1
        return Reply.failed("image", "is gone") if broken else Reply("yes")

    begun(tmp_path, count=4, answer=fallible)
    before = snapshot(tmp_path)
    asking = Estimating()
    told = foreseen(tmp_path, asking, count=6)
    assert (told.dialogs, told.to_play) == (6, 3)
    # Two are new; of the third, round 1 is done, and question 2 is asked already.
    assert told.estimates["Asking asks"].calls == 4 + 4 + 2
    assert told.estimates["Asking answers"].calls == 4 + 4 + 3
    assert str(told).startswith("6 dialogs, 3 of them done\n")
    assert snapshot(tmp_path) == before
    assert [len(dialog.rounds) for dialog in asking.estimated] == [2, 0, 0]


def test_a_complete_run_takes_nothing(tmp_path: Path) -> None:
    begun(tmp_path)
    told = foreseen(tmp_path)
    assert (told.dialogs, told.to_play) == (6, 0)
    assert told.estimates["Asking asks"].calls == told.estimates["Asking answers"].calls == 0


def test_fresh_counts_everything_and_leaves_the_old_run(tmp_path: Path) -> None:
    begun(tmp_path)
    before = snapshot(tmp_path)
    assert foreseen(tmp_path, fresh=True).to_play == 6
    assert foreseen(tmp_path, fresh=True, seed=7).to_play == 6
    assert snapshot(tmp_path) == before


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as refused:
        call()
    return str(refused.value)


@pytest.mark.parametrize("other", [{"seed": 3}, {"rounds": 5}, {"ask_again": 1}, {"deterministic": True}], ids=repr)
def test_another_configuration_is_refused_in_the_words_of_simulate(tmp_path: Path, other: dict[str, object]) -> None:
    begun(tmp_path)
    before = snapshot(tmp_path)
    told = refusal(lambda: foreseen(tmp_path, **other))
    assert told == refusal(lambda: begun(tmp_path, **other))
    assert "was made with another configuration" in told
    assert snapshot(tmp_path) == before


def test_other_files_and_targets_are_refused_in_the_words_of_simulate(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    told = refusal(lambda: foreseen(tmp_path))
    assert told == refusal(lambda: begun(tmp_path))
    assert "has no run file" in told
    begun(tmp_path, fresh=True)
    assert str(foreseen(tmp_path, count=5)).startswith("5 dialogs, 5 of them done")


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"ask_again": -1}, {"rounds": 1.5}], ids=repr)
def test_settings_that_make_no_run_are_refused_in_the_words_of_simulate(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    assert refusal(lambda: foreseen(tmp_path, **wrong)) == refusal(lambda: begun(tmp_path, **wrong))
    settings = {"rounds": 4, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False}
    with pytest.raises(InputError, match=r"needs a name that ends in \.json"):
        dry_run(targets(2), Estimating(), Untouchable(), out=tmp_path / "x.txt", **settings)


@pytest.mark.parametrize(("count", "told"), [(0, "there are no targets"), (2, "is named twice")])
def test_targets_that_are_none_are_refused(tmp_path: Path, count: int, told: str) -> None:
    settings = {"rounds": 4, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False}
    with pytest.raises(InputError, match=told):
        dry_run([*targets(count), *targets(count)], Estimating(), Untouchable(), out=tmp_path / "x.json", **settings)


def test_a_generator_of_targets_counts_them_all(tmp_path: Path) -> None:
    begun(tmp_path, count=4)
    settings = {"rounds": 4, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False}
    told = dry_run(iter(targets(6)), Estimating(), Untouchable(), out=tmp_path / "x.json", **settings)
    assert (told.dialogs, told.to_play) == (6, 2)


class ByCaption(Estimating):
    """Tokens grow along the targets, and are less for dialogs that have begun."""

    def estimate(self, dialog: Dialog, rounds: int) -> Estimate:
        self.estimated.append(dialog)
        calls = rounds - len(dialog.rounds)
        return Estimate(calls, calls * int(dialog.caption.split()[3]), calls, calls / 4)


def test_many_dialogs_are_estimated_from_some_at_even_distances(tmp_path: Path) -> None:
    asking = ByCaption()
    few, many = MOST, MOST + 1_000
    assert foreseen(tmp_path, asking, count=few).sampled is None
    assert len(asking.estimated) == few
    asking = ByCaption()
    told = foreseen(tmp_path, asking, count=many)
    assert (told.dialogs, told.to_play, told.sampled, len(asking.estimated)) == (many, many, SAMPLE, SAMPLE)
    estimate = told.estimates["Asking asks"]
    assert (estimate.calls, estimate.tokens_out, estimate.cost) == (4 * many, 4 * many, many)
    assert estimate.tokens_in == pytest.approx(4 * sum(range(many)), rel=0.01)
    assert told.estimates["Asking answers"] == Estimate(4 * many, None, None, None)
    assert str(told).splitlines()[-1] == f"  estimated from {SAMPLE:,} of {many:,} dialogs"
    again = ByCaption()
    assert foreseen(tmp_path, again, count=many) == told
    assert again.estimated == asking.estimated


def test_done_dialogs_are_counted_and_no_part_of_the_sample(tmp_path: Path) -> None:
    begun(tmp_path, count=40)
    asking = ByCaption()
    told = foreseen(tmp_path, asking, count=MOST + 41)
    assert (told.dialogs, told.to_play, told.sampled) == (MOST + 41, MOST + 1, SAMPLE)
    assert asking.estimated[0].id == targets(41)[40].id
    assert told.estimates["Asking asks"].calls == 4 * (MOST + 1)


def test_every_target_is_checked_though_few_are_estimated(tmp_path: Path) -> None:
    count = MOST + 50
    wrong = [*targets(count), Dialog("../out.jpg", "a cat")]
    settings = {"rounds": 4, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False}
    with pytest.raises(InputError, match=f"target {count} .* image path"):
        dry_run(wrong, Estimating(), Untouchable(), out=tmp_path / "x.json", **settings)


def test_a_player_that_is_not_built_counts_its_calls_and_leaves_the_run_uncompared(tmp_path: Path) -> None:
    begun(tmp_path, count=4)
    notes: list[str] = []
    told = foreseen(tmp_path, Estimating(), NotBuilt("blip2"), count=6, note=notes.append, seed=5)
    assert (told.dialogs, told.to_play) == (6, 2)
    assert str(told).splitlines()[1:] == [
        "  Asking asks    8 calls, about 80 tokens in + 16 out, about $4.00",
        "  blip2 answers  8 calls, not checked",
    ]
    assert notes == [f"{tmp_path / 'x.run'}: its configuration is not compared, since blip2 is not built"]
    settings = {"rounds": 4, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False}
    nameless = dry_run(targets(6), Estimating(), NotBuilt("blip2"), out=None, **settings)
    assert nameless.to_play == 6


@pytest.mark.parametrize("there", [0, 2, 4])
def test_missing_images_are_counted_and_no_error(tmp_path: Path, there: int) -> None:
    some = targets(4)
    for target in some[:there]:
        (tmp_path / target.image).parent.mkdir(exist_ok=True)
        (tmp_path / target.image).touch()
    notes: list[str] = []
    looking = NotBuilt("blip2", needs_images=True)
    assert foreseen(tmp_path, None, looking, count=4, images=tmp_path, note=notes.append).to_play == 4
    told = {0: "contains none of the targets' images", 2: "the images of 2 of 4 targets are missing", 4: None}[there]
    assert [told in note for note in notes if told] == ([True] if told else [])
    assert foreseen(tmp_path, count=4, images=tmp_path, note=notes.append), "nobody looks at them"
    assert len(notes) == (told is not None)


@pytest.mark.parametrize("uses_said", [False, True])
def test_an_estimate_sees_no_more_than_the_player_does(tmp_path: Path, uses_said: bool) -> None:
    asking = Estimating()
    asking.uses_said = uses_said
    people = [Dialog("a.jpg", "a cat", rounds=said("is it black? no"))]
    settings = {"rounds": 2, "seed": 0, "ask_again": 2, "deterministic": False, "fresh": False}
    dry_run(people, asking, Untouchable(), out=tmp_path / "x.json", **settings)
    (shown,) = asking.estimated
    assert shown.rounds == ()
    assert bool(shown.said) == uses_said


@pytest.mark.parametrize("prompt", ["few-shot", "zero-shot"])
def test_the_tokens_of_chatgpt_are_those_of_its_messages(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    """Against the released dialogs of the same pair, characters / 4 and four tokens a message: within 15%."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    dialogues = shared / "data" / "chatir" / "dialogues"
    released = json.loads((dialogues / "ChatGPT_BLIP2.json").read_text())
    chatgpt = build("questioners", "chatgpt", {"prompt": prompt})
    told = dry_run(
        Targets(dialogues / "VisDial_v1.0_queries_val.json"),
        chatgpt,
        Untouchable(),
        out=tmp_path / "x.json",
        rounds=10,
        seed=0,
        ask_again=2,
        deterministic=False,
        fresh=False,
    )
    estimate = told.estimates["ChatGPT asks"]
    assert (told.dialogs, estimate.calls) == (len(released), 10 * len(released)) == (2064, 20640)
    frame = sum(len(message.content) + 16 for message in chatgpt.request(Dialog("x.jpg", "")).messages)
    tokens_in = tokens_out = 0.0
    for item in released:
        caption, *rounds = item["dialog"]
        for number, turn in enumerate(rounds):
            history = sum(len("Question: \nAnswer: \n") + len(text) for text in rounds[:number])
            tokens_in += (frame + len(caption) + history) / 4
            tokens_out += len(turn[: turn.rfind("?") + 1]) / 4
    assert estimate.tokens_in == pytest.approx(tokens_in, rel=0.15)
    assert estimate.tokens_out == pytest.approx(tokens_out, rel=0.15)
    assert estimate.cost == pytest.approx((tokens_in * 0.15 + tokens_out * 0.6) / 1e6, rel=0.15)
    assert not list(tmp_path.iterdir())
