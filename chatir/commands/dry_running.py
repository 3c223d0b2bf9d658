"""`chatir simulate --dry-run`: what a run would take, told without building a model or asking anyone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatir.commands.completing import BUILT_IN
from chatir.commands.default_name import FOLDER, check_apart, out_files, run_files
from chatir.commands.doctoring.packages import OWN
from chatir.commands.doctoring.readiness import Looked, Readiness
from chatir.console import note, printable, say
from chatir.errors import InputError
from chatir.plugins import Context
from chatir.simulate.dry_run import NotBuilt, dry_run
from chatir.simulate.setting import players_of

if TYPE_CHECKING:
    from chatir.datasets.targets import Targets


def foresee(
    ready: Readiness,
    read: Targets,
    context: Context,
    *,
    out: Path | None,
    seeds: Sequence[int],
    settings: dict[str, Any],
) -> None:
    """Print what a run of each seed would take; what it lacks is told, and is no error.

    A player with a model of its own is built only to compare a run that may exist, and one that lacks what it needs is
    not built at all.
    """
    for line in (*ready.lacks, *ready.downloads):
        note(line)
    looked = ready.looked[:2]
    begun = [*FOLDER.glob("*.run")] if out is None else [*_runs(out_files(out, seeds).values())]
    players = [_player(each, context, begun=bool(begun)) for each in looked]
    unbuilt = [player.name for player in players if isinstance(player, NotBuilt)]
    files: dict[int, Path | None] = dict.fromkeys(seeds)
    if out is not None or not unbuilt:
        named = run_files(out, players_of(*players), [each.wanted for each in looked], seeds, settings)
        check_apart(named.values(), read.path)
        files.update(named)
    elif begun:
        which = " and ".join(unbuilt)
        note(f"whether {FOLDER} holds this run is not checked, since {which} is not built; name its --out")
    for seed, file in files.items():
        told = dry_run(read, *players, out=file, seed=seed, images=context.images, note=note, **settings)
        say(f"{' x '.join(map(_shown, looked)) if file is None else printable(str(file))}: {told}")


def _runs(files: Iterable[Path]) -> list[Path]:
    """The run files that stand beside some dialogue files."""
    return [run for file in files if (run := file.with_suffix(".run")).exists()]


def _player(looked: Looked, context: Context, *, begun: bool) -> Any:
    """The player, or what stands for it. begun: whether a run may exist that it must be compared with."""
    if looked.builds and (begun or not looked.local):
        try:
            return looked.one.plugin.build(looked.wanted.options, context)
        except InputError as error:
            if looked.one.plugin.distribution == OWN:
                raise
            note(str(error))
    told = "a local model, not built" if looked.local and looked.builds else "not checked"
    return NotBuilt(_shown(looked), needs_images=looked.needs_images, told=told)


def _shown(looked: Looked) -> str:
    """A player as it is typed, or its model where that is built in."""
    name, model = looked.wanted.name, looked.wanted.options.get("model")
    return model if model is not None and model == BUILT_IN.get(name) else name
