"""The chance in a comparison's resampling: a stream of random numbers for each purpose, all of one seed."""

from __future__ import annotations

from enum import IntEnum, unique

import numpy as np


@unique
class Stream(IntEnum):
    """What a stream is drawn for. Two purposes of one stream would share their draws; another number, other figures."""

    CURVE_BANDS = 0
    PRIMARY_TESTS = 1
    PRIMARY_INTERVALS = 2
    DESCRIPTIVE_INTERVALS = 3
    RANK_TESTS = 4
    CURVE_DIFFERENCES = 5
    FAILURE_INTERVALS = 6
    AGREEMENT_INTERVALS = 7
    FAILURE_TESTS = 8
    GATE_TESTS = 9
    ESTIMATES = 10
    PLAIN_INTERVALS = 11

    def generator(self, seed: int) -> np.random.Generator:
        """The stream from its beginning. seed: of the comparison, 0 or more."""
        return np.random.default_rng([seed, self])
