"""Running out of memory, told from other errors and survived; and how much was used."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
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


def free_bytes(device: torch.device) -> int:
    """Memory that this process could still allocate on `device`."""
    if device.type != "cuda":
        return free_host_bytes()
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + held


def free_host_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory this machine, or the container this process is in, has left; a lot if nobody says.

    From ``MemAvailable`` of /proc/meminfo, and of the control group (versions 2 and 1) its limit
    less what it uses.
    """
    lines = _text(proc / "meminfo").splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most, now = _text(groups / limit), _text(groups / used)
        if most.isdecimal() and now.isdecimal():
            found.append(max(0, int(most) - int(now)))
    return min(found, default=2**40)


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


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
