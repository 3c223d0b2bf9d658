"""Two models on one card: FLAN-T5-XL asks and BLIP-2 XL answers, through the loop, as `chatir simulate` plays."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gpu.common import NEW_TOKENS, Bench, Row, measured
from chatir.plugins import Context, build
from chatir.simulate import simulate

ROUNDS = 3


def together(bench: Bench) -> Iterator[Row]:
    size = bench.size("xl")
    asks = {"model": bench.checkpoint("t5", size), "max_tokens": NEW_TOKENS}
    answers = {"model": bench.checkpoint("blip2", size), "precision": "bf16"}
    questioner = build("questioners", "hf", asks)
    answerer = build("answerers", "blip2", answers, Context(images=bench.folder))
    first, *targets = bench.dialogs
    questioner.ask([first])  # loads the models
    answerer.answer([first], ["is it red?"])
    out = bench.folder / "together.json"
    run, seconds, peak = measured(
        lambda: simulate(targets, questioner, answerer, out=out, rounds=ROUNDS, images=bench.folder)
    )
    busy = f"asking {run.questions.seconds:.1f} of {seconds:.1f} s, answering {run.answers.seconds:.1f}"
    yield Row(f"{run.dialogs} dialogs of {ROUNDS} rounds", 2 * run.rounds / seconds, "replies/s", busy, None, peak)
    if run.failed:
        raise RuntimeError(f"{len(run.failed)} dialogs failed: {run.failed[0]}")
