"""Vectors as a retriever gives them: refused, by its name, if they are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chatir.errors import ChatirError, InputError
from chatir.retriever.index.corpus import Vectors, vectors_problem


def given_vectors(name: str, encode: Callable[[Sequence[Any]], Any], things: Sequence[Any], what: str) -> Vectors:
    """Unit vectors [n, d], float32, of the n things that a retriever was asked to encode.

    name: the retriever's; what: dialogs or images, both for error messages. Raises InputError that names the retriever
    for anything else that it gave, and for whatever it raised (a ChatirError as it is).
    """
    try:
        vectors = as_array(encode(things))
    except (MemoryError, ChatirError):
        raise
    except (Exception, SystemExit) as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"{name} cannot encode {len(things)} {what} at once: {told}") from error
    if problem := vectors_problem(vectors, len(things), what):
        raise InputError(f"{name}: the vectors that it gives of {len(things)} {what} {problem}")
    return np.array(vectors, dtype=np.float32)  # a copy: a retriever may use its buffer again


def as_array(vectors: Any) -> NDArray[Any]:
    """A tensor, on whatever device, or what numpy takes for an array, as an array of the same shape [...].

    Types that numpy lacks become float32.
    """
    import torch

    if isinstance(vectors, torch.Tensor):
        vectors = vectors.detach().cpu()
        known = (torch.float16, torch.float32, torch.float64)
        vectors = (vectors.float() if vectors.is_floating_point() and vectors.dtype not in known else vectors).numpy()
    array: NDArray[Any] = np.asarray(vectors)
    return array
