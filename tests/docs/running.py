"""Runs the blocks of a page as its reader would: the shell's in order in a fresh folder, then those of Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from docs.pages import Block, Page
from docs.shell_words import called

MARK = "=-=-= block "
LIMIT_SECONDS = 550
INSTALLERS = {"pip", "pip3", "uv", "conda", "apt", "apt-get", "sudo", "make", "git"}
"""What a page may tell its reader to call, but no test does: it would change what the tests run in."""

NOWHERE = "http://127.0.0.1:9"
NOT_FETCHED = "'chatir fetch' brings it"

PYTHON = f"""
import sys
from contextlib import suppress
from pathlib import Path
names = {{"__name__": "__main__"}}
for number, block in enumerate(sys.argv[1:]):
    print({MARK!r} + str(number), flush=True)
    exec(compile(Path(block).read_text(), Path(block).name, "exec"), names)
"""


class BlockError(AssertionError):
    """A block did not do what its page says it does. output: what it printed."""

    def __init__(self, block: Block, code: int, output: str) -> None:
        super().__init__(f"{block.where}: exit code {code} of\n\n{block.text}\nwhich printed\n\n{output}")
        self.output = output


def run_page(page: Page, folder: Path, data: Path) -> str:
    """Run a page's blocks in a folder, with a data folder; gives what they printed. Raises BlockError."""
    before = _files(data)
    printed = ""
    if shell := page.plain("sh"):
        for block in shell:
            if any(_installs(words) for words in called(block.text)):
                raise BlockError(block, 2, "tests do not call what installs: give the block a title 'needs ...'")
        script = "".join(f"echo '{MARK}{number}'\n{block.text}" for number, block in enumerate(shell))
        printed += _run(["bash", "-euo", "pipefail", "-c", script], shell, folder, data)
    if python := page.plain("python"):
        sources = folder.parent / f"{folder.name}-python"
        sources.mkdir()
        for number, block in enumerate(python):
            (sources / f"{number}.py").write_text("\n" * block.line + block.text)
        files = [str(sources / f"{number}.py") for number in range(len(python))]
        printed += _run([sys.executable, "-c", PYTHON, *files], python, folder, data)
    assert _files(data) == before, f"{page.name} changed the data folder"
    return printed


def environment(data: Path) -> dict[str, str]:
    """What a page is run with: chatir on the PATH; no key, no hub, no other host, nothing of whoever runs it."""
    theirs = ("CHATIR_", "OPENAI_", "PYTEST", "XDG_", "HF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    here, home = str(Path(sys.executable).parent), data.with_name(f"{data.name}-home")
    home.mkdir(exist_ok=True)
    return kept | {
        "PATH": os.pathsep.join([here, kept.get("PATH", os.defpath)]),
        "HOME": str(home),
        "CHATIR_DATA": str(data),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    }


def _installs(words: list[str]) -> bool:
    return Path(words[0]).name in INSTALLERS or words[1:3] == ["-m", "pip"]


def _run(command: list[str], blocks: list[Block], folder: Path, data: Path) -> str:
    """Run it, and end whatever it leaves running."""
    log = folder.parent / f"{folder.name}.log"
    with log.open("w") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(data),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = child.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    printed = log.read_text(errors="replace")
    if code:
        number, _, said = printed.rpartition(MARK)[2].partition("\n")
        raise BlockError(blocks[int(number)], code, said)
    return printed


def _files(data: Path) -> set[str]:
    """What the data folder holds, indexes aside."""
    return {str(path) for path in data.rglob("*") if path.relative_to(data).parts[0] != "indexes"}
