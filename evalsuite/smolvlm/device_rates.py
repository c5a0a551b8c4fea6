"""Measure how fast a device multiplies matrices and moves memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

REPEATS = 5
"""The best of these rounds counts; other processes can only slow a round down."""


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations per second of a large matrix product; multiply and add count as two.

    Float32 is exact as in the engine: TF32 is off.
    """
    torch.set_float32_matmul_precision("highest")
    size, calls = (8192, 8) if device.type == "cuda" else (2048, 1)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    seconds = _best(lambda: torch.mm(left, right, out=out), calls, device)
    return float(2 * size**3 / seconds)


def bandwidth(device: torch.device) -> float:
    """Return bytes per second, read plus written, of copying a block larger than any cache."""
    count, calls = (2**30, 4) if device.type == "cuda" else (2**28, 1)
    block = torch.ones(count, dtype=torch.uint8, device=device)
    copy = torch.empty_like(block)
    return float(2 * count / _best(lambda: copy.copy_(block), calls, device))


def _best(call: Callable[[], object], calls: int, device: torch.device) -> float:
    """Return seconds per call: the best of several rounds of `calls` calls, after a warm-up."""
    call()
    _synchronize(device)
    rounds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        _synchronize(device)
        rounds.append((time.perf_counter() - started) / calls)
    return min(rounds)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
