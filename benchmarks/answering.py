"""How much faster BLIP-2 answers dialogs in batches, each image encoded once, than the usual way: one image and one
question at a time through transformers, the image encoded every round. Same weights, fp32, same decoding.

Then what 8-bit and bf16 cost in right answers and save in memory, on the same questions. Model: the built-in small
BLIP-2; held-out scenes, ten questions each. Prints JSON.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from chatir import Dialog
from chatir.answerers.sighted import SightedModel
from chatir.datasets.scenes.folder import write_scenes
from chatir.datasets.scenes.people import heard
from chatir.datasets.targets import Targets
from chatir.models.builtin import checkpoints
from chatir.plugins import Context, build

IMAGES = 64


def usual_way(answerer: SightedModel, folder: str, root: Path) -> Callable[[str, str], str]:
    """The answer to one question about one image, by transformers alone, with the weights that the answerer has."""
    import torch
    from PIL import Image
    from transformers import AutoProcessor

    model = answerer.model._model
    processor = AutoProcessor.from_pretrained(folder)

    def answer(image: str, question: str) -> str:
        picture = Image.open(root / image).convert("RGB")
        inputs = processor(images=picture, text=f"Question: {question} Short answer:", return_tensors="pt")
        with torch.inference_mode():
            output = model.generate(
                **inputs.to(model.device), num_beams=5, length_penalty=-1.0, max_new_tokens=10, do_sample=False
            )
        return str(processor.decode(output[0], skip_special_tokens=True)).strip()

    return answer


def in_rounds(answerer: SightedModel, dialogs: list[Dialog]) -> list[list[str]]:
    """Answers of all dialogs, one round of all of them after the other, as the loop plays them."""
    answers: list[list[str]] = [[] for _ in dialogs]
    for number in range(len(dialogs[0].said)):
        for start in range(0, len(dialogs), answerer.batch_size):
            some = dialogs[start : start + answerer.batch_size]
            replies = answerer.answer(some, [dialog.said[number].question for dialog in some])
            for place, reply in enumerate(replies, start):
                answers[place].append(reply.text or "")
    return answers


def right(answers: list[list[str]], dialogs: list[Dialog]) -> float:
    """Share of answers that say what people said, in percent."""
    pairs = [
        (answer, heard(turn.answer))
        for said, dialog in zip(answers, dialogs, strict=True)
        for answer, turn in zip(said, dialog.said, strict=True)
    ]
    return round(100 * sum(answer == truth for answer, truth in pairs) / len(pairs), 2)


def loaded(folder: str, root: Path, **options: Any) -> SightedModel:
    """The answerer, its model in memory."""
    answerer: SightedModel = build("answerers", "blip2", {"model": folder, **options}, Context(images=root))
    answerer.model._model  # noqa: B018
    return answerer


def compared(answerer: SightedModel, folder: str, root: Path, dialogs: list[Dialog]) -> dict[str, Any]:
    """Seconds of both ways, warmed up, and the answers that differ."""
    one_at_a_time = usual_way(answerer, folder, root)
    one_at_a_time(dialogs[0].image, "is there a star?")
    in_rounds(answerer, [replace(dialogs[0], said=dialogs[0].said[:1])])
    started = time.perf_counter()
    answers = [answer for said in in_rounds(answerer, dialogs[1:]) for answer in said]
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    usual = [one_at_a_time(dialog.image, turn.question) for dialog in dialogs[1:] for turn in dialog.said]
    usual_seconds = time.perf_counter() - started
    return {
        "images": len(dialogs) - 1,
        "questions": len(answers),
        "usual_seconds": round(usual_seconds, 2),
        "seconds": round(seconds, 2),
        "answers_per_second": round(len(answers) / seconds, 1),
        "ratio": round(usual_seconds / seconds, 2),
        "different": sum(a != b for a, b in zip(answers, usual, strict=True)),
    }


def precise(precision: str, folder: str, root: Path, dialogs: list[Dialog]) -> dict[str, Any]:
    """Right answers and memory of one precision."""
    answerer = loaded(folder, root, precision=precision)
    started = time.perf_counter()
    answers = in_rounds(answerer, dialogs)
    return {
        "right_percent": right(answers, dialogs),
        "weights_mb": round(answerer.model._model.get_memory_footprint() / 1e6, 2),
        "seconds": round(time.perf_counter() - started, 2),
    }


def main() -> None:
    folder = str(checkpoints()["blip2"])
    with tempfile.TemporaryDirectory() as scenes:
        root = Path(scenes)
        write_scenes(root, IMAGES + 1, seed=0)
        dialogs = [*Targets(root / "targets.json")]
        batched = loaded(folder, root, precision="fp32", batch_size=IMAGES)
        figures = compared(batched, folder, root, dialogs)
        figures["precisions"] = {name: precise(name, folder, root, dialogs) for name in ("fp32", "bf16", "8bit")}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
