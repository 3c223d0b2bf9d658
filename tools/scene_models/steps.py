"""The one training loop: AdamW, a warm-up, a cosine down to nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch

WARM_UP = 0.05
CLIPPED_AT = 1.0
TOLD_EVERY = 100


def train(
    name: str,
    parameters: Iterable[torch.nn.Parameter],
    loss: Callable[[], torch.Tensor],
    steps: int,
    rate: float,
    effort: float = 1.0,
) -> None:
    """Take `effort` times `steps` steps down `loss`, which makes a new batch at each call; tells how it goes on."""
    steps = max(1, round(steps * effort))
    trained = list(parameters)
    optimizer = torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _slope((step + 1) / steps))
    started, total = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIPPED_AT)
        optimizer.step()
        schedule.step()
        total += value.item()
        if step % TOLD_EVERY == 0 or step == steps:
            told = (step - 1) % TOLD_EVERY + 1
            print(
                f"{name}: step {step}/{steps}, loss {total / told:.4f}, {time.monotonic() - started:.0f} s", flush=True
            )
            total = 0.0


def _slope(done: float) -> float:
    """The share of the full learning rate when this share of the steps is done."""
    return done / WARM_UP if done < WARM_UP else 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))
