"""Answers in which a model says that it cannot answer: kept and reported, or failures of their dialogs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from chatir.dialog import Failure, Reply
from chatir.measures.refusals import is_soft_refusal
from chatir.storage.plain_data import brief

SoftRefusals = Literal["keep", "fail"]
"""What becomes of an answer in which a model says that it cannot answer: it is kept, or it fails its dialog."""


class SoftRefusalCheck:
    """Looks for soft refusals among the answers of a session, and reports the first one by `note`."""

    def __init__(self, treatment: SoftRefusals, note: Callable[[str], None]) -> None:
        self._fails = treatment == "fail"
        self._note = note
        self._reported = False

    def settled(self, reply: Reply, about: str, answerer: str) -> Reply:
        """A reply as it counts: as it is, or as a failure where it is a soft refusal and those fail their dialogs.

        about: the id of its dialog.
        """
        if reply.text is None or not is_soft_refusal(reply.text):
            return reply
        if not self._reported:
            self._reported = True
            counts = (
                "fails its dialog" if self._fails else "is kept as an answer; --soft-refusals fail makes it a failure"
            )
            self._note(f"{answerer}: a soft refusal, about {about}: {brief(reply.text)}; it {counts}")
        if not self._fails:
            return reply
        failure = Failure("soft_refusal", f"the model says that it cannot answer: {brief(reply.text)}")
        return replace(reply, text=None, raw=reply.raw or reply.text, failure=failure)
