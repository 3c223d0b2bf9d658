"""A run in figures, and as `chatir simulate` prints them when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chatir.console import duration, printable
from chatir.run.file import RunFile
from chatir.run.rows import FailedDialog, RoleTotals
from chatir.simulate.player import Player

UNKNOWN = "unknown"


@dataclass(frozen=True)
class RunSummary:
    """What a run holds about the given targets, all its sessions together.

    - `name`: the stem of `out`, the dialogue file; `run_file`: the run file beside it
    - `questioner`, `answerer`: the players' names, as they are shown
    - `dialogs`: how many ended well; `stopped`: how many of them the observer stopped
    - `rounds`: those of the dialogs that ended well, all together
    - `repeats_per_dialog`: a mean over the dialogs that ended well, None without one; `repeating_dialogs`: how many of
      them repeat a question
    - `failed`: the dialogs that failed, in target order, each with its last failure
    - `questions`, `answers`: what replies of each role took, failed ones too
    - `seconds`: of all sessions
    - `new_replies`: replies of this session
    - `given`: targets of this session; `targets`: those of the run, which are more where only its first were given
    - `replayed`: whether the answers are those that people gave

    What replies and sessions took is told of the whole run.
    """

    name: str
    out: Path
    run_file: Path
    questioner: str
    answerer: str
    dialogs: int
    stopped: int
    rounds: int
    repeats_per_dialog: float | None
    repeating_dialogs: int
    failed: tuple[FailedDialog, ...]
    questions: RoleTotals
    answers: RoleTotals
    seconds: float
    new_replies: int
    given: int
    targets: int
    replayed: bool


def summary_of(run: RunFile, out: Path, questioner: Player, answerer: Player, given: int) -> RunSummary:
    """Read a run's summary from its run file. out: its dialogue file.

    given: how many of its targets, the first ones, this is about.
    """
    dialogs = run.ended_well(given)
    repeats, repeating = run.repeats(given)
    return RunSummary(
        name=out.stem,
        out=out,
        run_file=run.path,
        questioner=questioner.shown,
        answerer=answerer.shown,
        dialogs=dialogs,
        stopped=run.states(given).get("stopped", 0),
        rounds=run.rounds_of_ended(given),
        repeats_per_dialog=repeats / dialogs if dialogs else None,
        repeating_dialogs=repeating,
        failed=tuple(run.failed(given)),
        questions=run.totals("question"),
        answers=run.totals("answer"),
        seconds=run.seconds(),
        new_replies=run.new_replies(),
        given=given,
        targets=sum(run.states().values()),
        replayed=answerer.replays,
    )


def summary_text(summary: RunSummary) -> str:
    """A run in a few aligned lines; the last one is the path of the dialogue file, where there is one.

    Tokens and cost are told where a player told them; what only the other one told is `unknown`, never 0.
    """
    dialogs = f"{summary.dialogs} with {summary.rounds} rounds"
    if summary.stopped:
        dialogs += f", {summary.stopped} of them stopped early"
    lines = [("dialogs", dialogs)]
    if summary.given < summary.targets:
        lines.append(("targets", f"{summary.given} of the run's {summary.targets}; time, tokens and cost are of all"))
    if summary.replayed:
        lines.append(("answers", "replayed, as people gave them"))
    if summary.failed:
        lines.append(("failed dialogs", str(len(summary.failed))))
    if summary.repeats_per_dialog is not None:
        share = 100 * summary.repeating_dialogs / summary.dialogs
        lines.append(
            ("repeats per dialog", f"{summary.repeats_per_dialog:.2f} ({share:.0f}% of dialogs repeat a question)")
        )
    lines += [
        ("time", f"{duration(summary.seconds)} ({_busy(summary)})"),
    ]
    spent = (summary.questions, summary.answers)
    if any(totals.tokens_in is not None or totals.tokens_out is not None for totals in spent):
        lines.append(("tokens", f"{_tokens(summary.questions)} asking, {_tokens(summary.answers)} answering"))
    if any(totals.cost is not None for totals in spent):
        lines.append(("cost", f"{_cost(summary.questions)} asking, {_cost(summary.answers)} answering"))
    width = max(len(name) for name, _ in lines)
    text = [f"{summary.questioner} asks, {summary.answerer} answers"]
    text += [f"  {name:<{width}}  {value}" for name, value in lines]
    text.append(printable(str(summary.out if summary.dialogs else summary.run_file)))
    return "\n".join(text)


def _busy(summary: RunSummary) -> str:
    return f"asking {duration(summary.questions.seconds)}, answering {duration(summary.answers.seconds)}"


def _tokens(totals: RoleTotals) -> str:
    if totals.tokens_in is None and totals.tokens_out is None:
        return UNKNOWN
    return f"{totals.tokens_in or 0:,} in + {totals.tokens_out or 0:,} out"


def _cost(totals: RoleTotals) -> str:
    return UNKNOWN if totals.cost is None else f"${totals.cost:.4f}"
