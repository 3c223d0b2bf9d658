"""What several commands take, and what they tell alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chatir.console import note
from chatir.errors import InputError

if TYPE_CHECKING:
    from chatir.simulate.targets import Targets

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
SHOWN_FAILURES = 10


def read_targets(path: Path, limit: int | None, image_template: str | None) -> Targets:
    """The targets of a file, the first `limit` of them. Raises InputError."""
    from chatir.simulate.targets import Targets

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


def check_folder(images: Path | None) -> None:
    """Raise InputError for an `--images` that is no folder."""
    if images is not None and not images.is_dir():
        raise InputError(f"--images {images}: is no folder")


def check_limit(limit: int | None) -> None:
    """Raise InputError for a limit that is no number of targets."""
    if limit is not None and not 1 <= limit <= sys.maxsize:
        raise InputError(f"--limit is {limit}, but must be at least 1 and a number of targets")


def name_failures(failures: Sequence[object], rest: str = "") -> None:
    """A line for each of the first failures, and how many more there are."""
    for failure in failures[:SHOWN_FAILURES]:
        note(f"failed: {failure}")
    if (more := len(failures) - SHOWN_FAILURES) > 0:
        note(f"failed: {more} more{rest}")
