"""What torch lets a process set about fp32 products, and reading it by either of its interfaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

BACKENDS: Any = torch.backends
OPERATIONS = {
    "cuda.matmul": BACKENDS.cuda.matmul,
    "cudnn.conv": BACKENDS.cudnn.conv,
    "cudnn.rnn": BACKENDS.cudnn.rnn,
    "mkldnn.matmul": BACKENDS.mkldnn.matmul,
    "mkldnn.conv": BACKENDS.mkldnn.conv,
    "mkldnn.rnn": BACKENDS.mkldnn.rnn,
}
CONTRADICTION = "torch raises RuntimeError"


def newer() -> dict[str, str]:
    """The settings of each operation, as torch computes it."""
    return {name: operation.fp32_precision for name, operation in OPERATIONS.items()}


def older() -> list[object]:
    """The flags of matrix products on a GPU and anywhere, and of cuDNN."""

    def read(flag: Callable[[], object]) -> object:
        try:
            return flag()
        except RuntimeError:
            return CONTRADICTION

    flags = (lambda: BACKENDS.cuda.matmul.allow_tf32, torch.get_float32_matmul_precision)
    return [*map(read, flags), read(lambda: BACKENDS.cudnn.allow_tf32)]


def as_torch_starts() -> None:
    """Set all of them back."""
    BACKENDS.fp32_precision = BACKENDS.cudnn.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    BACKENDS.cudnn.allow_tf32 = True
    for name in ("cuda.matmul", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn"):
        OPERATIONS[name].fp32_precision = "none"
