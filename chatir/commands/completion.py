"""`chatir completion`: the script that lets a shell complete what is typed."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from chatir.console import say, silenced

VARIABLE = "_CHATIR_COMPLETE"
BREAKS = frozenset("=:@")
"""What bash makes words of their own of, in the midst of what a user typed as one."""


class _Quiet(ShellComplete):
    """Offers nothing where anything goes wrong, and shows nothing of what players print as they are imported."""

    def complete(self) -> str:
        """What click offers."""
        try:
            with silenced():
                return super().complete()
        except (Exception, SystemExit):  # nobody who presses a key wants to read of it
            return ""


@add_completion_class
class Bash(_Quiet, BashComplete):
    """Completes `KEY=VALUE` too: bash breaks it into words, and replaces the last of them only."""

    _outside = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor and the one at it, as they were typed."""
        place = int(os.environ["COMP_CWORD"])
        words = [*os.environ["COMP_WORDS"].split("\n"), ""][: place + 1]
        typed: list[list[str]] = []
        for word in words:
            piece = next(iter(split_arg_string(word)), "")
            if typed and piece and (_breaks(piece) or _breaks(typed[-1][-1])):
                typed[-1].append(piece)
            else:
                typed.append([piece])
        *_, last = typed
        self._outside = "".join(last if _breaks(last[-1]) else last[:-1])
        _, *before, incomplete = ["".join(pieces) for pieces in typed]
        return before, incomplete

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """What click offers, without what stands before the word that bash replaces."""
        items = super().get_completions(args, incomplete)
        return [CompletionItem(item.value.removeprefix(self._outside), item.type, item.help) for item in items]


@add_completion_class
class Zsh(_Quiet, ZshComplete):
    """As click has it."""


@add_completion_class
class Fish(_Quiet, FishComplete):
    """As click has it."""


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete.

    It is switched on by eval "$(chatir completion bash)" in ~/.bashrc, the same with zsh in ~/.zshrc (after compinit),
    or chatir completion fish | source in fish's config.fish.

    Completed are commands, options and files; names of questioners, answerers, retrievers and prompts; and, for -q,
    -a and -r, the options of the one that is named before.
    """
    root = context.find_root()
    say(SHELLS[shell](root.command, {}, root.info_name or "chatir", VARIABLE).source())


def _breaks(piece: str) -> bool:
    return bool(piece) and BREAKS.issuperset(piece)
