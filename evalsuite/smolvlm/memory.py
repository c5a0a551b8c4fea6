"""Memory: free and used amounts, batch sizes that fit, and out-of-memory errors."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from evalsuite.smolvlm.roofline import Shape

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


def is_fatal(error: Exception) -> bool:
    """Whether the device cannot be used after `error`: only another process can continue."""
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)


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


# Batch sizes


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum sizes of the engine's batches. The engine reduces them when memory runs out."""

    questions: int
    """Questions per batch."""
    tokens: int
    """Tokens per batch: prompts and padding. A shared prefix counts once."""
    patches: int
    """Patches per call of the vision tower."""
    tile_bytes: int
    """Bytes of tiles per window. Up to three windows are in memory."""


USEFUL_LIMITS = {
    "cpu": Limits(questions=128, tokens=16_384, patches=4_096, tile_bytes=2**28),
    "cuda": Limits(questions=256, tokens=65_536, patches=65_536, tile_bytes=2**31),
}
"""Sizes that fully use a device: larger batches are not faster."""
TOKEN_MEMORY_SHARE = 0.5
PATCH_MEMORY_SHARE = 0.25
"""Shares of the free memory. The rest is for features, masks and allocator fragmentation."""
WINDOW_MEMORY_SHARE = 0.1
"""Share of the host's free memory for the tiles of a window."""
PATCHES_PER_QUESTION = 8_192
"""With an explicit batch size, patches per question in a call of the vision tower."""


def batch_limits(
    device: str, shape: Shape, weight_bytes: int, free: int, host_free: int, batch_size: int | None
) -> Limits:
    """Return the limits for a checkpoint on a ``cpu`` or ``cuda`` device.

    A weight has `weight_bytes` bytes. `free` and `host_free` are the free bytes of device and host.
    With a `batch_size`, a batch has that many questions of any length, until memory runs out.
    """
    useful = USEFUL_LIMITS[device]
    limits = replace(
        useful,
        tokens=min(
            useful.tokens, int(TOKEN_MEMORY_SHARE * free) // bytes_per_token(shape, weight_bytes)
        ),
        patches=min(
            useful.patches, int(PATCH_MEMORY_SHARE * free) // bytes_per_patch(shape, weight_bytes)
        ),
        tile_bytes=min(useful.tile_bytes, int(WINDOW_MEMORY_SHARE * host_free)),
    )
    if batch_size is None:
        return limits
    patches = min(limits.patches, PATCHES_PER_QUESTION * batch_size)
    return replace(limits, questions=batch_size, tokens=sys.maxsize, patches=patches)


def bytes_per_token(shape: Shape, weight_bytes: int) -> int:
    """Memory per token of a batch: cached keys and values, and activations of one layer.

    The cache holds ``2 layers kv`` numbers. A layer holds at the same time about four hidden
    states, the queries, keys and values before and after rotation, repeated for all heads (``6
    q``), and three times the inner width.
    """
    queries = shape.heads * shape.head_width
    cached = 2 * shape.layers * shape.key_heads * shape.head_width
    return weight_bytes * (cached + 4 * shape.width + 6 * queries + 3 * shape.inner)


def bytes_per_patch(shape: Shape, weight_bytes: int) -> int:
    """Memory per patch: activations of one layer of the vision tower, and pixels."""
    pixels = 3 * shape.patch**2
    return weight_bytes * (6 * shape.vision_width + 2 * shape.vision_inner + 2 * pixels)
