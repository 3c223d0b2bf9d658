"""How near an index of images comes to the speed of its slower half: reading and decoding images, or encoding them.

Real JPEG files of 640 x 480; a CLIP of random weights, through the retriever `clip`, whose images cost about as much
to encode as to decode. torch has one core, the threads that decode have the others: with two cores, one each, so both
halves can go on at once. Each figure is of the fastest of several runs, taken in turns; `cores_busy` tells what these
got of the machine: where other work leaves the index one core, it is as slow as one half after the other. Prints JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chatir.models.builtin import checkpoints
from chatir.plugins import Context, build
from chatir.retriever.index.image_vectors import Encoder, Looker, cores, looked_ahead, thread_pool
from chatir.retriever.index.indexing import index_images

IMAGES = 512
BATCH = 8
RUNS = 7
PIXELS = 224


def write_model(folder: Path) -> Path:
    """A CLIP of random weights, with the small built-in one's words."""
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPConfig, CLIPModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    source = checkpoints()["clip"]
    config = CLIPConfig.from_pretrained(source)
    for name, value in {"image_size": PIXELS, "patch_size": 32, "hidden_size": 252, "num_hidden_layers": 6}.items():
        setattr(config.vision_config, name, value)
    config.vision_config.intermediate_size = 4 * config.vision_config.hidden_size
    CLIPModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(source, backend="pil")
    processor.size = {"shortest_edge": PIXELS}
    processor.crop_size = {"height": PIXELS, "width": PIXELS}
    processor.save_pretrained(folder)
    return folder


def write_photos(root: Path) -> list[str]:
    """Gradients with noise: as large as photos, and as long to decode."""
    random = np.random.default_rng(0)
    down, across = np.mgrid[0:480, 0:640]
    names = [f"{number:06d}.jpg" for number in range(IMAGES)]
    for name in names:
        waves = [np.sin(down * a + across * b) for a, b in random.uniform(0.002, 0.05, (3, 2))]
        noise = random.normal(0, 12, (480, 640, 3))
        pixels = 128 + 90 * np.stack(waves, axis=-1) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name, quality=90)
    return names


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and how many cores were busy with it."""
    started, used = time.perf_counter(), time.process_time()
    work()
    seconds = time.perf_counter() - started
    return seconds, (time.process_time() - used) / seconds


def main() -> None:
    import torch

    torch.set_num_threads(1)
    threads = max(1, cores() - 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (root := folder / "images").mkdir()
        names = write_photos(root)
        options = {"model": str(write_model(folder / "model")), "device": "cpu", "batch_size": BATCH}
        clip: Any = build("retrievers", "clip", options, Context())
        looker, encoder = Looker(clip, root), Encoder(clip)
        prepared = [looker.look(name).prepared for name in names]
        encoder.encode(prepared[:BATCH])

        def decode() -> None:
            with thread_pool(threads) as pool:
                for _ in looked_ahead(pool, looker.look, names, 2 * BATCH):
                    pass

        def encode() -> None:
            for start in range(0, IMAGES, BATCH):
                encoder.encode(prepared[start : start + BATCH])

        def index() -> None:
            os.environ["CHATIR_DATA"] = str(folder / f"data {time.monotonic_ns()}")
            assert index_images(clip, names, root, threads=threads).encoded == IMAGES

        works = {"decode": decode, "encode": encode, "index": index}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(RUNS):
            for name, work in works.items():
                taken[name].append(measured(work))
        fastest = {name: min(runs) for name, runs in taken.items()}
        speeds = {name: IMAGES / seconds for name, (seconds, _) in fastest.items()}
        size = sum((root / name).stat().st_size for name in names) / IMAGES
    result = {
        "images": IMAGES,
        "kilobytes_per_image": round(size / 1000),
        "cores": {"all": cores(), "encoding": torch.get_num_threads(), "decoding": threads},
        "cores_busy": {name: round(busy, 2) for name, (_, busy) in fastest.items()},
        "decode_images_per_second": round(speeds["decode"], 1),
        "encode_images_per_second": round(speeds["encode"], 1),
        "index_images_per_second": round(speeds["index"], 1),
        "one_after_the_other": round(1 / (1 / speeds["decode"] + 1 / speeds["encode"]), 1),
        "ratio_to_slower_half": round(speeds["index"] / min(speeds["decode"], speeds["encode"]), 3),
        "target_ratio": 0.9,
        "seconds": {name: [round(seconds, 2) for seconds, _ in runs] for name, runs in taken.items()},
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
