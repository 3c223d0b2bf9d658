"""What several commands take, and what they tell alike."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chatir.console import note
from chatir.errors import InputError

if TYPE_CHECKING:
    from chatir.commands.doctoring.readiness import Readiness
    from chatir.datasets.targets import Targets
    from chatir.plugins import Kind

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
SHOWN_FAILURES = 10


class PlayerName(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 has no such argument
    """The name of a player or retriever, as `chatir list` shows it."""

    name = "text"

    def __init__(self, kind: Kind, flag: str, any_model: str) -> None:
        """flag: of its options. any_model: which of its kind takes any model of the hub."""
        self._kind = kind
        self._flag = flag
        self._any_model = any_model

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """The names that there are."""
        from chatir.plugins import plugins

        return f"There are: {', '.join(plugin.name for plugin in plugins(self._kind))}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Pass a name; a model where a name belongs is refused with the options that take it."""
        from chatir.commands.completing import BUILT_IN
        from chatir.plugins import plugins

        known = [plugin.name for plugin in plugins(self._kind)]
        takers = [player for player, model in BUILT_IN.items() if model == value and player in known]
        if "/" in value and self._any_model in known:
            takers = [self._any_model]
        if value not in known and takers and param is not None:
            prompt = f" {self._flag} prompt=scenes" if value == BUILT_IN["hf"] else ""
            line = f"{param.opts[0]} {takers[0]} {self._flag} model={value}{prompt}"
            self.fail(f"{value!r} is a model, and no name of 'chatir list': {line}", param, ctx)
        return value


def is_there(path: Path) -> None:
    """Raise InputError for a file that is not there, as opening it would."""
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")


def check_ready(ready: Readiness) -> None:
    """Tell what a run will download, and of a GPU that it cannot use.

    Raises InputError for what it lacks: the only gap, or their number after them.
    """
    if len(ready.lacks) > 1:
        for line in ready.lacks:
            note(line)
        raise InputError(f"{len(ready.lacks)} things stand in the way; 'chatir doctor' tells more")
    if ready.lacks:
        raise InputError(ready.lacks[0])
    for line in (*ready.downloads, *ready.on_cpu()):
        note(line)


def read_targets(path: Path, limit: int | None, image_template: str | None) -> Targets:
    """The targets of a file, the first `limit` of them. Raises InputError."""
    from chatir.datasets.targets import Targets

    check_limit(limit)
    return Targets(path, limit, image_template or None)


def cutoffs(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """The value of `--k`, `1,5,10`, as numbers. Raises click.BadParameter."""
    try:
        ks = [int(part) for part in value.split(",")]
    except ValueError:
        ks = [0]
    if min(ks) < 1 or len(set(ks)) < len(ks):
        raise click.BadParameter(f"{value!r} must be ranks of at least 1 with commas between them, each once")
    return ks


def format_option(command: str, *forms: str) -> Callable[[Command], Command]:
    """The option `--format` of a command: what it prints, the first of `forms` unless told otherwise."""
    return click.option(
        "--format",
        "form",
        envvar=f"CHATIR_{command}_FORMAT",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="What to print.",
    )


def cutoff_option(command: str, default: str, more: str = "") -> Callable[[Command], Command]:
    """The option `--k` of a command. more: what its help says after the rest."""
    return click.option(
        "--k",
        "ks",
        envvar=f"CHATIR_{command}_K",
        default=default,
        show_default=True,
        metavar="K[,K...]",
        callback=cutoffs,
        help=f"Ranks that count as a hit{more}.",
    )


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is, None if it is none."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else None


def check_folder(images: Path | None) -> None:
    """Raise InputError for an `--images` that is no folder."""
    if images is not None and not images.is_dir():
        raise InputError(f"--images {images}: is no folder")


def check_limit(limit: int | None) -> None:
    """Raise InputError for a limit that is no number of targets."""
    if limit is not None and not 1 <= limit <= sys.maxsize:
        raise InputError(f"--limit is {limit}, but must be a whole number of targets, 1 or more")


def name_failures(failures: Sequence[object], rest: str = "") -> None:
    """A line for each of the first failures, and how many more there are."""
    for failure in failures[:SHOWN_FAILURES]:
        note(f"failed: {failure}")
    if (more := len(failures) - SHOWN_FAILURES) > 0:
        note(f"failed: {more} more{rest}")
