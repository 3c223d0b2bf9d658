"""A comparison that has something of everything, with names and texts that mean harm to every format."""

from __future__ import annotations

from dataclasses import replace

from compare.comparisons import asked, compared, difference, primary, retrieval, side_by_side

from chatir import Dialog, Round
from chatir.compare.comparison import Agreement, ComparedRun, Comparison, FailureBound, SeedGroup, Spread, Verdict

TEX = "a_b%$#&{}~^\\ \"q\" 'r' <b>--|*x*`y`| ?`"
SCREEN = "\x1b[31mred\x1b[0m\r\n[bold]名前é[/bold]\u202e"
SHEET = "=cmd|' /C calc'!A0 " + "x" * 60
HOSTILE = (TEX, SCREEN, SHEET)
PLAIN = ("Human_BLIP2", "ChatGPT_BLIP2", "FLAN_BLIP2")


def full(names: tuple[str, str, str] = HOSTILE) -> Comparison:
    """Three runs ranked by two retrievers, the first of them the baseline."""
    a, b, c = names
    runs = tuple(_ranked(name, seed) for seed, name in enumerate(names))
    made = side_by_side(*runs)
    described = [
        replace(difference(a, b, "mrr", 0.01, 0.02), primary=False, p_holm=None, p=None, round=made.rounds),
        replace(difference(a, b, "hits@10", 1.0, 2.0), primary=False, p_holm=None, p=None, round=1),
    ]
    return replace(
        made,
        differences=(*primary(a, b), *primary(a, c), *described),
        verdicts=(Verdict(a, b, "runs", ("captions differ",), f"{b} finds more targets than {a}."),),
        agreements=(Agreement(a, b, 120, 71.25, 68.1, 74.2, 0, None, None, 2.5, 3.75),),
        groups=(SeedGroup(f"{c} (2 seeds)", ("x", "y"), (0, 1), (Spread("bri", "CLIP", 1.5, 0.0123, 0.04),)),),
        bounds=(FailureBound(a, b, "hits@10", "CLIP", 15, 1, 2, -4.5, 12.25),),
        notes=(f"{b}: was left out of <something>",),
        method="Tested by flipping signs; B = 9,999.",
        worst={a: (0, 3)},
    )


def _ranked(name: str, seed: int) -> ComparedRun:
    dialogs = (Dialog(SCREEN, TEX, (Round("Why?", SHEET), Round(f"{TEX} why?", ""))), *asked(seed)[1:])
    run = compared(name, dialogs=dialogs, labels=("CLIP",), seed=seed)
    return replace(run, retrieval={**run.retrieval, "CLIP (#2_&)": retrieval(len(dialogs), seed + 5, 12.5)})
