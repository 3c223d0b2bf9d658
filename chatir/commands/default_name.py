"""The default name of a run: who asks, who answers, and every option that was typed and fixes the result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from chatir.commands.doctoring.readiness import Wanted
from chatir.datasets.scenes.names import shown_name
from chatir.errors import InputError
from chatir.plugins import find
from chatir.run.rows import Role
from chatir.simulate.opening import holds_run
from chatir.simulate.player import Player
from chatir.simulate.setting import run_config

if TYPE_CHECKING:
    from chatir.retriever.retriever import Identity

FOLDER = Path("outputs")
SETTINGS = {"rounds": 10, "ask_again": 2, "soft_refusals": "keep", "deterministic": False}
"""Settings that fix a run's result, with their defaults; the seed has a place of its own."""
ROLES: tuple[Role, ...] = ("question", "answer")
RECORDED_AS = {"chat": "chats", "file": "pool", "model_type": "id", "name": "id"}
"""Options that `config` holds under another name."""
LONGEST = 40
"""Characters of a value."""
LONGEST_NAME = 120


class Side(NamedTuple):
    """A player by its name and config, and the options typed for it that differ from their defaults.

    name: as it declares it. older: whether files are named by that alone, as a chatir did that told no built-in models.
    """

    name: str
    config: Mapping[str, Any]
    changed: Mapping[str, str]
    older: bool = False

    @classmethod
    def of(cls, wanted: Wanted, built: Player | Identity) -> Side:
        """The side of a player or retriever, as it was typed and as it was built."""
        return cls(built.name, built.config, find(wanted.kind, wanted.name).changed(wanted.options))

    @property
    def shown(self) -> str:
        """Its name in that of a file: `scenes:blip2` where the model is built in."""
        return self.name if self.older else shown_name(self.name, self.config)

    def __str__(self) -> str:
        """`ChatGPT-temperature=1`; what changes only how it works, as a batch size, is not in its `config`."""
        recorded = dict(_items(self.config))
        taking_part = {
            key: _as_recorded(value, recorded.get(key))
            for key, value in sorted(self.changed.items())
            if {key, RECORDED_AS.get(key, key)} & recorded.keys() and not (key == "model" and self._tells(value))
        }
        options = (f"{key}={_word(_cut(value))}" for key, value in taking_part.items())
        return "-".join([_word(self.shown.replace(":", "-")), *options])

    def _tells(self, model: str) -> bool:
        """Whether the player is named after its model, as `hf` is, and any with a built-in one."""
        if self.shown != self.name:
            return True
        words = [_word(re.split(marks, model.rstrip("/"))[-1]) for marks in ("/", "[/:]")]
        return any(f"_{self.name}".endswith(f"_{word}") for word in words)


def default_name(sides: Sequence[Side], settings: Mapping[str, Any], stops: Sequence[str | Side] = ()) -> str:
    """`<Questioner>[-key=value...]_<Answerer>[-key=value...][_rounds=5...]`, of at most 120 characters.

    settings: those of `SETTINGS`. stops: what stops dialogs early, in words, and the retriever that does.
    """
    parts = [*map(str, sides)]
    for key, default in SETTINGS.items():
        if settings[key] != default:
            parts.append(key.replace("_", "-") + ("" if settings[key] is True else f"={settings[key]}"))
    name = "_".join([*parts, *map(str, stops)])
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"
    return name


def out_files(out: Path, seeds: Sequence[int]) -> dict[int, Path]:
    """The dialogue file of each seed: `out`, or with several seeds `NAME_seed0.json` and so on."""
    return {seed: out if len(seeds) == 1 else out.with_stem(f"{out.stem}_seed{seed}") for seed in seeds}


def run_files(
    out: Path | None,
    players: dict[Role, Player],
    wanted: Sequence[Wanted],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    stops: Sequence[str | Side] = (),
) -> dict[int, Path]:
    """As `out_files`, or where nothing is named `outputs/NAME.json`.

    wanted: the players as they were typed. settings: of the run, `fresh` among them. A run of exactly this
    configuration goes on where it is, which may be under a name that an older chatir gave it, `<Questioner>_<Answerer>`
    or one without `scenes-`, or with or without its seed in its name.
    """
    if out is not None:
        return out_files(out, seeds)
    sides = [Side.of(each, players[role]) for each, role in zip(wanted, ROLES, strict=False)]
    fixed = {key: settings[key] for key in SETTINGS}
    named = default_name(sides, fixed, stops)
    before = default_name(_as_before(sides), fixed, _as_before(stops))
    names = dict.fromkeys((named, before, "_".join(side.name for side in sides)))
    files = {}
    for seed in seeds:
        several = ("", f"_seed{seed}")[:: -1 if seed or len(seeds) > 1 else 1]
        new, *others = (FOLDER / f"{stem}{end}.json" for stem in names for end in several)
        config = run_config(players, seed=seed, **fixed)
        begun = [] if settings["fresh"] or new.with_suffix(".run").exists() else others
        files[seed] = next((other for other in begun if holds_run(other, config)), new)
    return files


def _as_before(parts: Sequence[Any]) -> list[Any]:
    """Parts of a name as an older chatir wrote them: sides by their declared names alone."""
    return [part._replace(older=True) if isinstance(part, Side) else part for part in parts]


def check_apart(files: Iterable[Path], targets: Path) -> None:
    """Raise InputError if a dialogue file to write is that of the targets."""
    for file in files:
        if file.resolve() == targets.resolve():
            raise InputError(f"{file}: holds the targets; name another --out")


def _items(config: object) -> Iterator[tuple[str, Any]]:
    """What a mapping holds, and all mappings in it."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield key, value
            yield from _items(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _items(value)


def _as_recorded(typed: str, recorded: object) -> str:
    """A value as the configuration spells it, where that holds the same value; else as typed."""
    match recorded:
        case bool():
            return str(recorded).lower()
        case int() | float():
            with suppress(ValueError):
                if float(typed) == recorded:
                    return str(int(recorded)) if recorded == int(recorded) else str(recorded)
        case str() if recorded.rstrip("/") == typed.strip().rstrip("/"):
            return recorded
    return typed


def _word(text: str) -> str:
    return re.sub(r"[^\w.=-]", "_", text, flags=re.ASCII)


def _cut(value: str) -> str:
    """A long path by its last part, a long address by its host, any other long value by its beginning and a hash."""
    scheme, _, address = value.rpartition("://")
    if len(address) <= LONGEST:
        return address
    cut = address.partition("/")[0] if scheme else address.rstrip("/").rpartition("/")[2]
    return cut if len(cut) <= LONGEST else f"{cut[: LONGEST - 9]}_{sha256(value.encode()).hexdigest()[:8]}"
