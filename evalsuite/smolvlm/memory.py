"""Memory: free and used amounts, and handling of out-of-memory errors."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
)
"""Texts of plain RuntimeErrors from CUDA, cuBLAS and the CPU allocator."""


def none_if_out_of_memory(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Return the result of `call`, or None if memory runs out; other errors are raised.

    After None, all memory that `call` allocated is free: the exception, which references the frames
    of the call, no longer exists.
    """
    try:
        return call(*args, **kwargs)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def free_bytes(device: torch.device) -> int:
    """Return the bytes that this process can still allocate on `device`."""
    if device.type != "cuda":
        return free_host_bytes()
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + cached


def free_host_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the free memory in bytes of this machine or container; 1 TiB if unknown.

    The minimum of ``MemAvailable`` in /proc/meminfo and the control group's limit minus its usage
    (versions 2 and 1).
    """
    lines = _text(proc / "meminfo").splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        maximum, current = _text(groups / limit), _text(groups / used)
        if maximum.isdecimal() and current.isdecimal():
            found.append(max(0, int(maximum) - int(current)))
    return min(found, default=2**40)


def peak_bytes(device: torch.device) -> int:
    """Return the peak bytes allocated on a CUDA device, else the peak resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """Return the peak resident memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY_TEXTS)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
