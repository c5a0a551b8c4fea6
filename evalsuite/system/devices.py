"""Which device and number format a run uses, found out without importing torch."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import re
from pathlib import Path

from evalsuite.errors import UsageError

DTYPES = ("auto", "float32", "bfloat16", "float16")


def resolve(device: str, dtype: str) -> tuple[str, str]:
    """Make ``auto`` plain: the first CUDA device in bfloat16, or else the CPU in float32.

    Raises `UsageError` for a device or dtype that is not to be had.
    """
    check(device, dtype)
    count = cuda_devices()
    if device == "auto":
        device = "cuda:0" if count else "cpu"
    elif device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if index >= count:
            found = f"only {count} here" if count else "no usable CUDA device here"
            raise UsageError(f"--device {device}: {found}; choose another or --device cpu")
        device = f"cuda:{index}"
    return device, dtype_for(device, dtype)


def check(device: str, dtype: str) -> None:
    """Raise `UsageError` for what is no device or dtype."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: expected auto, cpu, cuda or cuda:1")
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: expected one of {', '.join(DTYPES)}")


def dtype_for(device: str, dtype: str) -> str:
    """Make ``auto`` plain on `device`."""
    if dtype == "auto":
        return "bfloat16" if device.startswith("cuda") else "float32"
    return dtype


def spread(asked: str, device: str, workers: str) -> tuple[str, ...]:
    """The device of each of `workers`, where `device` is what was made of the one `asked` for.

    ``auto`` is one worker on every CUDA device, or one on the CPU; a device with a number gets all
    of them. Raises `UsageError`.
    """
    if workers != "auto" and not (workers.isdecimal() and int(workers) > 0):
        raise UsageError(f"--workers {workers}: expected auto or a number of processes like 2")
    if device == "cpu" or ":" in asked:
        return (device,) * (1 if workers == "auto" else int(workers))
    there = cuda_devices()
    count = there if workers == "auto" else int(workers)
    if count > there:
        raise UsageError(
            f"--workers {workers}: only {there} CUDA devices here; "
            "take fewer, or name one that they share, as in --device cuda:0"
        )
    return tuple(f"cuda:{index}" for index in range(count))


def share_of_threads(workers: int) -> int | None:
    """How many threads each of `workers` may have; None leaves it to torch, or to the user."""
    if workers == 1 or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, len(os.sched_getaffinity(0)) // workers)


def cuda_devices() -> int:
    """How many CUDA devices torch could use: the driver's count, 0 for a CPU build of torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return 0
    version_file = Path(spec.origin).parent / "version.py"
    if re.search(r"^cuda[^=]*=\s*None", version_file.read_text(), re.MULTILINE):
        return 0
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    # CUDA_VISIBLE_DEVICES is honoured by the driver itself. 0 is CUDA_SUCCESS.
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def resampling() -> str:
    """The resize filter the image processors will use with the installed torchvision.

    SmolVLM asks for LANCZOS. torchvision has it on tensors from 0.27 on; transformers falls back
    to BICUBIC before, which makes other pixels and other scores.
    """
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return "pil-lanczos"
    major, minor = (int(part) for part in version.split(".")[:2])
    return "torchvision-lanczos" if (major, minor) >= (0, 27) else "torchvision-bicubic"
