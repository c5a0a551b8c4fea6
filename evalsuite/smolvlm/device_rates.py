"""How fast a device multiplies matrices and moves memory, measured."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

REPEATS = 5
"""The best counts: whatever else runs on the machine only makes it slower."""


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, two for each multiply and add.

    Float32 means float32 here as in the engine: without TF32.
    """
    torch.set_float32_matmul_precision("highest")
    size, at_once = (8192, 8) if device.type == "cuda" else (2048, 1)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    seconds = _best(lambda: torch.mm(left, right, out=out), at_once, device)
    return float(2 * size**3 / seconds)


def bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written together, of copying a block that no cache holds."""
    count, at_once = (2**30, 4) if device.type == "cuda" else (2**28, 1)
    block = torch.ones(count, dtype=torch.uint8, device=device)
    copy = torch.empty_like(block)
    return float(2 * count / _best(lambda: copy.copy_(block), at_once, device))


def _best(call: Callable[[], object], at_once: int, device: torch.device) -> float:
    """Seconds of one call, the best of several rounds of `at_once` calls after a first one."""
    call()
    _wait(device)
    rounds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(at_once):
            call()
        _wait(device)
        rounds.append((time.perf_counter() - started) / at_once)
    return min(rounds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
