"""ChatIR's retriever encodes dialogs and images: an original-BLIP checkpoint of BLIP base's size, in each precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.encoding import random_checkpoint
from benchmarks.gpu.common import Bench, Row, free, measured
from chatir.datasets.scenes.drawing import draw
from chatir.datasets.scenes.folder import scene_dialogs
from chatir.retriever import load_retriever

DIALOGS = 200
IMAGES = 512
BATCH = 256
ENDS = 2
"""Tokens of BLIP's own, which its vocabulary file lacks."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def encoding(bench: Bench) -> Iterator[Row]:
    small = {"width": 64, "layers": 1, "inner": 64, "text_width": 64, "text_layers": 1, "text_inner": 64}
    size = bench.vocabulary if bench.tiny else 30_524
    checkpoint = random_checkpoint(bench.folder, vocabulary=size, **(small if bench.tiny else {}))
    vocabulary = bench.folder / "bert"
    vocabulary.mkdir()
    known, fillers = bench.words(SPECIAL, size - ENDS, "")
    (vocabulary / "vocab.txt").write_text("\n".join(known + fillers))
    scenes = [*scene_dialogs(4 if bench.tiny else DIALOGS, seed=0)]
    texts = [replace(dialog, rounds=dialog.rounds[:number]) for _, dialog in scenes for number in range(11)]
    pictures = [draw(scene).resize((640, 480)) for scene, _ in scenes[:32]]
    exact = None
    for precision in ("fp32", "bf16", "fp16"):
        options = {"tokenizer": str(vocabulary), "precision": precision, "batch_size": BATCH}
        retriever: Any = load_retriever("chatir", checkpoint=checkpoint, **options)
        prepared = [retriever.prepare(picture) for picture in pictures]
        prepared *= 1 if bench.tiny else IMAGES // len(pictures)
        retriever.encode_dialogs(texts[:64])
        retriever.encode_prepared(prepared[:BATCH])
        vectors, seconds, peak = measured(lambda found=retriever: found.encode_dialogs(texts))
        exact = vectors if exact is None else exact
        cosine = float((exact * vectors).sum(dim=1).min())
        beside = "" if precision == "fp32" else f"lowest cosine to fp32 {cosine:.5f}"
        yield Row(f"dialogs, {precision}", len(texts) / seconds, "texts/s", beside, None, peak)
        _, seconds, peak = measured(lambda found=retriever, some=prepared: found.encode_prepared(some))
        yield Row(f"prepared images, {precision}", len(prepared) / seconds, "images/s", "", None, peak)
        del retriever
        free()
