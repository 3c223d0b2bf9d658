"""Each purpose of a comparison's resampling draws from a stream of its own."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import chatir.compare
from chatir.compare.statistics.streams import Stream


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_no_two_streams_are_alike_and_each_can_be_drawn_again(seed: int) -> None:
    drawn = {tuple(stream.generator(seed).integers(2**62, size=4)) for stream in Stream}
    assert len(drawn) == len(Stream)
    assert drawn == {tuple(stream.generator(seed).integers(2**62, size=4)) for stream in Stream}


def test_the_stream_of_curves_is_that_of_the_seed_alone() -> None:
    assert Stream.CURVE_BANDS.generator(3).random() == np.random.default_rng(3).random()


def test_each_stream_has_one_use_and_nothing_else_draws() -> None:
    drawn: Counter[str] = Counter()
    for file in Path(chatir.compare.__path__[0]).rglob("*.py"):
        if file.name == "streams.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr != "default_rng", f"{file}: {ast.unparse(node)}"
                if ast.unparse(node.value) == "Stream":
                    drawn[node.attr] += 1
    assert drawn == dict.fromkeys(Stream.__members__, 1)
