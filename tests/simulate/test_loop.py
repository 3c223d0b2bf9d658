"""The loop: what players are given, and what becomes of what they say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from players import Answering, Asking, AskingSlowly, answer, query, question, said, targets

from chatir import Dialog, Reply, Round
from chatir.errors import InputError
from chatir.simulate import read_dialogs, simulate
from chatir.simulate.loop.loop import WINDOW
from chatir.simulate.loop.play import derived_seed
from chatir.simulate.summary import summary_text

PLAYERS = {
    "local one by one": (Asking, {}),
    "local in batches": (Asking, {"batch_size": 7}),
    "local in two threads": (Asking, {"batch_size": 3, "concurrency": 2}),
    "remote one by one": (AskingSlowly, {}),
    "remote, many at once": (AskingSlowly, {"batch_size": 2, "concurrency": 16}),
}


def ran(
    out: Path, *, count: int = 40, rounds: int = 4, asking: object = None, answering: object = None, **more: object
):
    return simulate(
        targets(count), asking or Asking(), answering or Answering(), out=out / "x.json", rounds=rounds, **more
    )


@pytest.mark.parametrize(("kind", "options"), PLAYERS.values(), ids=PLAYERS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_results_depend_on_nothing_but_targets_and_seed(
    tmp_path: Path, kind: type[Asking], options: dict[str, int], deterministic: bool
) -> None:
    reference, other = tmp_path / "a", tmp_path / "b"
    ran(reference)
    asking = kind(**options)
    ran(other, asking=asking, answering=Answering(batch_size=5), deterministic=deterministic)
    assert (other / "x.json").read_bytes() == (reference / "x.json").read_bytes()
    assert asking.calls.most_running <= options.get("concurrency", 1)
    assert max(map(len, asking.calls.batches)) <= options.get("batch_size", 1)


def test_players_see_the_dialog_so_far_and_nothing_else(tmp_path: Path) -> None:
    asking, answering = Asking(), Answering()
    target = Dialog("a.jpg", "a cat", said=said("is it a cat? yes", "is it black? no"), id="one", extra={"secret": 1})
    simulate([target], asking, answering, out=tmp_path / "x.json", rounds=2)
    (first,), (second,) = asking.calls.batches
    assert (first.image, first.caption, first.rounds, first.id) == ("a.jpg", "a cat", (), "one")
    assert first.said == ()
    assert not first.extra
    (written,) = read_dialogs(tmp_path / "x.json")
    assert [(r.question, r.answer) for r in second.rounds] == [(r.question, r.answer) for r in written.rounds[:1]]


def test_a_player_that_declares_it_sees_what_people_said(tmp_path: Path) -> None:
    asking = Asking()
    asking.uses_said = True
    people = said("is it a cat? yes")
    simulate([Dialog("a.jpg", "a cat", rounds=people)], asking, Answering(), out=tmp_path / "x.json", rounds=1)
    ((shown,),) = asking.calls.batches
    assert shown.said == people
    assert shown.rounds == ()


def test_a_seed_is_of_the_request_not_of_its_turn(tmp_path: Path) -> None:
    asking = Asking(batch_size=8)
    ran(tmp_path, count=8, rounds=2, asking=asking, seed=5)
    seeds = {(d.id, len(d.rounds)): d.seed for batch in asking.calls.batches for d in batch}
    assert len(set(seeds.values())) == 16
    assert all(seed == derived_seed(5, id_, rounds + 1, 0) for (id_, rounds), seed in seeds.items())
    assert derived_seed(5, "a", 1, 0) != derived_seed(6, "a", 1, 0) != derived_seed(6, "a", 1, 1)


def test_dialogs_in_flight_are_bounded_and_a_generator_is_not_run_ahead(tmp_path: Path) -> None:
    taken: list[Dialog] = []
    ahead: list[int] = []

    def stream() -> Iterator[Dialog]:
        for target in targets(WINDOW * 4):
            taken.append(target)
            yield target

    answered = itertools.count(1)

    def script(dialog: Dialog, asked: str) -> Reply:
        ahead.append(len(taken) - next(answered))
        return answer(dialog, asked)

    summary = simulate(stream(), Asking(), Answering(script), out=tmp_path / "x.json", rounds=1)
    assert summary.dialogs == len(taken) == WINDOW * 4
    assert max(ahead) <= WINDOW


def test_a_failed_dialog_is_left_out_named_and_tried_again_by_the_same_call(tmp_path: Path) -> None:
    broken = True

    def script(dialog: Dialog, asked: str) -> Reply:
        if broken and dialog.caption.startswith("a picture of 3 ") and len(dialog.rounds) == 2:
            return Reply.failed("image", "cannot be decoded")
        return answer(dialog, asked)

    summary = ran(tmp_path, answering=Answering(script))
    assert [(f.id, f.round, f.role, f.kind, f.times) for f in summary.failed] == [
        ("unlabeled2017/000000000003.jpg", 3, "answer", "image", 1)
    ]
    assert summary.dialogs == 39
    assert "unlabeled2017/000000000003.jpg" not in {d.image for d in read_dialogs(tmp_path / "x.json")}

    broken = False
    asking, answering = Asking(), Answering(script)
    summary = ran(tmp_path, asking=asking, answering=answering)
    assert summary.dialogs == 40
    assert not summary.failed
    assert sum(map(len, asking.calls.batches)) == 1, "question 3 was there already, only question 4 was lacking"
    assert sum(map(len, answering.calls.batches)) == 2
    ran(tmp_path / "undisturbed")
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "undisturbed" / "x.json").read_bytes()


def test_an_exception_fails_the_dialogs_of_its_call_and_no_other(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        if " 5 " in dialog.caption:
            raise RuntimeError("boom")
        return question(dialog)

    summary = ran(tmp_path, asking=Asking(script), count=10)
    assert summary.dialogs == 9
    (failed,) = summary.failed
    assert (failed.kind, failed.message) == ("exception", "RuntimeError: boom")
    ((raw,),) = query(tmp_path / "x.run", "SELECT raw FROM replies WHERE kind = 'exception'")
    assert "Traceback" in raw


def test_an_error_meant_for_the_user_stops_the_run_with_what_came_before_saved(tmp_path: Path) -> None:
    def script(dialog: Dialog) -> Reply:
        if len(dialog.rounds) == 3 and " 39 " in dialog.caption:
            raise InputError("the key was refused")
        return question(dialog)

    with pytest.raises(InputError, match="the key was refused"):
        ran(tmp_path, asking=Asking(script))
    assert not (tmp_path / "x.json").exists()
    asking = Asking()
    assert ran(tmp_path, asking=asking).dialogs == 40
    assert sum(map(len, asking.calls.batches)) < 40


@pytest.mark.parametrize("unusable", [1, 2, 3])
def test_a_reply_without_a_question_is_asked_for_again_with_another_seed(tmp_path: Path, unusable: int) -> None:
    seeds: list[int] = []

    def script(dialog: Dialog) -> Reply:
        if " 1 " in dialog.caption and len(dialog.rounds) == 1:
            seeds.append(dialog.seed)
            if len(seeds) <= unusable:
                return Reply.failed("no_question", "the reply holds no question", raw="hm")
        return question(dialog)

    summary = ran(tmp_path, asking=Asking(script), count=3)
    assert len(set(seeds)) == len(seeds) == min(unusable + 1, 3)
    if unusable == 3:
        (failed,) = summary.failed
        assert (failed.kind, failed.times) == ("no_question", 3)
        seeds_before = set(seeds)
        again = ran(tmp_path, asking=Asking(script), count=3)
        assert not again.failed
        assert not seeds_before & set(seeds[3:]), "a later try is another attempt"
    else:
        assert not summary.failed


def test_ask_again_may_be_forbidden(tmp_path: Path) -> None:
    asking = Asking(lambda dialog: Reply.failed("no_question", "nothing"))
    summary = ran(tmp_path, asking=asking, count=3, ask_again=0)
    assert len(summary.failed) == sum(map(len, asking.calls.batches)) == 3
    assert not (tmp_path / "x.json").exists(), "a run without a dialog writes no dialogue file"


def test_rounds_are_those_of_the_dialogs_that_the_summary_counts(tmp_path: Path) -> None:
    def fails_once(dialog: Dialog) -> Reply:
        late = len(dialog.rounds) == 3 and dialog.id.endswith("1.jpg")
        return Reply.failed("server_error", "broken") if late else question(dialog)

    summary = ran(tmp_path, asking=Asking(fails_once), count=3, rounds=4)
    assert (summary.dialogs, summary.rounds, len(summary.failed)) == (2, 8, 1)
    assert summary.answers.replies == 11
    assert "2 with 8 rounds" in summary_text(summary)


def test_a_repeated_question_is_never_repaired(tmp_path: Path) -> None:
    summary = ran(tmp_path, asking=Asking(lambda dialog: Reply("Is it red?")), count=5, rounds=4)
    assert summary.repeats_per_dialog == 3
    assert summary.repeating_dialogs == 5


class Observer:
    """Stops a dialog once it has as many rounds as its image has things."""

    batch_size = 4

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
        self.seen += [(dialog.id, len(dialog.rounds)) for dialog in dialogs]
        return [len(dialog.rounds) == int(dialog.caption.split()[3]) for dialog in dialogs]


@pytest.mark.parametrize("deterministic", [False, True])
def test_an_observer_sees_every_round_from_the_caption_on_and_stops_dialogs(
    tmp_path: Path, deterministic: bool
) -> None:
    observer = Observer()
    summary = ran(tmp_path, observer=observer, count=8, rounds=5, deterministic=deterministic)
    lengths = [len(dialog.rounds) for dialog in read_dialogs(tmp_path / "x.json")]
    assert lengths == [0, 1, 2, 3, 4, 5, 5, 5]
    assert summary.stopped == 6
    assert sorted(observer.seen) == [
        (t.id, r) for t, length in zip(targets(8), lengths, strict=True) for r in range(length + 1)
    ]


def test_an_observer_that_fails_fails_its_dialogs(tmp_path: Path) -> None:
    class Failing(Observer):
        def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
            if any(" 3 " in dialog.caption for dialog in dialogs):
                raise OSError("index is gone")
            return super().observe(dialogs)

    summary = ran(tmp_path, observer=Failing(), count=5)
    assert [(f.role, f.round, f.message) for f in summary.failed] == [("observe", 0, "OSError: index is gone")]
    with pytest.raises(InputError, match="observer"):
        ran(tmp_path, count=5)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (lambda dialogs: [], "gave 0 replies, but must give a list of 1"),
        (lambda dialogs: None, "gave a NoneType, but must give a list of 1"),
        (lambda dialogs: ["is it red?"], "gave str, but must give a Reply"),
    ],
)
def test_a_player_that_breaks_the_contract_stops_the_run(tmp_path: Path, script: object, told: str) -> None:
    class Wrong:
        ask = staticmethod(script)

    with pytest.raises(InputError, match=f"Wrong: {told}"):
        ran(tmp_path, asking=Wrong())


def test_a_raw_text_of_any_kind_is_kept(tmp_path: Path) -> None:
    summary = ran(tmp_path, asking=Asking(lambda dialog: Reply("is it?", raw="\ud800\0")), count=1)
    assert summary.dialogs == 1


def test_fixed_batches_hold_consecutive_targets_at_the_same_round(tmp_path: Path) -> None:
    asking, answering = AskingSlowly(batch_size=4, concurrency=3), Answering(batch_size=6)
    ran(tmp_path, asking=asking, answering=answering, count=30, rounds=3, deterministic=True)
    for calls, size in ((asking.calls, 4), (answering.calls, 6)):
        numbers = [[int(d.caption.split()[3]) for d in batch] for batch in calls.batches]
        assert all(
            batch == list(range(batch[0], min(30, batch[0] + size))) and batch[0] % size == 0 for batch in numbers
        )
        assert all(len({len(d.rounds) for d in batch}) == 1 for batch in calls.batches)


class BatchSensitive(Asking):
    """A model in low precision, drawn large: what it says depends on the company its dialog is in."""

    name = "BatchSensitive"
    calls_left = 10**9

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise InputError("pulled the plug")
        company = " ".join(dialog.caption.split()[3] for dialog in dialogs)
        replies = [Reply(f"{company} in round {len(dialog.rounds) + 1}?") for dialog in dialogs]
        if len(dialogs[0].rounds) == 1 and dialogs[0].caption.split()[3] == "4":
            replies[0] = Reply.failed("no_question", "lost for words") if len(dialogs) > 1 else replies[0]
        return replies


def test_fixed_batches_make_a_run_repeatable_whenever_it_is_broken_off(tmp_path: Path) -> None:
    def broken_off(folder: Path, calls: int) -> bool:
        asking = BatchSensitive(batch_size=4)
        asking.calls_left = calls
        try:
            ran(folder, asking=asking, answering=Answering(batch_size=6), count=18, rounds=3, deterministic=True)
        except InputError:
            return True
        return False

    assert not broken_off(tmp_path / "undisturbed", 10**9)
    expected = (tmp_path / "undisturbed" / "x.json").read_bytes()
    for calls in range(1, 9):
        folder = tmp_path / str(calls)
        while broken_off(folder, calls):
            pass
        assert (folder / "x.json").read_bytes() == expected, calls


def test_closing_happens_where_the_player_works(tmp_path: Path) -> None:
    import asyncio
    import threading

    where: dict[str, object] = {}

    class Local(Answering):
        def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
            where["answer"] = threading.current_thread()
            return super().answer(dialogs, questions)

        def close(self) -> None:
            where["closed"] = threading.current_thread()

    class Remote(AskingSlowly):
        async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:  # type: ignore[override]
            where["loop"] = asyncio.get_running_loop()
            return await super().ask(dialogs)

        async def close(self) -> None:
            where["closed loop"] = asyncio.get_running_loop()

    ran(tmp_path, asking=Remote(), answering=Local())
    assert where["answer"] is where["closed"] is not threading.main_thread()
    assert where["loop"] is where["closed loop"]


def test_rounds_are_told_to_the_run_in_full(tmp_path: Path) -> None:
    summary = ran(tmp_path, count=10, rounds=4)
    assert (summary.rounds, summary.questions.replies, summary.answers.replies) == (40, 40, 40)
    assert (summary.questions.tokens_in, summary.questions.tokens_out, summary.questions.cost) == (120, 80, 20.0)
    assert (summary.answers.tokens_in, summary.answers.cost) == (None, None)
    assert all(isinstance(turn, Round) for dialog in read_dialogs(summary.out) for turn in dialog.rounds)
