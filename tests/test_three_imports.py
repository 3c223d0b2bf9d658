"""`simulate`, `score` and `compare` are functions by one import each, which loads nothing that the others need."""

from __future__ import annotations

import subprocess
import sys

import pytest

SIMULATE = "from chatir.simulate import simulate"
SCORE = "from chatir.retriever import score"
COMPARE = "from chatir.compare import compare"
MODULES = "import chatir.simulate.simulate, chatir.retriever.score, chatir.compare.comparing"


def printed(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("before", ["", MODULES, SCORE, "from chatir.retriever.score import ScoredFile"])
def test_each_is_a_function_whatever_was_imported_before(before: str) -> None:
    lines = [before, SIMULATE, SCORE, COMPARE, "import inspect", MODULES, SCORE]
    lines.append("print(*(inspect.isfunction(one) for one in (simulate, score, compare)), score.__module__)")
    assert printed("\n".join(lines)) == "True True True chatir.retriever.score"


@pytest.mark.parametrize("line", [SIMULATE, COMPARE, "import chatir.retriever"])
def test_without_a_retriever_no_torch_is_loaded(line: str) -> None:
    loaded = "[name for name in ('torch', 'transformers', 'chatir.retriever.score') if name in sys.modules]"
    assert printed(f"import sys\n{line}\nprint({loaded})") == "[]"
