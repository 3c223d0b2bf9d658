"""Opening a run: begun, continued if nothing that fixes its result differs, or kept aside and begun anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from chatir.datasets.target_checks import checked_targets
from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.run.file import RunFile
from chatir.run.rows import target_digest
from chatir.run.schema import RunInUseError
from chatir.storage.files import file_sha256, os_error
from chatir.storage.plain_data import brief, unequal
from chatir.storage.sqlite import BESIDE


def open_run(
    out: Path,
    config: dict[str, Any],
    targets: Iterable[Dialog] | None,
    *,
    fresh: bool,
    note: Callable[[str], None] = lambda line: None,
) -> RunFile:
    """Continue the run of `out`, or begin it.

    config: what fixes its result. targets: held against those of the run; None if they can be read once only. fresh:
    keep an existing run aside and begin anew. note: called with a line about what is set aside. Raises InputError for
    another's run, and for a file that is in the way.
    """
    path = out.with_suffix(".run")
    if fresh:
        _check_files(out, path)
        _keep_aside(out, path, note)
    elif (run := existing_run(out, config, targets)) is not None:
        return run
    elif os.path.lexists(path):  # another run was begun there, and nobody said anything
        _remove(path)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(out.parent, error) from None
    return RunFile.create(path, config, note)


def existing_run(out: Path, config: dict[str, Any] | None, targets: Iterable[Dialog] | None) -> RunFile | None:
    """The run of `out` if it can be continued, None if there is none yet. config: None for any configuration.

    One of another configuration in which nobody has said anything, because a model could not be loaded, is none. Raises
    InputError for any other of another configuration.
    """
    path = out.with_suffix(".run")
    _check_files(out, path)
    if os.path.lexists(path):
        return _continued(RunFile.open(path), out, config, targets)
    if out.exists():
        raise InputError(
            f"{out}: exists, but has no run file {path.name}: move it away, name another --out, or use --fresh"
        )
    return None


def holds_run(out: Path, config: dict[str, Any]) -> bool:
    """Whether `out` has a run of exactly this configuration; one that cannot be read, or is being written, is none."""
    path = out.with_suffix(".run")
    if not path.is_file():
        return False
    try:
        with RunFile.reading(path) as run:
            return not differences(run.given_config, config) or not differences(run.config, config)
    except InputError:
        return False


def _check_files(out: Path, path: Path) -> None:
    for file in (path, out):
        if file.is_dir():
            raise InputError(f"{file}: is a directory, but a file is to be written there")


def _continued(
    run: RunFile, out: Path, config: dict[str, Any] | None, targets: Iterable[Dialog] | None
) -> RunFile | None:
    """The run, if it is the one that the same command made; else it is closed, unchanged, and refused.

    None where it is another's, but nothing came of it.
    """
    try:
        different = [] if config is None else differences(run.given_config, config)
        if config is not None and different and differences(run.config, config):
            if not run.has_replies() and not out.exists():
                run.close()
                return None
            raise InputError(
                f"{run.path}: was made with another configuration ({'; '.join(different)}); "
                "name another --out, or use --fresh to keep it aside and start anew"
            )
        check_export(run, out)
        if targets is not None:
            _check_same_targets(run, targets)
    except BaseException:
        run.close()
        raise
    return run


def check_export(run: RunFile, out: Path) -> None:
    """Raise InputError if the dialogue file is not one that this run wrote."""
    if out.exists() and not run.exported(file_sha256(out)):
        raise InputError(f"{out}: was not written by this run; move it away, then the same command writes it")


def _check_same_targets(run: RunFile, targets: Iterable[Dialog]) -> None:
    """Raise InputError unless the run's targets begin with those that are given, or the other way round."""
    with closing(run.digests()) as recorded:
        for place, target in enumerate(checked_targets(targets, 0, [])):
            match next(recorded, None):
                case None:
                    return
                case (_, id_, digest) if digest != target_digest(target):
                    told = "has another caption or other rounds now" if id_ == target.id else f"is {target.id!r} now"
                    raise InputError(f"{run.path}: its target {place} ({id_!r}) {told}; use --fresh to start anew")


def differences(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two configurations, a line each: `questioner.config.model: "a" there, "b" now`."""
    return [f"{name}: {brief(old)} there, {brief(new)} now" for name, old, new in unequal(recorded, now)]


def _remove(path: Path) -> None:
    for file in _files(path):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise os_error(file, error) from None


def _files(path: Path) -> list[Path]:
    """A run file, and what SQLite may have left beside it."""
    return [path, *(path.with_name(path.name + end) for end in BESIDE)]


def _keep_aside(out: Path, path: Path, note: Callable[[str], None]) -> None:
    """Rename an existing run and its JSON to a name that is free and that `*.json` does not match, and say so."""
    if path.exists():
        try:
            RunFile.open(path).close()  # folds its write-ahead log in
        except RunInUseError:
            raise
        except InputError:
            pass  # damaged or not a run file: kept aside as it is
    present = [file for file in (out, *(_files(path) if path.exists() else ())) if file.exists()]
    number = 1
    while any(_aside(file, number).exists() for file in (out, path)):
        number += 1
    for file in present:
        try:
            file.rename(_aside(file, number))
        except OSError as error:
            raise os_error(file, error) from None
    if present:
        note(f"{path}: the run that was there is kept aside as {_aside(path, number).name}")


def _aside(file: Path, number: int) -> Path:
    stem, _, ending = file.name.rpartition(".")
    return file.with_name(f"{stem}.old{number}.{ending}{'.kept' if ending == 'json' else ''}")
