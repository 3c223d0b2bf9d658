"""How fast ChatIR's retriever encodes dialogs and images on a GPU, in each precision, and the memory that it takes.

An original-BLIP checkpoint of BLIP base's size (ViT-B/16 at 224 pixels, BERT-base) with random weights, which are as
fast as any; every round of released VisDial dialogs; 640 x 480 pictures, prepared beforehand. Prints JSON; without a
GPU, that there is none. `--tiny` tries the script anywhere.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.encoding import DIALOGUES, random_checkpoint, rounds_of
from chatir.retriever.retriever import load_retriever
from chatir.scenes.drawing import draw
from chatir.scenes.folder import scene_dialogs

DIALOGS = 2064
IMAGES = 2048
BATCH = 256


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes, the GPU's work included: vectors are on the CPU when it is over."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measured(checkpoint: Path, precision: str, texts: list[str], count: int) -> tuple[dict[str, Any], torch.Tensor]:
    """Texts and images a second, warmed up; memory; and the vectors of some texts."""
    retriever: Any = load_retriever(
        "chatir", checkpoint=str(checkpoint), tokenizer=str(checkpoint.parent), precision=precision, batch_size=BATCH
    )
    some = [draw(scene).resize((640, 480)) for scene, _ in scene_dialogs(min(count, 64), seed=0)]
    prepared = [retriever.prepare(image) for image in some] * (count // len(some))
    retriever.encode_dialogs(texts[:64])
    retriever.encode_prepared(prepared[:BATCH])
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    text_seconds = seconds(lambda: retriever.encode_dialogs(texts))
    image_seconds = seconds(lambda: retriever.encode_prepared(prepared))
    figures = {
        "texts_per_second": round(len(texts) / text_seconds, 1),
        "images_per_second": round(len(prepared) / image_seconds, 1),
    }
    if torch.cuda.is_available():
        figures["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return figures, retriever.encode_dialogs(texts[:200])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tiny", action="store_true", help="a model of no size, on any machine")
    tiny = arguments.parse_args().tiny
    if not torch.cuda.is_available() and not tiny:
        print(json.dumps({"skipped": "there is no GPU"}))
        return
    if not DIALOGUES.is_file():
        print(json.dumps({"skipped": f"{DIALOGUES.name} is not in {DIALOGUES.parent}"}))
        return
    texts = [text for some in rounds_of(20 if tiny else DIALOGS) for text in some]
    small = {"width": 64, "layers": 1, "inner": 64, "text_width": 64, "text_layers": 1, "text_inner": 64}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    figures: dict[str, Any] = {"device": device, "model": "tiny" if tiny else "BLIP base", "texts": len(texts)}
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint = random_checkpoint(Path(temporary), **(small if tiny else {}))
        exact = None
        for precision in ("fp32", "bf16", "fp16"):
            figures[precision], vectors = measured(checkpoint, precision, texts, 8 if tiny else IMAGES)
            exact = vectors if exact is None else exact
            figures[precision]["lowest_cosine_to_fp32"] = round(float((exact * vectors).sum(dim=1).min()), 6)
            gc.collect()  # the next one needs the room
            torch.cuda.empty_cache()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
