"""One run and its dialogs as lines for a terminal; whatever files hold is shown, never obeyed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from chatir.compare.shown.overview_table import dialogs_told
from chatir.compare.shown.shown_run import ShownDialog, ShownReply, ShownRound, ShownRun
from chatir.console import duration, printable
from chatir.run.ranking_labels import flat
from chatir.run.rows import RoleTotals
from chatir.run.runs import RecordedPlayer

LEAST_WIDTH = 40
SHORT = 40
"""Characters of a setting that is shown; what is longer is a prompt."""
UNKNOWN = "not known"
PLAYERS = ("questioner", "answerer", "observer")
FAILURES = 10
"""Failed dialogs that are named."""


def run_text(run: ShownRun, *, width: int | None) -> str:
    """The run in short, or, where dialogs were asked for, these. width: to fold lines to, None to fold none."""
    parts = [_dialog(dialog, run) for dialog in run.dialogs] if run.dialogs else [_overview(run)]
    columns = None if width is None else max(width, LEAST_WIDTH)
    return "\n\n".join("\n".join(_folded(part, columns)) for part in parts)


def _folded(lines: Iterator[tuple[str, str]], width: int | None) -> Iterator[str]:
    """Heads and texts as lines; what is folded of a text stands under its beginning."""
    for head, text in lines:
        words = [printable(text)] if width is None else wrap(printable(text), max(width - len(head), LEAST_WIDTH // 2))
        first, *rest = words or [""]
        yield f"{head}{first}".rstrip()
        yield from (f"{' ' * len(head)}{line}" for line in rest)


def _overview(run: ShownRun) -> Iterator[tuple[str, str]]:
    shown = run.overview
    yield "", " and ".join(str(path) for path in (shown.file, shown.run_file) if path is not None)
    rows = [(role, text) for role in PLAYERS if (text := _player(role, run)) is not None]
    rows += [("settings", _settings(run.config))] if run.config and "imported" not in run.config else []
    rows.append(("state", shown.state + (f": {shown.problem}" if shown.problem else "")))
    failed = f", {shown.failed:,} failed" if shown.failed else ""
    rows.append(("dialogs", dialogs_told(shown) + failed))
    if shown.repeats_per_dialog is not None:
        rows.append(("repeats", f"{shown.repeats_per_dialog:.2f} per dialog"))
    rows += [(f"{role}s", _spent(totals)) for role, totals in run.totals.items() if totals.replies]
    rows += [("session", f"{each.started}, {duration(each.seconds)}") for each in run.sessions]
    rows += [
        ("ranked by", f"{each.label}: {each.dialogs:,} dialogs in {each.images:,} images") for each in run.rankings
    ]
    rows += [("failed", str(each)) for each in run.failed[:FAILURES]]
    if (more := len(run.failed) - FAILURES) > 0:
        rows.append(("failed", f"{more:,} more: --format json names all"))
    yield from ((f"  {name:<12}", text) for name, text in rows)


def _player(role: str, run: ShownRun) -> str | None:
    declared = (run.config or {}).get(role)
    if isinstance(declared, Mapping) and isinstance(config := declared.get("config", {}), Mapping):
        return ": ".join(filter(None, [str(declared.get("name")), _settings(config)]))
    if role == "observer":
        return None
    player: RecordedPlayer | None = getattr(run.overview, role)
    return UNKNOWN if player is None else player.name


def _settings(config: Mapping[str, Any]) -> str:
    """The settings that a line can show: no players, hashes or prompts' texts."""
    told = []
    for name, value in flat({key: value for key, value in config.items() if key not in PLAYERS}):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if value is not None and not name.endswith("sha256") and len(text) <= SHORT and "\n" not in text:
            told.append(f"{name.removesuffix('.id').removesuffix('.name')} {text}")
    return ", ".join(told)


def _spent(totals: RoleTotals) -> str:
    told = [f"{totals.replies:,} replies", duration(totals.seconds)]
    if totals.tokens_in is not None or totals.tokens_out is not None:
        told.append(f"{totals.tokens_in or 0:,} tokens in + {totals.tokens_out or 0:,} out")
    if totals.cost is not None:
        told.append(f"${totals.cost:.4f}")
    return ", ".join(told)


def _dialog(dialog: ShownDialog, run: ShownRun) -> Iterator[tuple[str, str]]:
    """A dialog, a round after the other, with the target's rank by each retriever before it."""
    name = dialog.image if dialog.id == dialog.image else f"{dialog.id} ({dialog.image})"
    state = {"open": ", unfinished", "stopped": ", stopped early", "failed": ", failed"}.get(dialog.state or "", "")
    yield "", f"{name}, number {dialog.number} of {run.overview.name}{state}"
    labels = list(dialog.ranks)
    widths = [max(len(printable(label)), 5) for label in labels]
    yield _head("round", labels, widths), ""
    yield _head("0", _ranks(dialog, 0), widths), dialog.caption
    for one in dialog.rounds:
        head = _head(str(one.number) if one.number else "", _ranks(dialog, one.number) if one.number else [], widths)
        for text in _round(one):
            yield head, text
            head = " " * len(head)


def _head(number: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [*cells, *[""] * (len(widths) - len(cells))]
    columns = (f"{printable(cell):>{width}}" for cell, width in zip(padded, widths, strict=True))
    return "  ".join([f"{number:>5}", *columns, ""])


def _ranks(dialog: ShownDialog, number: int) -> list[str]:
    """The target's rank after a round, by each retriever."""
    ranks = [found.ranks for found in dialog.ranks.values()]
    return [f"{each[number]:,}" if number < len(each) else "" for each in ranks]


def _round(one: ShownRound) -> Iterator[str]:
    again = f"  (repeats round {one.repeats})" if one.repeats else ""
    if one.question is not None:
        yield f"Q: {one.question}{again}"
    yield from _remarks(one.replies, "question")
    if one.answer is not None:
        yield f"A: {one.answer}"
    yield from _remarks(one.replies, "answer")
    yield from _remarks(one.replies, "observe")


def _remarks(replies: Sequence[ShownReply], role: str) -> Iterator[str]:
    """What else there is of a role's replies: failures, raw texts, notes. A failure that came again is counted."""
    told: dict[str, int] = {}
    for reply in (reply for reply in replies if reply.role == role):
        for line in _of_reply(reply):
            told[line] = told.get(line, 0) + 1
    yield from (line + (f" ({times} times)" if times > 1 else "") for line, times in told.items())


def _of_reply(reply: ShownReply) -> Iterator[str]:
    if reply.kind is not None:
        yield f"   failed: {reply.role}: {reply.kind}: {reply.message}"
    if reply.raw is not None and reply.kind != "exception":  # whose raw text is a traceback
        yield f"   raw: {reply.raw}"
    if reply.notes:
        yield "   note: " + ", ".join(f"{name} {value}" for name, value in flat(reply.notes))
