"""A real OpenAI-compatible server for a model folder: `transformers serve`, on a port of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Server:
    url: str
    model: str


def needs(*packages: str) -> list[pytest.MarkDecorator]:
    """Marks of a module that serves a model: slow, and skipped by name where a package is missing."""
    packages = (*packages, "fastapi", "uvicorn")
    lacking = any(find_spec(package) is None for package in packages)
    return [pytest.mark.slow, pytest.mark.skipif(lacking, reason=f"needs the packages {', '.join(packages)}")]


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Serve the model of a folder until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [shutil.which("transformers", path=Path(sys.executable).parent), "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield Server(f"http://127.0.0.1:{port}/v1", str(folder))
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server does not start")
