"""Unanswered questioners: one list a dialog, played in order, completed where it is short, kept through a resume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Request, fault, in_order
from players import Answering, query, targets

from chatir import Dialog, Reply, Round
from chatir.errors import InputError, InterruptedRunError, StoppedRunError
from chatir.models.builtin import checkpoints
from chatir.plugins import build
from chatir.simulate import read_dialogs, simulate

TEN = [f"What is thing number {n} made of?" for n in range(1, 11)]


pytestmark = pytest.mark.usefixtures("quick_retries")


def numbered(questions: Sequence[str]) -> str:
    return "Sure! Here are some questions:\n" + "\n".join(f"{n}. {q}" for n, q in enumerate(questions, 1))


def unanswered(server: ChatServer, **options: Any) -> Any:
    return build("questioners", "unanswered-chatgpt", {"base_url": server.url, "model": "m", **options})


def test_ten_questions_are_asked_for_once_and_played_in_order(tmp_path: Path) -> None:
    with ChatServer(in_order(numbered(TEN))) as server:
        simulate(targets(3), unanswered(server), Answering(), out=tmp_path / "x.json")
        assert len(server.requests) == 3
        asked = [request.texts("user")[0] for request in server.requests]
    for dialog in read_dialogs(tmp_path / "x.json"):
        assert [turn.question for turn in dialog.rounds] == TEN
    assert all(
        text.startswith("Write 10 short questions about the image described by the following caption. Assume that the")
        for text in asked
    )
    assert sorted(text.rpartition(": ")[2] for text in asked) == sorted(target.caption for target in targets(3))


def test_it_never_sees_an_answer() -> None:
    with ChatServer(in_order(numbered(TEN[:4]), numbered(TEN[4:]))) as server:
        questioner = unanswered(server)
        dialog = Dialog("a.jpg", "a cat", (Round("q?", "SECRET"),), memory=json.dumps(["q?"]))
        play(questioner, dialog)
        assert "SECRET" not in str([request.body for request in server.requests])


def play(questioner: Any, dialog: Dialog) -> Reply:
    import asyncio

    async def asked() -> Reply:
        (reply,) = await questioner.ask([dialog])
        await questioner.close()
        return reply  # type: ignore[no-any-return]

    return asyncio.run(asked())


def test_missing_questions_are_asked_for_without_what_is_there(tmp_path: Path) -> None:
    script = in_order(numbered(TEN[:7]), numbered([*TEN[7:9]]), numbered([TEN[9], "Is one too many?"]))
    with ChatServer(script) as server:
        simulate(targets(1), unanswered(server), Answering(), out=tmp_path / "x.json")
        assert len(server.requests) == 3
        roles = [[message["role"] for message in (r.body or {})["messages"]] for r in server.requests]
        assert roles == [["user"], ["user", "assistant", "user"], ["user", "assistant", "user"]]
        assert "Write 3 more short questions" in server.requests[1].texts("user")[-1]
        assert TEN[6] in server.requests[1].texts("assistant")[0]
        assert "Write 1 more short questions" in server.requests[2].texts("user")[-1]
    (dialog,) = read_dialogs(tmp_path / "x.json")
    assert [turn.question for turn in dialog.rounds] == TEN
    ((tokens, raw),) = query(
        tmp_path / "x.run", "SELECT tokens_in, raw FROM replies WHERE role = 'question' AND round = 1"
    )
    assert tokens > 0
    assert raw.count("Sure!") == 3, "all that was said is kept"
    later = query(tmp_path / "x.run", "SELECT tokens_in, cost FROM replies WHERE role = 'question' AND round > 1")
    assert later == [(None, None)] * 9, "they took no request"


def test_a_list_that_stays_short_is_played_as_far_as_it_goes_and_asked_again_then(tmp_path: Path) -> None:
    def script(asked: Request) -> str:
        return numbered(TEN[:6]) if asked.number == 0 else "I have no more." if asked.number < 3 else numbered(TEN[6:])

    with ChatServer(script) as server:
        simulate(targets(1), unanswered(server), Answering(), out=tmp_path / "x.json")
        assert len(server.requests) == 4
    (dialog,) = read_dialogs(tmp_path / "x.json")
    assert [turn.question for turn in dialog.rounds] == TEN


def test_a_model_that_lists_nothing_fails_its_dialog(tmp_path: Path) -> None:
    with ChatServer(in_order("I am sorry, I cannot see images.")) as server:
        summary = simulate(targets(1), unanswered(server), Answering(), out=tmp_path / "x.json", ask_again=1)
        assert len(server.requests) == 6
    (failed,) = summary.failed
    assert (failed.kind, failed.times) == ("no_question", 2)


def test_a_refusal_fails_its_dialog_and_is_not_asked_again(tmp_path: Path) -> None:
    with ChatServer(in_order(fault.refusal("no"))) as server:
        summary = simulate(targets(1), unanswered(server), Answering(), out=tmp_path / "x.json")
        assert len(server.requests) == 1
    assert [failed.kind for failed in summary.failed] == ["refused"]


def test_more_rounds_than_questions_take_another_list(tmp_path: Path) -> None:
    lists = (numbered(TEN[:4]), numbered(TEN[4:8]), numbered([*TEN[8:], *TEN[:2]]))
    with ChatServer(in_order(*lists)) as server:
        simulate(targets(1), unanswered(server, questions=4), Answering(), out=tmp_path / "x.json", rounds=9)
        assert len(server.requests) == 3
    (dialog,) = read_dialogs(tmp_path / "x.json")
    assert [turn.question for turn in dialog.rounds] == TEN[:9]


def test_repeats_in_a_list_are_left_as_they_are(tmp_path: Path) -> None:
    with ChatServer(in_order(numbered([TEN[0]] * 10))) as server:
        summary = simulate(targets(1), unanswered(server), Answering(), out=tmp_path / "x.json")
    assert summary.repeats_per_dialog == 9


def test_a_list_that_was_paid_for_is_played_though_the_run_is_stopped_while_it_is_completed(tmp_path: Path) -> None:
    broke = [True]

    def script(asked: Request) -> Any:
        if asked.number == 0:
            return numbered(TEN[:3])
        return fault.quota() if broke[0] else numbered(TEN[3:])

    with ChatServer(script) as server:
        with pytest.raises(StoppedRunError, match="quota"):
            simulate(targets(1), unanswered(server), Answering(), out=tmp_path / "x.json")
        rows = query(tmp_path / "x.run", "SELECT text FROM replies WHERE role = 'question'")
        assert rows == [(question,) for question in TEN[:3]], "what was paid for is kept, and played"
        broke[0] = False
        asked = len(server.requests)
        simulate(targets(1), unanswered(server), Answering(), out=tmp_path / "x.json")
        assert len(server.requests) == asked + 1, "only the missing questions are asked for"
    (dialog,) = read_dialogs(tmp_path / "x.json")
    assert [turn.question for turn in dialog.rounds] == TEN


def test_options_that_a_list_cannot_take_are_refused() -> None:
    with pytest.raises(InputError, match="a list takes no 'shots'"):
        build("questioners", "unanswered", {"shots": "1"})
    with pytest.raises(InputError, match="chooses one question at a time: add questions=1"):
        build("questioners", "unanswered", {"backend": "hf", "decode": "first-unasked"})


class Revealing(Answering):
    """Answers with a word that a questioner could not have from elsewhere."""

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        return [Reply("secret") for _ in questions]


def test_the_small_t5_asks_one_question_after_the_other_and_never_sees_an_answer(tmp_path: Path) -> None:
    options = {"backend": "hf", "model": "scenes:t5", "questions": "1", "prompt": "scenes-unanswered"}
    questioner = build("questioners", "unanswered", options | {"decode": "first-unasked"})
    assert questioner.name == "Unanswered_t5"
    dialogs = [Dialog("0.png", "a star and something else on a dark background")]
    for name, answering in (("a", Answering()), ("b", Revealing())):
        simulate(dialogs, questioner, answering, out=tmp_path / f"{name}.json")
    (one,), (other,) = (read_dialogs(tmp_path / f"{name}.json") for name in "ab")
    asked = [turn.question for turn in one.rounds]
    assert asked == [turn.question for turn in other.rounds], "whatever the answers were"
    assert len(set(asked)) == 10
    greedy = build("questioners", "unanswered", options)
    simulate(dialogs, greedy, Answering(), out=tmp_path / "c.json")
    (stuck,) = read_dialogs(tmp_path / "c.json")
    assert len({turn.question for turn in stuck.rounds}) < 5, "each of its questions is the likeliest one"


class BrokenOff(Answering):
    """Ends the run after some answers."""

    name = "Answering"
    left = 25

    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError("enough")
        return super().answer(dialogs, questions)


def test_a_resumed_run_plays_the_list_on_that_was_paid_for(tmp_path: Path) -> None:
    def script(asked: Request) -> str:
        return numbered([f"{q[:-1]} of {asked.number}?" for q in TEN])  # another list each time

    with ChatServer(script) as server:
        with pytest.raises(InterruptedRunError):
            simulate(targets(6), unanswered(server), BrokenOff(), out=tmp_path / "x.json")
        assert len(server.requests) == 6
        simulate(targets(6), unanswered(server), Answering(), out=tmp_path / "x.json")
        assert len(server.requests) == 6, "no list is asked for twice"
    for dialog in read_dialogs(tmp_path / "x.json"):
        lists = {turn.question.rpartition(" of ")[2] for turn in dialog.rounds}
        assert len(lists) == 1


def test_any_questioner_with_a_model_can_be_the_backend(tmp_path: Path) -> None:
    with ChatServer(in_order(numbered(TEN))) as server:
        options = {"backend": "chatgpt", "base_url": server.url, "model": "m"}
        questioner = build("questioners", "unanswered", options)
        simulate(targets(1), questioner, Answering(), out=tmp_path / "x.json")
    assert questioner.name == "Unanswered_ChatGPT"
    assert [turn.question for turn in read_dialogs(tmp_path / "x.json")[0].rounds] == TEN
    with pytest.raises(InputError, match="backend=human: has no model that could write a list"):
        build("questioners", "unanswered", {"backend": "human"})
    with pytest.raises(InputError, match="questioner 'hf' has no option 'modle'"):
        build("questioners", "unanswered", {"backend": "hf", "modle": "x"})


def test_a_model_at_hand_writes_lists_in_batches(tmp_path: Path) -> None:
    """The small T5 knows no lists: it asks one question at a time, so that one is asked for after the other."""
    options = {"backend": "hf", "model": str(checkpoints()["t5"]), "prompt": LISTING, "questions": "2"}
    path = tmp_path / "listing.toml"
    path.write_text(LISTING_TOML)
    questioner = build("questioners", "unanswered", {**options, "prompt": str(path)})
    assert questioner.name == "Unanswered_t5"
    scenes = [Dialog(f"{n}.png", f"a {shape} and something else") for n, shape in enumerate(["star", "heart", "ring"])]
    summary = simulate(scenes, questioner, Answering(), out=tmp_path / "x.json", rounds=2)
    assert summary.dialogs == 3
    assert all(turn.question.endswith("?") for dialog in read_dialogs(tmp_path / "x.json") for turn in dialog.rounds)
    ((config,),) = query(tmp_path / "x.run", "SELECT value FROM run WHERE key = 'config'")
    assert json.loads(config)["questioner"]["config"]["questions"] == 2


LISTING = "listing"
LISTING_TOML = '''
name = "listing"
version = 1
source = "a test"
template = """
Caption: {{ caption }}
{% for question in asked %}
Question: {{ question }}
Answer: yes
{% endfor %}
Question:"""
'''


def test_a_list_can_cost_no_more_than_it_says() -> None:
    with ChatServer(in_order(numbered(TEN[:4]), numbered(TEN[4:]))) as server:
        questioner = unanswered(server, price_in=1, price_out=2)
        dialog = Dialog("a.jpg", "a cat")
        reply = play(questioner, dialog)
        assert reply.cost is not None
        assert 0 < reply.cost <= questioner.max_cost(dialog)
        asked = Dialog("a.jpg", "a cat", (Round("q?", "a"),), memory=reply.memory)
        assert questioner.max_cost(asked) == 0


def test_an_estimate_counts_lists_not_rounds() -> None:
    questioner = build("questioners", "unanswered-chatgpt", {})
    fresh, begun = Dialog("a.jpg", "a cat"), Dialog("a.jpg", "a cat", (Round("q?", "a"),))
    assert questioner.estimate(fresh, 10).calls == 1
    assert questioner.estimate(fresh, 11).calls == 2
    assert questioner.estimate(begun, 10).calls == 0
    assert questioner.estimate(fresh, 10).cost > 0
