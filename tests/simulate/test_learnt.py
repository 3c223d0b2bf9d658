"""What a player finds out while it plays: kept with the replies that came of it, and given back later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from players import Answering, Asking, query, targets

from chatir import Dialog, Reply
from chatir.errors import InputError
from chatir.run.file import RunFile
from chatir.run.runs import read_runs
from chatir.simulate import simulate


class Adapting(Asking):
    """Finds out at its third question that its server wants no temperature."""

    name = "Adapting"

    def __init__(self, temperature: float | None = 0.0) -> None:
        super().__init__(self.asked)
        self.temperature = temperature
        self.adapted: dict[str, Any] = {}
        self.provenance: dict[str, Any] = {}

    @property
    def config(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    def adapt(self, changes: Mapping[str, Any]) -> None:
        self.adapted = {**self.adapted, **changes}
        self.temperature = self.adapted["temperature"]

    def asked(self, dialog: Dialog) -> Reply:
        if len(self.calls.batches) == 3:
            self.adapt({"temperature": None})
        self.provenance = {"models": [f"seer-{len(self.calls.batches) // 5}"]}
        odd = {"finish_reason": "repetition"} if len(self.calls.batches) == 2 else None
        return Reply(f"is it {len(dialog.rounds)}?", notes=odd)


def play(out: Path, asking: Adapting, count: int = 3, **more: Any) -> None:
    simulate(targets(count), asking, Answering(), out=out, rounds=2, **more)


def test_what_was_learnt_belongs_to_the_configuration_and_to_the_record(tmp_path: Path) -> None:
    play(tmp_path / "x.json", Adapting())
    with RunFile.reading(tmp_path / "x.run") as run:
        assert run.given_config["questioner"]["config"] == {"temperature": 0.0}
        assert run.config["questioner"]["config"] == {"temperature": None}
        assert run.adapted == {"question": {"temperature": None}}
        ((_, _, provenance),) = run.sittings()
    assert provenance["players"] == {"question": {"models": ["seer-1"]}}
    assert "python" in provenance
    notes = query(tmp_path / "x.run", "SELECT role, notes FROM notes JOIN replies USING (reply)")
    assert [(role, json.loads(text)) for role, text in notes] == [("question", {"finish_reason": "repetition"})]
    (compared,) = read_runs([tmp_path / "x.json"], print)
    assert compared.questioner is not None
    assert compared.questioner.config == {"temperature": None}


def test_a_run_that_goes_on_is_given_back_what_was_learnt(tmp_path: Path) -> None:
    play(tmp_path / "x.json", Adapting(), count=3)
    again = Adapting()
    play(tmp_path / "x.json", again, count=5)
    assert again.temperature is None
    by_hand = Adapting(temperature=None)
    play(tmp_path / "x.json", by_hand, count=6)
    assert len(by_hand.calls.batches) == 2, "one dialog more"
    with pytest.raises(InputError, match=r"questioner\.config\.temperature"):
        play(tmp_path / "x.json", Adapting(temperature=0.5), count=6)


def test_a_run_in_which_nothing_was_learnt_is_as_version_0_1_wrote_it(tmp_path: Path) -> None:
    simulate(targets(3), Asking(), Answering(), out=tmp_path / "x.json", rounds=2)
    assert query(tmp_path / "x.run", "SELECT key FROM run") == [("config",), ("log",)]
    assert query(tmp_path / "x.run", "SELECT name FROM sqlite_master WHERE name = 'notes'") == []
    config = json.loads(query(tmp_path / "x.run", "SELECT value FROM run")[0][0])
    assert sorted(config) == ["answerer", "ask_again", "deterministic", "questioner", "rounds", "seed"]


def test_notes_that_are_no_plain_data_are_kept_as_text(tmp_path: Path) -> None:
    asking = Asking(lambda dialog: Reply("is it?", notes={"seen": {1, 2}}))
    simulate(targets(1), asking, Answering(), out=tmp_path / "x.json", rounds=1)
    assert query(tmp_path / "x.run", "SELECT notes FROM notes") == [(json.dumps({"notes": "{'seen': {1, 2}}"}),)]


@pytest.mark.parametrize("bad", [{"latency": float("nan")}, [1], print], ids=["nan", "list", "method"])
def test_what_a_player_notes_wrongly_costs_no_reply(tmp_path: Path, bad: object) -> None:
    asking = Asking(lambda dialog: Reply("is it?"))
    asking.provenance = asking.adapted = bad  # type: ignore[attr-defined]
    assert simulate(targets(2), asking, Answering(), out=tmp_path / "x.json", rounds=2).dialogs == 2


class Refusing(Answering):
    def answer(self, dialogs: Sequence[Dialog], questions: Sequence[str]) -> list[Reply]:
        return [Reply("I'm sorry, but I am not able to view images." if len(d.rounds) == 1 else "yes") for d in dialogs]


@pytest.mark.parametrize("soft_refusals", ["keep", "fail"])
def test_a_soft_refusal_is_reported_once_and_kept_or_fails_its_dialog(tmp_path: Path, soft_refusals: str) -> None:
    told: list[str] = []
    summary = simulate(
        targets(4),
        Asking(),
        Refusing(),
        out=tmp_path / "x.json",
        rounds=3,
        soft_refusals=soft_refusals,  # type: ignore[arg-type]
        note=told.append,
    )
    (line,) = told
    assert "Refusing: a soft refusal, about unlabeled2017/000000000000.jpg" in line
    kept = soft_refusals == "keep"
    assert (summary.dialogs, [each.kind for each in summary.failed]) == ((4, []) if kept else (0, ["soft_refusal"] * 4))
    with RunFile.reading(tmp_path / "x.run") as run:
        assert run.config.get("soft_refusals") == (None if kept else "fail")
    if not kept:
        with pytest.raises(InputError, match="soft_refusals"):
            simulate(targets(4), Asking(), Refusing(), out=tmp_path / "x.json", rounds=3)


def test_what_becomes_of_soft_refusals_is_one_of_two_things(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="soft_refusals is 'ignore'"):
        simulate(targets(1), Asking(), Answering(), out=tmp_path / "x.json", soft_refusals="ignore")  # type: ignore[arg-type]
