"""How much faster dialogs are encoded sorted by length, each text once, than as the released evaluation does it: batch
by batch of 500 dialogs in the file's order, a round at a time, padded to the longest of the batch. Same weights, fp32.

A text encoder of BERT-base's size with random weights, which are as slow as any, behind the retriever `chatir`; the
released VisDial dialogs, every round of a sample of the first 500. The reference pads each text of the sample as it
would among all 500, but is spared the memory of so many rows; here the sample is all there is to sort, shuffled.
Prints JSON.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared"
DIALOGUES = SHARED / "data" / "chatir" / "dialogues" / "VisDial_v1.0_queries_val.json"
VOCABULARY = SHARED / "fixtures" / "blip_original" / "vocab.txt"
BATCH = 500
SAMPLE = 25
"""Every so many-th dialog of the batch is measured."""
LONGEST = 200


def rounds_of(count: int) -> list[list[str]]:
    """The texts of the first `count` released dialogs, by round: caption, caption and one round, ..."""
    dialogs = [found["dialog"] for found in json.loads(DIALOGUES.read_text())[:count]]
    return [[", ".join(dialog[: number + 1]) for dialog in dialogs] for number in range(11)]


def random_checkpoint(folder: Path, **sizes: int) -> Path:
    """A checkpoint of BLIP base's sizes, but for those given, with random weights."""
    import torch

    from chatir.retriever.encoders.original_blip import Sizes, Towers, _original

    base = {
        "width": 768, "layers": 12, "inner": 3072, "patch": 16, "image": 224, "text_width": 768, "text_layers": 12,
        "text_inner": 3072, "vocabulary": 30524, "positions": 512, "space": 256,
    }  # fmt: skip
    torch.manual_seed(0)
    towers = Towers(Sizes(**{**base, **sizes}))
    with torch.no_grad():
        for weight in towers.parameters():
            if weight.dim() >= 2:
                weight.normal_(0, 0.04)
    weights = {_original(name): tensor for name, tensor in towers.state_dict().items()}
    torch.save({"model": weights}, folder / "random_blip.pth")
    return folder / "random_blip.pth"


def in_file_order(retriever: Any, rounds: list[list[str]]) -> tuple[Any, int]:
    """Unit vectors of the sample of each round, and the tokens computed for them, padding included."""
    import torch

    model, tokenizer = retriever._model, retriever._reader.tokenizer
    found, tokens = [], 0
    with torch.inference_mode():
        for texts in rounds:
            among_all = tokenizer(texts, padding="longest", truncation=True, max_length=LONGEST, return_tensors="pt")
            ids, mask = (among_all[name][::SAMPLE] for name in ("input_ids", "attention_mask"))
            seen = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
            found.append(torch.nn.functional.normalize(model.text_proj(seen), dim=-1))
            tokens += ids.numel()
    return torch.cat(found), tokens


def main() -> None:
    if not DIALOGUES.is_file():
        print(json.dumps({"skipped": f"{DIALOGUES.name} is not in {DIALOGUES.parent}"}))
        return
    from chatir.retriever.retriever import load_retriever

    rounds = rounds_of(BATCH)
    texts = [text for some in rounds for text in some[::SAMPLE]]
    order = random.Random(0).sample(range(len(texts)), len(texts))
    shuffled = [texts[place] for place in order]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkpoint = random_checkpoint(folder, width=64, layers=1, inner=64)
        retriever: Any = load_retriever(
            "chatir", checkpoint=str(checkpoint), tokenizer=str(VOCABULARY.parent), device="cpu"
        )
        retriever.encode_dialogs(texts[:2])
        started = time.perf_counter()
        vectors = retriever.encode_dialogs(shuffled)
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        wanted, tokens = in_file_order(retriever, rounds)
        usual_seconds = time.perf_counter() - started
        lengths = [len(row) for row in retriever._reader.rows(list(dict.fromkeys(texts)))]
    figures = {
        "dialogs": f"every {SAMPLE}th of the first {BATCH}, rounds 0 to 10",
        "texts": len(texts),
        "tokens": sum(lengths),
        "usual_tokens_padded": tokens,
        "usual_seconds": round(usual_seconds, 2),
        "seconds": round(seconds, 2),
        "texts_per_second": round(len(texts) / seconds, 1),
        "ratio": round(usual_seconds / seconds, 2),
        "largest_difference": float((vectors - wanted[order]).abs().max()),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
