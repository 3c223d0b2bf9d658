"""The cost limit: never passed, whatever the players are, and a run that it stopped goes on as if there were none."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from players import Answering, Asking, AskingSlowly, query, targets

from chatir import Dialog, Reply
from chatir.errors import InputError, StoppedRunError
from chatir.prompts.estimates import TYPICAL
from chatir.simulate import RunSummary, simulate


def priced(dialog: Dialog) -> Reply:
    """A question for 0.25 to 1 dollar: exact in binary, and another price for each request."""
    return Reply(f"is it number {len(dialog.rounds) + 1}?", cost=(1 + dialog.seed % 4) / 4)


def paid(dialog: Dialog, asked: str) -> Reply:
    return Reply(f"yes to {len(dialog.rounds)}", cost=0.125)


class Declaring(Asking):
    name = "Asking"

    def max_cost(self, dialog: Dialog) -> float:
        return 1.0


class DeclaringSlowly(AskingSlowly):
    name = "Asking"

    def max_cost(self, dialog: Dialog) -> float:
        return 1.0


class AnsweringForMoney(Answering):
    name = "Answering"

    def __init__(self, **options: int) -> None:
        super().__init__(paid, **options)

    def max_cost(self, dialog: Dialog, asked: str) -> float:
        return 0.125


def played(
    out: Path, asking: object, answering: object | None = None, *, count: int = 12, **more: object
) -> RunSummary:
    answering = answering or AnsweringForMoney()
    return simulate(targets(count), asking, answering, out=out / "x.json", rounds=3, **more)


def spent(out: Path) -> float:
    ((cost,),) = query(out / "x.run", "SELECT total(cost) FROM replies")
    return float(cost)


PLAYERS = {
    "local one by one": (Declaring, {}),
    "local in batches": (Declaring, {"batch_size": 5}),
    "local in threads": (Declaring, {"batch_size": 2, "concurrency": 3}),
    "remote, many at once": (DeclaringSlowly, {"concurrency": 16}),
    "remote in batches": (DeclaringSlowly, {"batch_size": 3, "concurrency": 4}),
}


@pytest.mark.parametrize(("kind", "options"), PLAYERS.values(), ids=PLAYERS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_no_limit_is_passed_and_the_end_is_that_of_a_run_without_one(
    tmp_path: Path, kind: type[Asking], options: dict[str, int], deterministic: bool
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "limited"
    total = played(whole, kind(priced, **options), deterministic=deterministic).questions.cost
    assert total
    for limit in (1.0, 7.5, 7.5, 20.0):
        with pytest.raises(StoppedRunError, match="with a higher --cost-limit goes on"):
            played(out, kind(priced, **options), cost_limit=limit, deterministic=deterministic)
        assert not (out / "x.json").exists()
        assert spent(out) <= limit
    played(out, kind(priced, **options), cost_limit=100.0, deterministic=deterministic)
    assert (out / "x.json").read_bytes() == (whole / "x.json").read_bytes()


@pytest.mark.parametrize("role", ["questioner", "answerer"])
def test_a_player_without_a_max_cost_is_refused_before_anything_is_asked(tmp_path: Path, role: str) -> None:
    class Silent(Answering):
        max_cost = None  # type: ignore[assignment]

    asking = Asking(priced) if role == "questioner" else Declaring(priced)
    answering = Answering() if role == "questioner" else Silent()
    asked = r"max_cost\(dialog\)" if role == "questioner" else r"max_cost\(dialog, question\)"
    with pytest.raises(InputError, match=rf"has no max_cost\(\), .*{asked}.*0\.0 if it is free"):
        played(tmp_path, asking, answering, cost_limit=1.0)
    assert not asking.calls.batches
    assert not list(tmp_path.iterdir())
    assert played(tmp_path, asking, answering).dialogs == 12, "without a limit nobody has to tell"


def test_players_that_cost_nothing_are_not_slowed_down(tmp_path: Path) -> None:
    class Free(AskingSlowly):
        def max_cost(self, dialog: Dialog) -> float:
            return 0.0

    asking = Free(lambda dialog: Reply("is it?"), concurrency=8)
    asking.seconds = 0.01
    assert played(tmp_path, asking, Answering(), cost_limit=0.01).dialogs == 12
    assert asking.calls.most_running > 2


def test_an_observer_costs_nothing_and_is_not_slowed_down(tmp_path: Path) -> None:
    class Watching:
        batch_size = 5

        def __init__(self) -> None:
            self.batches: list[int] = []

        def observe(self, dialogs: Sequence[Dialog]) -> list[bool]:
            self.batches.append(len(dialogs))
            return [False for _ in dialogs]

    watching = Watching()
    assert played(tmp_path, Declaring(priced), cost_limit=100.0, observer=watching).dialogs == 12
    assert max(watching.batches) == 5
    with pytest.raises(StoppedRunError):
        played(tmp_path / "b", Declaring(priced, concurrency=8), cost_limit=2.0, observer=Watching())
    assert spent(tmp_path / "b") <= 2.0


def test_all_that_was_paid_for_is_saved_and_earlier_sessions_count(tmp_path: Path) -> None:
    asking = Declaring(priced)
    with pytest.raises(StoppedRunError) as stopped:
        played(tmp_path, asking, cost_limit=5.0)
    told = str(stopped.value)
    assert "the cost limit of $5" in told
    assert f"${spent(tmp_path):.4f} are spent" in told
    assert "saved in" in told
    assert len(told.splitlines()) == 1
    asked = sum(map(len, asking.calls.batches))
    assert query(tmp_path / "x.run", "SELECT count(*) FROM replies WHERE role = 'question'") == [(asked,)]
    again = Declaring(priced)
    with pytest.raises(StoppedRunError):
        played(tmp_path, again, cost_limit=5.0)
    assert not again.calls.batches, "5 dollars were nearly spent before"
    assert played(tmp_path, Declaring(priced)).dialogs == 12, "without a limit it goes on to the end"


def test_a_limit_below_what_is_spent_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoppedRunError):
        played(tmp_path, Declaring(priced), cost_limit=5.0)
    before = spent(tmp_path)
    with pytest.raises(StoppedRunError):
        played(tmp_path, Declaring(priced), cost_limit=0.5)
    assert spent(tmp_path) == before


@pytest.mark.parametrize("limit", [1000.0, math.inf])
def test_a_limit_that_is_never_reached_changes_nothing(tmp_path: Path, limit: float) -> None:
    without = played(tmp_path / "without", DeclaringSlowly(priced, concurrency=8))
    summary = played(tmp_path / "with", DeclaringSlowly(priced, concurrency=8), cost_limit=limit)
    assert (tmp_path / "with" / "x.json").read_bytes() == (tmp_path / "without" / "x.json").read_bytes()
    assert summary.questions.cost == without.questions.cost
    costs = "SELECT position, round, role, text, cost FROM replies ORDER BY 1, 2, 3"
    assert query(tmp_path / "with" / "x.run", costs) == query(tmp_path / "without" / "x.run", costs)


def test_a_limit_that_just_suffices_is_spent_to_the_last_cent(tmp_path: Path) -> None:
    class Exact(Declaring):
        def max_cost(self, dialog: Dialog) -> float:
            return 0.5

    asking = Exact(lambda dialog: Reply("is it?", cost=0.5), concurrency=4)
    assert played(tmp_path, asking, Answering(), cost_limit=18.0).questions.cost == 18.0


@pytest.mark.parametrize("limit", [0, -1, math.nan, -math.inf])
def test_a_limit_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, limit: float) -> None:
    with pytest.raises(InputError, match="but must be more than 0 US dollars"):
        played(tmp_path / "new", Declaring(priced), cost_limit=limit)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("bound", [None, math.nan, math.inf, -1.0])
def test_a_player_whose_price_nobody_knows_is_refused(tmp_path: Path, bound: float | None) -> None:
    class Unpriced(Asking):
        def max_cost(self, dialog: Dialog) -> float | None:
            return bound

    asking = Unpriced(priced)
    told = "its price is unknown.*price_in and price_out" if bound is None else r"its max_cost\(\) returned"
    with pytest.raises(InputError, match=f"Unpriced: {told}"):
        played(tmp_path, asking, cost_limit=1.0)
    assert not asking.calls.batches
    assert played(tmp_path, Unpriced(priced)).dialogs == 12, "without a limit nobody has to know"


@pytest.mark.parametrize("as_given", [list, iter], ids=["list", "generator"])
def test_an_answerer_whose_price_nobody_knows_costs_no_question(
    tmp_path: Path, as_given: Callable[[list[Dialog]], Iterable[Dialog]]
) -> None:
    class Unpriced(Answering):
        asked: str | None = None

        def max_cost(self, dialog: Dialog, asked: str) -> float | None:
            self.asked = asked
            return None

    asking, answering = Declaring(priced), Unpriced()
    with pytest.raises(InputError, match="Unpriced: its price is unknown"):
        simulate(as_given(targets(4)), asking, answering, out=tmp_path / "x.json", rounds=1, cost_limit=1.0)
    assert not asking.calls.batches
    assert answering.asked == TYPICAL.question
    assert not list(tmp_path.iterdir())
    assert simulate(as_given(targets(4)), asking, answering, out=tmp_path / "x.json", rounds=1).dialogs == 4
    free = Unpriced()
    free.max_cost = lambda dialog, asked: 0.0  # type: ignore[method-assign]
    limited = simulate(as_given(targets(4)), asking, free, out=tmp_path / "y.json", rounds=1, cost_limit=99.0)
    assert limited.dialogs == 4, "the first of a generator is played, too"


def test_free_answers_go_on_while_questions_are_held_back(tmp_path: Path) -> None:
    answering = Answering(batch_size=2)
    with pytest.raises(StoppedRunError):
        played(tmp_path, Declaring(priced, batch_size=4), answering, cost_limit=6.0)
    states = query(tmp_path / "x.run", "SELECT role, count(*) FROM replies GROUP BY role ORDER BY role")
    assert states[0] == ("answer", states[1][1]), "each question that was paid for has its answer"


def test_free_answers_go_on_though_more_is_spent_than_may_be(tmp_path: Path) -> None:
    """A resumed run whose limit was lowered: what costs nothing is done before it stops."""

    def broken(dialog: Dialog, asked: str) -> Reply:
        raise InputError("pulled the plug")

    with pytest.raises(InputError, match="pulled the plug"):
        played(tmp_path, Declaring(priced, batch_size=12), Answering(broken))

    class Free(Answering):
        name = "Answering"

        def max_cost(self, dialog: Dialog, asked: str) -> float:
            return 0.0

    with pytest.raises(StoppedRunError):
        played(tmp_path, Declaring(priced), Free(), cost_limit=0.5)
    assert query(tmp_path / "x.run", "SELECT count(*) FROM replies WHERE role = 'answer'") == [(12,)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seconds", [0.0, 0.03])
def test_a_run_whose_plays_are_held_back_by_others_under_way_does_not_hang(tmp_path: Path, seconds: float) -> None:
    class Slowly(Asking):
        name = "Asking"
        running = 0.0

        async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:  # type: ignore[override]
            self.calls.batches.append(list(dialogs))
            await asyncio.sleep(seconds * (dialogs[0].seed % 3))
            return [Reply("is it?", cost=0.25) for _ in dialogs]

        def max_cost(self, dialog: Dialog) -> float:
            return 4.0  # sixteen times too careful: only two of them fit in at a time

    # 36 questions cost 9 dollars, but the last could have cost 4.
    assert played(tmp_path / "a", Slowly(concurrency=16), Answering(), cost_limit=12.75).dialogs == 12
    with pytest.raises(StoppedRunError):
        played(tmp_path / "b", Slowly(concurrency=16), Answering(), cost_limit=12.5)
    assert spent(tmp_path / "b") == 8.75


def test_replies_that_failed_and_those_asked_for_again_count_too(tmp_path: Path) -> None:
    turns = itertools.count()

    def script(dialog: Dialog) -> Reply:
        kind = next(turns) % 3
        if kind == 0:
            return Reply.failed("no_question", "said nothing", cost=1.0)
        return Reply.failed("server", "fell over", cost=1.0) if kind == 1 else Reply("is it?", cost=1.0)

    for limit in (5.0, 9.0, 14.0):
        with pytest.raises(StoppedRunError):
            played(tmp_path, Declaring(script), Answering(), cost_limit=limit)
        assert spent(tmp_path) == limit


def test_a_batch_that_was_spoiled_counts_with_what_it_can_have_cost(tmp_path: Path) -> None:
    lost: list[int] = []

    class Spoiled(Declaring):
        def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
            if len(dialogs) > 1:
                lost.append(len(dialogs))
                raise RuntimeError("not so many")
            return super().ask(dialogs)

    assert played(tmp_path, Spoiled(priced, batch_size=6), cost_limit=1000.0).dialogs == 12
    lost.clear()
    out = tmp_path / "b"
    with pytest.raises(StoppedRunError):
        played(out, Spoiled(priced, batch_size=3), cost_limit=10.0)
    assert lost
    assert spent(out) + 1.0 * sum(lost) <= 10.0


def test_prices_that_no_binary_fraction_holds_do_not_pass_the_limit_either(tmp_path: Path) -> None:
    class Odd(DeclaringSlowly):
        def max_cost(self, dialog: Dialog) -> float:
            return 0.1

    asking = Odd(lambda dialog: Reply("is it?", cost=0.1), concurrency=5)
    with pytest.raises(StoppedRunError):
        played(tmp_path, asking, Answering(), cost_limit=0.7)
    assert 0.59 < spent(tmp_path) <= 0.7 + 1e-12


def test_holding_many_plays_back_costs_little_time(tmp_path: Path) -> None:
    asked = itertools.count()

    class Careful(Declaring):
        def max_cost(self, dialog: Dialog) -> float:
            next(asked)
            return 2.0

    cheap = Careful(lambda dialog: Reply("is it?", cost=0.01))
    simulate(targets(200), cheap, Answering(), out=tmp_path / "x.json", rounds=2, cost_limit=6.5)
    assert next(asked) <= 401, "once before the run, and a play that is held back is not reckoned anew at each turn"


def test_what_was_set_aside_is_free_again_while_others_are_still_under_way(tmp_path: Path) -> None:
    ended: list[str] = []

    class Uneven(Asking):
        name = "Asking"

        async def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:  # type: ignore[override]
            slow = dialogs[0].caption == "a picture of 0 things" and not dialogs[0].rounds
            await asyncio.sleep(0.5 if slow else 0)
            ended.append("slow" if slow else "fast")
            return [Reply("is it?", cost=0.0) for _ in dialogs]

        def max_cost(self, dialog: Dialog) -> float:
            return 1.0

    answering = Answering()
    answering.max_cost = lambda dialog, asked: 0.0
    assert played(tmp_path, Uneven(concurrency=4), answering, cost_limit=2.0).dialogs == 12
    assert ended.index("slow") > 10


@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0])
def test_a_cost_that_none_can_be_does_not_lift_the_limit(tmp_path: Path, cost: float) -> None:
    turns = itertools.count()
    asking = Declaring(lambda dialog: Reply("is it?", cost=cost if next(turns) % 3 == 0 else 1.0))
    with pytest.raises(StoppedRunError):
        played(tmp_path, asking, Answering(), cost_limit=5.0)
    told = query(
        tmp_path / "x.run", "SELECT count(*), sum(cost), min(cost), max(cost) FROM replies WHERE role = 'question'"
    )
    assert told == [(5, 3.0, 1.0, 1.0)], "two of five did not tell; each counts with the most it can have cost"
