"""Every text that a model is given: data files with a name, a version and a source."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatir.dialog import Dialog
from chatir.errors import InputError
from chatir.storage.files import open_text


class Message(NamedTuple):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class ShotRound(BaseModel):
    """One round of an example dialog."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    question: str
    answer: str


class Shot(BaseModel):
    """An example dialog, and the question that a person asked next."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    caption: str
    rounds: tuple[ShotRound, ...] = Field(default=(), strict=False)  # TOML has lists only
    next_question: str


class _PromptFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    version: int
    source: str
    template: str | None = None
    chat: str | None = None
    shots: list[Shot] = []


@dataclass(frozen=True)
class Prompt:
    """A prompt file.

    template: for a model that goes on with a text. chat: for a model that chats; it marks each message by
    `{% call user() %}...{% endcall %}` (or `system`, `assistant`). A file has one of the two at least. `text`
    is the whole file, whose sha256 goes into the run.
    """

    name: str
    version: int
    source: str
    template: str | None
    chat: str | None
    shots: tuple[Shot, ...]
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the file's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What of the prompt goes into a run's configuration: the text and its hash among it."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "text": self.text}

    def render(self, dialog: Dialog, shots: int | None = None, **more: Any) -> str:
        """The text for a model to go on with: the template with `caption`, `rounds`, examples and what `more` there is.

        shots: how many of the examples (None: all). Captions, questions and answers are data: nothing in them
        is run as a template, and each stays on one line, so that it cannot pass for another part of the prompt. Raises
        InputError for a prompt that is for chats only, and for a template that fails.
        """
        if self.template is None:
            raise InputError(f"prompt {self.name!r} is for models that chat, but this model goes on with a text")
        return self._rendered(self.template, dialog, shots, more)

    def messages(self, dialog: Dialog, shots: int | None = None, *, chats: bool = True, **more: Any) -> list[Message]:
        """The messages for a model that chats, else (or from a prompt without a chat) one with the text.

        Raises InputError as `render` does, and for a chat without messages or with text outside of them.
        """
        if not chats or self.chat is None:
            return [Message("user", self.render(dialog, shots, **more))]
        messages: list[Message] = []

        def marked(role: Literal["system", "user", "assistant"]) -> Callable[..., str]:
            def add(caller: Callable[[], str]) -> str:
                messages.append(Message(role, str(caller()).strip()))
                return ""

            return add

        roles = {role: marked(role) for role in ("system", "user", "assistant")}
        if outside := self._rendered(self.chat, dialog, shots, more | roles).strip():
            raise InputError(f"prompt {self.name!r}: the chat has text outside of its messages: {outside[:60]!r}")
        if not messages:
            raise InputError(f"prompt {self.name!r}: the chat has no message")
        return messages

    def _rendered(self, template: str, dialog: Dialog, shots: int | None, more: Mapping[str, Any]) -> str:
        compiled = _compiled(template, self.name)
        # Plain data only: pydantic's models have methods that unpickle, and the sandbox would let a template call them.
        examples = [shot.model_dump() for shot in self.shots[:shots]]
        try:
            return str(compiled.render(caption=dialog.caption, rounds=dialog.rounds, shots=examples, **more))
        except Exception as error:  # a template is a program: it may fail in any way
            raise InputError(f"prompt {self.name!r}: cannot be rendered: {error}") from None


@cache
def _compiled(template: str, name: str) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_one_line,
    )
    try:
        return environment.from_string(template)
    except Exception as error:
        raise InputError(f"prompt {name!r}: the template is wrong: {error}") from None


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


def _texts() -> Traversable:
    return files("chatir.prompts") / "texts"


def prompt_names() -> list[str]:
    """Names of the prompts that come with chatir."""
    return sorted(file.name.removesuffix(".toml") for file in _texts().iterdir() if file.name.endswith(".toml"))


def prompts() -> Iterator[Prompt]:
    """The prompts that come with chatir, by name."""
    return map(load_prompt, prompt_names())


def load_prompt(name: str) -> Prompt:
    """A prompt by name, or any prompt file by its path (ending in `.toml`). Raises InputError."""
    if name.endswith(".toml"):
        with open_text(Path(name)) as file:
            return _parse(file.read(), name)
    if name not in prompt_names():
        raise InputError(
            f"there is no prompt {name!r}; there are: {', '.join(prompt_names())}, or the path of a .toml file"
        )
    return _parse((_texts() / f"{name}.toml").read_text(encoding="utf-8"), name)


def _parse(text: str, where: str) -> Prompt:
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not valid TOML: {error}") from None
    try:
        content = _PromptFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None
    if content.template is None and content.chat is None:
        raise InputError(f"{where}: needs a template, a chat, or both")
    return Prompt(
        content.name, content.version, content.source, content.template, content.chat, tuple(content.shots), text
    )
