"""`chatir show`: how a run was made, and every dialog of it, whatever became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from compare.made_runs import CLIP, made_run, named, same_question
from players import Answering, Asking
from simulate.test_resume import snapshot

from chatir import Dialog, Reply
from chatir.errors import StoppedRunError
from chatir.run.ranks import Ranking
from chatir.simulate import simulate, write_dialogs

Typed = Callable[..., tuple[int, str, str]]
BLIP = Ranking("BLIP", {"precision": "fp32"}, "d" * 64, 50)


def shown(typed: Typed, *words: str) -> str:
    before = snapshot(Path("outputs"))
    code, out, err = typed("show", *words)
    assert (code, err) == (0, "")
    assert snapshot(Path("outputs")) == before, "nothing on the disk changes"
    return out


def odd_run() -> Path:
    """A run about four images: one is played as it should be, one fails, one fails once, and one says odd things."""
    tries: list[str] = []

    def ask(dialog: Dialog) -> Reply:
        if dialog.image == "images/1.jpg" and dialog.rounds:
            return Reply.failed("refused", "I will not ask\nthat", raw="No.")
        if dialog.image == "images/2.jpg" and not tries:
            tries.append(dialog.id)
            return Reply.failed("no_question", "says nothing usable", raw="Hm.")
        raw = 'Question: "Is it red?"\n' if dialog.image == "images/3.jpg" else None
        return Reply("Is it red?" if len(dialog.rounds) != 1 else "is it blue?", raw=raw, notes=raw and {"finish": "x"})

    simulate(named(4), Asking(ask), Answering(lambda dialog, asked: Reply("no")), out="outputs/odd.json", rounds=3)
    return Path("outputs/odd.json")


def test_a_run_is_shown_with_players_settings_sessions_ranks_and_failures(typed: Typed) -> None:
    ranks = [(CLIP, lambda dialog: [20, 9, 4, 1]), (BLIP, lambda dialog: [2, 2, 2, 2])]
    declared = {"name": "T5", "config": {"model": {"id": "t5", "sha256": "0" * 64}, "prompt": {"text": "long\n" * 20}}}
    made_run(Path("outputs"), "x", questioner=declared, failing=["images/1.jpg"], ask=same_question, ranks=ranks)
    out = shown(typed, "x")
    for line in (
        "outputs/x.json and outputs/x.run",
        "  questioner  T5: model t5",
        "  answerer    Sees",
        "  settings    rounds 3, seed 0, ask_again 0, deterministic false",
        "  state       failed dialogs",
        "  dialogs     3/4, 1 failed",
        "  repeats     2.00 per dialog",
        "  ranked by   CLIP: 3 dialogs in 1,000 images",
        "  ranked by   BLIP: 3 dialogs in 50 images",
        "  failed      images/1.jpg: answer of round 1: refused: no answer",
    ):
        assert line in out
    assert "  session     20" in out
    assert "long" not in out
    told = json.loads(shown(typed, "x", "--format", "json"))
    assert told["config"]["questioner"] == declared
    assert [len(told[key]) for key in ("sessions", "rankings", "failures", "shown")] == [1, 2, 1, 0]


def test_a_dialog_is_shown_with_ranks_and_repeats(typed: Typed) -> None:
    ranks = [(CLIP, lambda dialog: [20, 9, 1000, 1]), (BLIP, lambda dialog: [2, 3, 4, 5])]
    made_run(Path("outputs"), "x", ask=lambda dialog: ["a?", "b?", "A ?"][len(dialog.rounds)], ranks=ranks)
    lines = shown(typed, "x", "--target", "images/2.jpg").splitlines()
    assert lines[:3] == [
        "images/2.jpg, number 2 of x",
        "round   CLIP   BLIP",
        "    0     20      2  a picture of 2 things",
    ]
    assert "    2  1,000      4  Q: b?" in lines
    assert "    3      1      5  Q: A ?  (repeats round 1)" in lines
    (told,) = json.loads(shown(typed, "x", "--target", "2", "--format", "json"))["shown"]
    assert told["ranks"] == {"CLIP": [20, 9, 1000, 1], "BLIP": [2, 3, 4, 5]}
    assert [one["repeats"] for one in told["rounds"]] == [0, 0, 1]


def test_failures_raw_texts_and_notes_are_shown(typed: Typed) -> None:
    odd_run()
    failed = shown(typed, "odd", "--target", "1")
    assert "images/1.jpg, number 1 of odd, failed" in failed
    assert " ".join(failed.splitlines()[-2].split()) == "2 failed: question: refused: I will not ask\\nthat"
    assert failed.splitlines()[-1].strip() == "raw: No."
    tried = shown(typed, "odd", "--target", "2")
    assert "failed: question: no_question: says nothing usable" in tried
    assert "raw: Hm." in tried
    assert "Q: Is it red?  (repeats round 1)" in tried
    noted = shown(typed, "odd", "--target", "3")
    assert 'raw: Question: "Is it red?"\\n' in noted
    assert "note: finish x" in noted
    plain = shown(typed, "odd", "--target", "0")
    assert "raw:" not in plain
    assert "failed" not in plain
    told = json.loads(shown(typed, "odd", *(word for n in "0123" for word in ("--target", n)), "--format", "json"))
    assert [one["number"] for one in told["shown"]] == [0, 1, 2, 3]
    assert told["shown"][1]["rounds"][1]["replies"][0]["kind"] == "refused"


def test_an_unfinished_dialog_is_shown_as_far_as_it_is(typed: Typed) -> None:
    def ask(dialog: Dialog) -> Reply:
        return Reply(f"is it {len(dialog.rounds)}?", cost=1.0)

    asking = Asking(ask)
    asking.max_cost = lambda dialog: 1.0
    with pytest.raises(StoppedRunError):
        simulate(named(1), asking, Answering(), out="outputs/x.json", rounds=3, cost_limit=2.5)
    for name in ("x", "outputs/x", "outputs/x.json", "outputs/x.run"):
        out = shown(typed, name, "--target", "0")
        assert "images/0.jpg, number 0 of x, unfinished" in out
        assert "    2  Q: is it 1?" in out
        assert "is it 2?" not in out
    assert "  state       unfinished\n  dialogs     0/1+\n" in shown(typed, "x")


def test_a_file_from_elsewhere_and_one_of_another_run_are_shown(typed: Typed) -> None:
    rounds = ("is it red? no", "is it red? no")
    items = [{"img": f"{n // 2}.jpg", "id": f"a{n}", "dialog": [f"caption {n}", *rounds]} for n in range(4)]
    Path("outputs/theirs.json").write_text(json.dumps(items))
    assert "  questioner  not known" in shown(typed, "theirs")
    both = shown(typed, "theirs", "--target", "./1.jpg")
    assert "a2 (1.jpg), number 2 of theirs" in both
    assert "a3 (1.jpg), number 3 of theirs" in both
    assert both.count("(repeats round 1)") == 2
    made_run(Path("outputs"), "mine")
    write_dialogs(Path("outputs/mine.json"), named(1))
    assert "mine.run: does not belong to mine.json as it is now, and is left out" in shown(typed, "mine")
    assert "mine.json: is not the file that its run wrote" in shown(typed, "outputs/mine.run")


def test_what_files_hold_is_printed_and_never_obeyed(typed: Typed) -> None:
    hostile = "[red]\x1b[2J\nis it?"
    asking = Asking(lambda dialog: Reply("is it?", raw=hostile, notes={hostile: [hostile]}))
    asking.name = hostile
    asking.config = {hostile: hostile}
    simulate([Dialog("a.jpg", "[bold]\x1b[2Jcaption")], asking, Answering(), out="outputs/x.json", rounds=1)
    for words in (["x"], ["x", "--target", "0"]):
        out = shown(typed, *words)
        assert "\x1b" not in out
        assert "[red]" in out
    assert "[bold]\\x1b[2Jcaption" in out


def test_a_terminal_gets_folded_lines(typed: Typed) -> None:
    from chatir.compare.shown.run_text import run_text
    from chatir.compare.shown.shown_run import show_run

    made_run(Path("outputs"), "x", ask=lambda dialog: "is there " + "a thing and " * 20 + "that?", rounds=1)
    lines = run_text(show_run("x", ["0"]), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    at = next(place for place, line in enumerate(lines) if "Q: is there" in line)
    assert lines[at + 1].index("thing") == lines[at].index("Q:")


LINES = [
    (["nowhere"], "nowhere: there is no such dialogue file or run file; 'chatir runs' lists those in outputs"),
    (["x", "--target", "9"], "--target 9: is the id, image or number of no dialog of x; it has 4, numbered from 0"),
    (["x", "--target", "-1"], "--target -1: is the id"),
    (["broken"], "broken.json: is not valid JSON"),
    (["cut.run"], "cut.run"),
    (["outputs"], "outputs: there is no such"),
    ([""], "there is no such"),
    (["x" * 300], "file name too long"),
    (["list"], "list.json: holds no dialogs"),
]


@pytest.mark.parametrize(("words", "line"), LINES, ids=[" ".join(words)[:20] for words, _ in LINES])
def test_what_cannot_be_shown_is_one_line(typed: Typed, words: list[str], line: str) -> None:
    made_run(Path("outputs"), "x")
    Path("outputs/broken.json").write_text('[{"img": ')
    Path("outputs/list.json").write_text("[]")
    Path("outputs/cut.run").write_bytes(Path("outputs/x.run").read_bytes()[:9000])
    code, out, err = typed("show", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert line in err


def test_a_run_that_is_being_written_is_refused(typed: Typed) -> None:
    from contextlib import closing

    from chatir.run.file import RunFile

    made_run(Path("outputs"), "x")
    with closing(RunFile.open(Path("outputs/x.run"))):
        code, out, err = typed("show", "x")
    assert (code, out) == (2, "")
    assert "x.run: this process is writing this run" in err
