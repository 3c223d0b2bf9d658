"""Where the memory ends: a batch too large for a card that is nearly full, and the same once the card is free again.

A BLIP-2 of T5-base's size, in fp32 and greedily, so that an answer does not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.gpu.common import Bench, Row, cards, device, free, measured
from chatir.plugins import Context, build

SMALL, LARGE = 16, 128
AGAIN = 16
"""Times that the large batch is asked until it has grown back: what halved it may be over any time."""
ALLOWED = 0.01
"""Share of answers that may differ: near-ties of two tokens fall either way when a batch adds up in another order."""


@contextmanager
def full(room: float) -> Iterator[None]:
    """A card with so many GB left. Without one, texts run out of memory where more than four are generated."""
    from transformers import T5ForConditionalGeneration as Model

    free()
    generate = Model.generate

    def four_at_most(self: Any, **inputs: Any) -> Any:
        if not cards() and len(inputs["inputs_embeds"]) > 4:
            raise torch.OutOfMemoryError("out of memory, made up")
        return generate(self, **inputs)

    taken = int(torch.cuda.mem_get_info()[0] - room * 1e9) if cards() else 0
    blocker = torch.empty(taken, dtype=torch.uint8, device=device())
    with patch.object(Model, "generate", four_at_most):
        yield
    del blocker
    free()


def recovery(bench: Bench) -> Iterator[Row]:
    small, large = (2, 8) if bench.tiny else (SMALL, LARGE)
    notes: list[str] = []
    folder = bench.checkpoint("blip2", bench.size("base"), torch.float32)
    options = {"model": folder, "precision": "fp32", "beams": 1, "batch_size": large}
    answerer = build("answerers", "blip2", options, Context(images=bench.folder, progress=notes.append))
    pairs = [(dialog, dialog.said[number].question) for number in range(4) for dialog in bench.dialogs][:large]

    def answers(size: int) -> list[str | None]:
        batches = (pairs[start : start + size] for start in range(0, large, size))
        return [reply.text for some in batches for reply in answerer.answer(*zip(*some, strict=True))]

    answers(small)  # loads the model, encodes the images
    _, _, idle = measured(lambda: None)
    wanted, seconds, peak = measured(lambda: answers(small))
    yield Row(f"batches of {small}", large / seconds, "answers/s", f"{len(set(wanted))} different ones", None, peak)
    before = room = 0.0
    for name in ("", ", on a full card", ", after that"):
        notes.clear()
        with full(room) if "full" in name else nullcontext():
            for _ in range(AGAIN if "after" in name else 0):
                answers(large)
            got, seconds, peak = measured(lambda: answers(large))
        before, room = before or large / seconds, room or ((peak or 0) - (idle or 0)) / 2
        different = sum(a != b for a, b in zip(got, wanted, strict=True))
        told = f"{different} of {large} answers differ; {'; '.join(notes) or 'no notes'}"
        yield Row(f"batch of {large}{name}", large / seconds, "answers/s", told, large / seconds / before, peak)
        if different > ALLOWED * large or None in got:
            raise RuntimeError(f"batch of {large}{name}: {different} answers differ, {got.count(None)} failed")
        if any("out of memory" in note for note in notes) != ("full" in name):
            raise RuntimeError(f"batch of {large}{name}: the memory ended, or did not, against all expectation")
