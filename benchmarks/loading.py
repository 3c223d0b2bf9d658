"""How much memory loading a model takes on a CPU in each precision, each in a process of its own, against its weights.

A T5 of the architecture of flan-t5-large (0.8 billion parameters) with random weights, in bf16 and several files.
`peak_gb` is the most memory resident at once, with the pages of the files that are mapped (VmHWM); `own_gb` is without
them: the most at once that the system cannot take back (RssAnon, looked at every 10 ms). Linux only. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from chatir.models.builtin import checkpoints

PRECISIONS = ("fp32", "bf16", "8bit", "4bit")


def random_t5(folder: Path) -> None:
    """Save the model."""
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration
    from transformers.initialization import no_init_weights

    config = T5Config(
        vocab_size=32128, d_model=1024, d_ff=2816, d_kv=64, num_layers=24, num_heads=16, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    with no_init_weights():
        model = T5ForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.tie_weights()
    with torch.no_grad():
        for weight in model.parameters():
            weight.uniform_(-0.03, 0.03)
    model.save_pretrained(folder, max_shard_size="400MB")
    AutoTokenizer.from_pretrained(checkpoints()["t5"]).save_pretrained(folder)


def resident(kind: str) -> float:
    """Gigabytes of a kind that this process holds."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[kind].split()[0]) * 1024 / 1e9


def loaded(folder: str, precision: Any) -> dict[str, float]:
    """Memory of the weights, and the most that loading them took."""
    import bitsandbytes  # noqa: F401 - what is imported is there before
    import transformers  # noqa: F401

    from chatir.models.local.loading import load_model

    most, done = [resident("RssAnon")], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most.append(resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = most[0]
    model = load_model(folder, None, precision, "auto").model
    done.set()
    watcher.join()
    figures = {
        "weights_gb": model.get_memory_footprint() / 1e9,
        "before_gb": before,
        "own_gb": max(most),
        "peak_gb": resident("VmHWM"),
    }
    return {name: round(figure, 2) for name, figure in figures.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, get_context("spawn").Pool(1, maxtasksperchild=1) as process:
        process.apply(random_t5, (Path(temporary),))
        figures = {precision: process.apply(loaded, (temporary, precision)) for precision in PRECISIONS}
    json.dump(figures, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
