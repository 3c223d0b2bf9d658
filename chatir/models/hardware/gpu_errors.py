"""What torch's errors mean: memory that was exhausted, and a GPU that is of no use to this process any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

from chatir.errors import ChatirError, InputError, StoppedRunError

MEMORY_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "alloc_failed",
    "allocation_failed",  # as cuDNN 9 says it
    "_status_not_initialized",  # cuBLAS and cuDNN have no memory for their handles
)
"""How errors, in lower case, say that memory was exhausted; the LAVIS worker has its own copy."""
GPU_FAILURE_SIGNS = (
    "illegal memory access",
    "illegal instruction was encountered",
    "device-side assert triggered",
    "unspecified launch failure",
    "misaligned address",
    "hardware stack error",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "the launch timed out and was terminated",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "cuda error: unknown error",
    "devices are busy or unavailable",
)
"""How CUDA's errors, in lower case, name those after which every call of the process fails."""


@contextmanager
def stopped_by_gpu_failure(model: str) -> Iterator[None]:
    """Turns an error after which every later call of the process would fail too into a StoppedRunError."""
    try:
        yield
    except RuntimeError as error:
        if gpu_failed(error):
            raise StoppedRunError(f"{model}: the GPU failed ({first_line(error)})") from error
        raise


@contextmanager
def loading_errors(model: str) -> Iterator[None]:
    """Turns an error of loading a model that says that memory was exhausted into an InputError with what to do.

    Raises StoppedRunError for one after which the GPU is of no use to this process.
    """
    with stopped_by_gpu_failure(model):
        try:
            yield
        except ChatirError:
            raise
        except Exception as error:  # a file that cannot be mapped is an OSError
            if not memory_ended(error):
                raise
            told = f"there is not enough memory to load it ({first_line(error)})"
            mend = "use another device, a lower precision or a smaller model, or free memory"
            raise InputError(f"model {model}: {told}: {mend}") from None


def memory_ended(error: BaseException) -> bool:
    """Whether an error says that the memory, a GPU's or the machine's, did not suffice."""
    import torch

    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(sign in str(error).lower() for sign in MEMORY_SIGNS)


def gpu_failed(error: BaseException) -> bool:
    """Whether an error says that the GPU is of no use to this process any more."""
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in GPU_FAILURE_SIGNS)


def first_line(error: BaseException) -> str:
    """What an error says in one line, which is cut, and its type where it says nothing."""
    return shorten(next(iter(str(error).strip().splitlines()), type(error).__name__), 200, placeholder="...")
