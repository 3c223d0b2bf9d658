"""BLIP-2 XL answers in batches, each image encoded once, and the usual way: one image and one question at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.answering import in_rounds, loaded, usual_way
from benchmarks.gpu.common import Bench, Row, measured

BATCH = 32
ROUNDS = 5
USUAL = 6


def answers(bench: Bench, precision: str) -> Iterator[Row]:
    folder = bench.checkpoint("blip2", bench.size("xl"))
    answerer = loaded(folder, bench.folder, precision=precision, batch_size=BATCH)
    first, *others = (replace(dialog, said=dialog.said[:ROUNDS]) for dialog in bench.dialogs)
    warm = replace(first, said=first.said[:1])
    one_at_a_time = usual_way(answerer, folder, bench.folder)
    in_rounds(answerer, [warm])
    one_at_a_time(warm.image, warm.said[0].question)
    said, seconds, peak = measured(lambda: in_rounds(answerer, others))
    some = others[:USUAL]
    _, usual, _ = measured(lambda: [one_at_a_time(dialog.image, dialog.said[0].question) for dialog in some])
    rate, usual_rate = sum(map(len, said)) / seconds, len(some) / usual
    beside = f"{usual_rate:.2f} one at a time, by transformers"
    yield Row(f"batches of {BATCH}, 5 beams, 10 tokens", rate, "answers/s", beside, rate / usual_rate, peak)
    yield Row("weights", answerer.model._model.get_memory_footprint() / 1e9, "GB")
