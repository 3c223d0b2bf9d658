"""`simulate`: one questioner and one answerer over a set of targets, from the first question to the dialogue JSON."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_args

from chatir.console import stopping_signals
from chatir.datasets.dialogue_json import dump_dialogs
from chatir.datasets.target_checks import ImagesThere, check_all_targets, checked_targets, first_of
from chatir.dialog import Dialog
from chatir.errors import GOES_ON, InputError, InterruptedRunError, StoppedRunError
from chatir.models.builtin.foreign import ForeignTargets
from chatir.run.file import EVERY, RunFile
from chatir.run.provenance import provenance
from chatir.simulate.loop.budget import check_prices
from chatir.simulate.loop.loop import Loop
from chatir.simulate.loop.soft_refusals import SoftRefusals
from chatir.simulate.opening import check_export, existing_run, open_run
from chatir.simulate.progress import Progress
from chatir.simulate.setting import (
    check_cost_limit,
    check_pair,
    check_settings,
    get_ready,
    image_root,
    players_of,
    run_config,
)
from chatir.simulate.summary import RunSummary, summary_of
from chatir.storage.files import atomic_writer, file_sha256


def simulate(
    targets: Iterable[Dialog],
    questioner: object,
    answerer: object,
    *,
    out: Path | str,
    rounds: int = 10,
    seed: int = 0,
    images: Path | str | None = None,
    observer: object | None = None,
    ask_again: int = 2,
    deterministic: bool = False,
    cost_limit: float | None = None,
    soft_refusals: SoftRefusals = "keep",
    fresh: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    note: Callable[[str], None] = lambda line: None,
) -> RunSummary:
    """Play every target and write the dialogue JSON `out`; blocks until the run ends.

    `out`'s run file (`X.run` beside `X.json`) keeps every reply as it comes; the same call again continues
    where it stopped and retries what failed. What people said is a target's `said`, or else its rounds.
    With the first targets of a run only, those are played to their end and exported; the run file keeps all.

    - `targets`: a generator is used up as the run goes; anything else is checked whole before it starts
    - `questioner`, `answerer`: objects with `ask` and `answer`, as `chatir.questioners.Questioner` and
      `chatir.answerers.Answerer` tell
    - `out`: the dialogue file, whose name ends in `.json`; dialogs that failed are not in it
    - `rounds`: per dialog
    - `seed`: of the run; each `Dialog.seed` is derived from it, so that no order of requests changes a reply
    - `images`: the image root, if a player looks at images: the folder that the player was built with
      (`Context(images=...)`), and that one unless named; the targets' images, but for a generator's, are looked for
      there before anybody is asked
    - `observer`: an object with `observe(dialogs)`, which sees each dialog at round 0 and after each round, and stops
      it by answering True
    - `ask_again`: how often a model that said nothing usable is asked once more
    - `deterministic`: fixed batches in target order, for players whose replies depend on their batch
    - `cost_limit`: US dollars that the run, all its sessions together, may cost at most
    - `soft_refusals`: "fail" makes a failure of an answer in which a model says that it cannot answer ("I'm not able to
      view images"), so that its dialog fails; "keep" keeps it as an answer
    - `fresh`: keep an existing run aside and start anew
    - `report`: called with the run's `Progress` as it goes on
    - `note`: called with a line that the user should see, as where a small built-in model plays about other images than
      scenes; the first exception of a player comes as a line for each of its traceback

    Raises InputError for bad input, another configuration or a run file in use, and, before anybody is asked, for what
    the players lack: a key, each other (`replays`), a price under a cost limit. Nothing is written then. While the
    run is on, with everything saved, it raises InterruptedRunError after SIGINT, SIGTERM or SIGHUP (caught in the main
    thread only), StoppedRunError before the cost limit would be passed, when a quota is exhausted, when a GPU fails and
    when a model lacks the memory for a single reply, and InputError for a target of a generator that is wrong and for
    what a player cannot go on with, a rejected key say. A player that only raises exceptions stops it with an
    InputError too, whose `__cause__` is the last of them.
    """
    out = Path(out)
    check_settings(out, rounds=rounds, seed=seed, ask_again=ask_again)
    check_cost_limit(cost_limit)
    if soft_refusals not in get_args(SoftRefusals):
        raise InputError(f"soft_refusals is {soft_refusals!r}, but must be 'keep' or 'fail'")
    players = players_of(questioner, answerer, observer)
    check_pair(players)
    root = image_root(players.values(), images)
    get_ready(players)
    if cost_limit is not None:
        first, targets = first_of(targets)
        if first is not None:
            check_prices(players, next(checked_targets([first], rounds, [])), seed)
    settings: dict[str, Any] = {"rounds": rounds, "seed": seed, "ask_again": ask_again, "deterministic": deterministic}
    settings["soft_refusals"] = soft_refusals
    config = run_config(players, **settings)
    checks = [player.check for player in players.values() if player.check]

    foreign = ForeignTargets([players["question"].config, players["answer"].config], root, note)
    total = None
    if iter(targets) is targets:
        checks.append(foreign.check)
    else:
        there = None if root is None else ImagesThere(root)
        looks = [foreign.check] if there is None else [there.check, foreign.check]
        total = check_all_targets(targets, rounds, [*checks, *looks])
        if there is not None and there.any_missing:
            _tell_of_images(there, None if fresh else existing_run(out, config, targets), note)
    run = open_run(out, config, None if total is None else targets, fresh=fresh, note=note)
    try:
        run.start_session(provenance())
        adapted = run.adapted
        for role, player in players.items():
            player.adapt(adapted.get(role, {}))
        loop = Loop(
            run,
            players,
            rounds=rounds,
            seed=seed,
            ask_again=ask_again,
            deterministic=deterministic,
            cost_limit=cost_limit,
            soft_refusals=soft_refusals,
            config=lambda players: run_config({role: player.now() for role, player in players.items()}, **settings),
            progress=_progress_so_far(run, total, rounds),
            report=report,
            note=note,
        )
        with _signals(loop.interrupt):
            given = loop.run(checked_targets(targets, rounds, checks))
        summary = summary_of(run, out, players["question"], players["answer"], given)
        if summary.dialogs:
            _export(run, out, given)
        return summary
    except (InterruptedRunError, StoppedRunError, KeyboardInterrupt) as error:
        of = "" if total is None else f" of {total}"
        given = EVERY if total is None else total
        done = run.ended_well(given)
        saved = f"{done}{of} dialogs are done, all replies that came are saved in {run.path}"
        goes_on = error.goes_on if isinstance(error, StoppedRunError) else GOES_ON
        goes_on += ", without --fresh" if fresh else ""
        if isinstance(error, StoppedRunError):
            if total == done + run.states(given).get("failed", 0) and done:
                _export(run, out, given)  # nothing but dialogs that failed is left
                saved += f", and {out} is written"
            raise StoppedRunError(f"stopped: {error}: {saved}; {goes_on}", goes_on="") from None
        raise InterruptedRunError(f"interrupted: {saved}; {goes_on}") from None
    finally:
        run.close()


def _tell_of_images(there: ImagesThere, run: RunFile | None, note: Callable[[str], None]) -> None:
    with nullcontext() if run is None else closing(run):
        if (told := there.told(run.is_done if run else None)) is not None:
            note(told)


def _progress_so_far(run: RunFile, total: int | None, rounds: int) -> Progress:
    progress = Progress(total, rounds)
    given = EVERY if total is None else total
    progress.dialogs = run.ended_well(given)
    progress.failed = run.states(given).get("failed", 0)
    progress.rounds = run.rounds(given)
    progress.cut = progress.dialogs * rounds - run.rounds_of_ended(given)  # dialogs that failed are tried again
    progress.repeats = run.repeats(given)[0]
    for spent in (run.totals("question"), run.totals("answer")):
        progress.spend(spent.tokens_in, spent.tokens_out, cost=spent.cost)
    return progress


def _export(run: RunFile, out: Path, given: int) -> None:
    """Write the dialogue JSON of the given targets; its hash is in the run file before the JSON is in its place."""
    check_export(run, out)
    with atomic_writer(out) as file:
        dump_dialogs(file, run.dialogs(given))
        file.flush()
        run.note_export(file_sha256(Path(file.name)), given if given < sum(run.states().values()) else None)


@contextmanager
def _signals(interrupt: Callable[[], None]) -> Iterator[None]:
    """Let signals that end a command call `interrupt`; a second one ends the wait for replies under way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    numbers = stopping_signals()

    def handle(number: int, frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.default_int_handler)
        interrupt()

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
