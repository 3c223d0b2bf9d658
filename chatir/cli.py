"""The `chatir` command: its group of commands, and how every error becomes one line and an exit code."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from chatir import __version__
from chatir.commands.cache import cache
from chatir.commands.compare import compare
from chatir.commands.completion import completion
from chatir.commands.demo import demo
from chatir.commands.doctor import doctor
from chatir.commands.export import export
from chatir.commands.fetch import fetch
from chatir.commands.index import index
from chatir.commands.lavis import lavis
from chatir.commands.lint import lint
from chatir.commands.list import list_
from chatir.commands.runs import runs
from chatir.commands.scenes import scenes
from chatir.commands.score import score
from chatir.commands.show import show
from chatir.commands.simulate import simulate
from chatir.console import complain, note, stopping_signals, tell
from chatir.errors import ChatirError, PlayerError, StoppedRunError

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "auto_envvar_prefix": "CHATIR"}
ALLOCATORS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
"""They set torch's allocator of GPU memory. torch 2.9 takes `expandable_segments` from the first only, and warns of it
unless the second is set too."""


def main() -> NoReturn:
    """The `chatir` command: runs what was typed, and exits with its code."""
    # Read by torch, which is not imported yet: threads that spin as they wait starve each other on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not any(name in os.environ for name in ALLOCATORS):  # batches of many sizes leave gaps in fixed segments
        os.environ |= dict.fromkeys(ALLOCATORS[:2], "expandable_segments:True")
    for number in stopping_signals():
        if number != signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
    code = run(sys.argv[1:])
    if threading.active_count() == 1:
        sys.exit(code)
    # A player's call may never end. Python would wait for its thread, or end while it computes, which may crash.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; every error becomes one line on stderr."""
    try:
        code = commands.main(list(arguments), prog_name="chatir", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        tell(error.message, sys.stderr)
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        about = context.command_path if context else "chatir"
        return complain(f"{error.format_message()} (see '{about} --help')", 2)
    except ChatirError as error:
        if isinstance(error, PlayerError):
            _show_cause(error)
        goes_on = f"; {error.goes_on}" if isinstance(error, StoppedRunError) and error.goes_on else ""
        return complain(f"{error}{goes_on}", error.exit_code)
    except MemoryError:
        return complain("there is not enough memory for this", 2)
    except (KeyboardInterrupt, click.Abort):
        return complain("interrupted", 130)
    except SystemExit:  # click's answer to help that goes into a closed pipe
        return 0
    except OSError as error:  # help that goes to a full disk; all else is told where it happens
        return complain(f"standard output: {error.strerror}", 2)
    return code if isinstance(code, int) else 0


def _show_cause(error: PlayerError) -> None:
    """The traceback of a player's own exception, a line each."""
    from chatir.simulate.loop.tracebacks import shown_lines

    for line in shown_lines(error.__cause__ or error):
        note(line)


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="chatir")
def commands() -> None:
    """Simulate dialogs about images, and compare the questioners that lead them.

    A questioner, who does not see the image, asks; an answerer, who does, answers. Every option can also
    come from the environment: CHATIR_SIMULATE_LIMIT=20 is simulate --limit 20.
    """


for command in (
    demo,
    simulate,
    index,
    score,
    compare,
    runs,
    show,
    lint,
    export,
    list_,
    fetch,
    scenes,
    lavis,
    cache,
    completion,
    doctor,
):
    commands.add_command(command)
