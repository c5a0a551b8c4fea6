"""Running out of memory, told from other errors and survived; and how much was used."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What CUDA, cuBLAS and the CPU allocator say in a plain RuntimeError."""


def fitting(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Call, and return None if memory runs out; other errors are raised.

    When it returns None, everything `call` had allocated is free again: the exception, which holds
    on to the frames of the call, is gone.
    """
    try:
        return call(*args, **kwargs)
    except (MemoryError, RuntimeError) as error:
        if not _means_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def peak_bytes(device: torch.device) -> int:
    """Most memory allocated on a CUDA device, else most resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """Most resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _means_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(sign in text for sign in _SIGNS)
