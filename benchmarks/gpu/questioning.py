"""FLAN-T5-XL asks through `hf`: in batches, greedily and with a search that avoids repeats, and one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.gpu.common import NEW_TOKENS, Bench, Row, free, measured
from benchmarks.questioning import dialogs, one_at_a_time
from chatir.plugins import build

QUESTIONS = 64
BATCH = 16
USUAL = 6


def questions(bench: Bench) -> Iterator[Row]:
    options = {"model": bench.checkpoint("t5", bench.size("xl")), "batch_size": BATCH, "max_tokens": NEW_TOKENS}
    count = 8 if bench.tiny else QUESTIONS
    usual, rate, peak = asking({**options, "decode": "greedy"}, count, USUAL)
    told = f"batches of {BATCH}, {NEW_TOKENS} tokens"
    beside = f"{usual:.2f} one at a time, by transformers"
    yield Row(f"greedy, {told}", rate, "questions/s", beside, rate / usual, peak)
    free()  # the next one needs the room
    _, searching, peak = asking({**options, "decode": "first-unasked"}, count, 0)
    yield Row(f"first-unasked, 8 beams, {told}", searching, "questions/s", f"{rate:.2f} greedy", searching / rate, peak)


def asking(options: dict[str, Any], count: int, usual: int) -> tuple[float, float, float | None]:
    """Questions a second, the last few of them one at a time, and all of them in batches; and the memory for these."""
    asked = dialogs(count)
    questioner = build("questioners", "hf", options)
    questioner.ask(asked[:2])  # loads the model
    _, alone, _ = measured(lambda: one_at_a_time(questioner, asked[count - usual :], NEW_TOKENS))
    _, seconds, peak = measured(lambda: questioner.ask(asked))
    return usual / alone, count / seconds, peak
