"""What fp32 says is what torch computes: left alone, it may round the factors of fp32 products to TF32 or bfloat16."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock, local
from typing import Any

_SWITCHING = RLock()
"""The settings are the whole process's: one thread at a time changes them, or relies on what it will put back."""
_HERE = local()
_SAFE = ("ieee", "none")


def keep_fp32() -> None:
    """Compute fp32 products and convolutions in fp32, in the whole process from now on, on GPUs and CPUs.

    Settings of single operations, which `torch.backends.fp32_precision` does not override. Waits while another thread
    is in `fp32_products`, which would put back what was before.
    """
    import torch

    backends: Any = torch.backends
    warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")
    with _SWITCHING:
        torch.get_num_threads()  # see `take_all_threads`
        # The older flags first: torch raises RuntimeError for those who read one that contradicts a newer setting.
        backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        cuda = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
        for operation in (*cuda, backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn):
            operation.fp32_precision = "ieee"


def take_all_threads() -> None:
    """Let products in the calling thread have torch's number of threads, whatever another thread is ranking.

    A thread takes the number over when it first asks for it; while targets are ranked on the CPU (in `fp32_products`),
    it is 1.
    """
    torch = sys.modules.get("torch")
    if torch is not None and not getattr(_HERE, "settled", False):
        with _SWITCHING:
            torch.get_num_threads()
        _HERE.settled = True


@contextmanager
def fp32_products(device: str) -> Iterator[None]:
    """Inside, a device of this type (`cpu`, `cuda`) multiplies fp32 matrices in fp32; one thread at a time is inside.

    Where it does so already nothing is touched, since other threads may be computing. Otherwise the settings are put
    back at the end: one that was as its backend's follows that again. Torch's older flag and its newer settings agree
    inside, and after if any value of the flag agrees with them, so that both can be read.
    """
    import torch

    backends: Any = torch.backends
    cuda, mkldnn = backends.cuda.matmul, backends.mkldnn.matmul
    with _SWITCHING:
        if (mkldnn if device == "cpu" else cuda).fp32_precision in _SAFE:
            yield
            return
        before = [(operation, operation.fp32_precision) for operation in (cuda, mkldnn)]
        flag = _flag(*(precision for _, precision in before))
        torch.set_float32_matmul_precision("highest")  # the older flag, and both newer settings
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(flag)
            for (operation, precision), backend in zip(before, (backends.cudnn, backends.mkldnn), strict=True):
                operation.fp32_precision = "none" if backend.fp32_precision == precision else precision


def _flag(cuda: str, mkldnn: str) -> str:
    """Torch's older flag as it is; where it contradicts the newer settings, the value that agrees with them best."""
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        if cuda != "tf32":
            return "highest"
        return "medium" if mkldnn == "bf16" else "high"
