"""What LAVIS in a worker costs and saves, with the built-in small BLIP-2 as a model of LAVIS on the CPU.

Seconds until the worker has imported LAVIS and has loaded the model; milliseconds of a small request besides the
model's own; and seconds per answer against LAVIS's own `predict_answers`, which encodes the image again every round,
one question at a time and in batches. The small model's vision is small too: with a real one, encoding weighs more.
Prints JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SCENES = 16
ROUNDS = 10
REQUESTS = 200
DECODING = {"num_beams": 5, "length_penalty": -1.0, "max_len": 10, "min_len": 1}


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measured(python: Path, folder: Path) -> dict[str, Any]:
    from lavis.converted import write_for_lavis

    from chatir.datasets.scenes.folder import scene_dialogs, write_scenes
    from chatir.models.lavis.model import LavisModel, LavisOptions
    from chatir.models.lavis.worker_process import lavis_worker
    from chatir.models.local.vision_model import Look
    from chatir.plugins import Context

    plugin = write_for_lavis(folder / "lavis")
    write_scenes(folder / "scenes", SCENES, 0)
    dialogs = [dialog for _, dialog in scene_dialogs(SCENES, 0)]
    rounds = [
        [Look(dialog.image, f"Question: {dialog.rounds[number].question} Short answer:") for dialog in dialogs]
        for number in range(ROUNDS)
    ]
    small = {"python": python, "plugin": plugin, "model_type": "scenes", "precision": "fp32"}

    def model(name: str) -> LavisModel:
        return LavisModel(LavisOptions(name=name, **small), Context(folder / "scenes"))

    figures: dict[str, Any] = {}
    with closing(lavis_worker(python)) as worker:
        figures["seconds_to_imports"] = seconds(lambda: worker.ask("imports"))
        load = {"name": "small_blip2_t5", "model_type": "scenes", "precision": "fp32", "plugin": str(plugin)}
        figures["seconds_to_loaded"] = figures["seconds_to_imports"] + seconds(lambda: worker.ask("load", **load))
    answers = {}
    for name, kind in (("small_blip2_t5", "image encoded once"), ("small_whole", "predict_answers")):
        with closing(model(name)) as player:
            player.complete(rounds[0])
            if name == "small_blip2_t5":
                figures["request_overhead_ms"] = overhead(player, rounds[0][0])
            for size in (1, SCENES):
                batches = [some[n : n + size] for some in rounds for n in range(0, SCENES, size)]
                begun = time.perf_counter()
                answers[kind, size] = [each.text for some in batches for each in player.complete(some)]
                took = (time.perf_counter() - begun) / (SCENES * ROUNDS)
                figures[f"seconds_per_answer, {kind}, batches of {size}"] = took
    figures["answers"] = SCENES * ROUNDS
    figures["different"] = max(
        sum(one != other for one, other in zip(answers["predict_answers", 1], texts, strict=True))
        for texts in answers.values()
    )
    return {name: round(value, 5) for name, value in figures.items()}


def overhead(player: Any, look: Any) -> float:
    """Milliseconds of a round trip that are not the model's."""
    times = []
    request = {"items": [{"key": look.image, "text": look.text}], **DECODING}
    for _ in range(REQUESTS):
        started = time.perf_counter()
        reply = player._worker.ask("answer", 600, **request)
        times.append(time.perf_counter() - started - reply["seconds"])
    return 1000 * statistics.median(times)


def main() -> None:
    from chatir.models.lavis.environment import environment

    made = environment()
    if made.versions is None:
        print(json.dumps({"skipped": "the LAVIS environment is not installed: make lavis"}))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(made.python, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
