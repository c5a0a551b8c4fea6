"""The device and number format of a run, chosen without importing torch."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.system.process import usable_cpus

WORKERS = "a number of processes like 2"
DTYPES = ("auto", "float32", "bfloat16", "float16")


def resolve(device: str, dtype: str) -> tuple[str, str]:
    """Replace ``auto``: by the first CUDA device and bfloat16, or by the CPU and float32.

    Raises `UsageError` for an unknown dtype, or a device that does not exist.
    """
    check(device, dtype)
    found = cuda_devices()
    if device == "auto":
        device = "cuda:0" if found.names else "cpu"
    elif device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if index >= len(found.names):
            names = ", ".join(f"cuda:{i}" for i in range(len(found.names)))
            why = f"available are {names}" if names else f"not available: {found.reason}"
            raise UsageError(f"--device {device}: {why}; choose another device or --device cpu")
        device = f"cuda:{index}"
    return device, dtype_for(device, dtype)


def check(device: str, dtype: str) -> None:
    """Raise `UsageError` if `device` or `dtype` is not a valid name."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: expected auto, cpu, cuda or cuda:1")
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: expected one of {', '.join(DTYPES)}")


def read_count(flag: str, text: str, expected: str) -> int | None:
    """The number in `text`; None for ``auto``. Raises `UsageError` for anything else."""
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"{flag} {text}: expected auto or {expected}")


def dtype_for(device: str, dtype: str) -> str:
    """Replace ``auto`` by the default dtype of `device`."""
    if dtype == "auto":
        return "bfloat16" if device.startswith("cuda") else "float32"
    return dtype


def spread(asked: str, device: str, workers: str) -> tuple[str, ...]:
    """The device of each worker process.

    `asked` is the value of ``--device`` and `device` is what `resolve` returned for it. With
    `workers` ``auto`` there is one worker per CUDA device, or one on the CPU. If `asked` names one
    device, all workers share it. Raises `UsageError`.
    """
    wanted = read_count("--workers", workers, WORKERS)
    if device == "cpu" or ":" in asked:
        return (device,) * (wanted or 1)
    available = len(cuda_devices().names)
    count = available if wanted is None else wanted
    if count > available:
        raise UsageError(
            f"--workers {workers}: this machine has {available} CUDA devices; "
            "use fewer workers, or let them share one device, as in --device cuda:0"
        )
    return tuple(f"cuda:{index}" for index in range(count))


def share_of_threads(workers: int) -> int | None:
    """Threads per worker; None leaves the number to torch or to ``$OMP_NUM_THREADS``."""
    if workers == 1 or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, usable_cpus() // workers)


@dataclass(frozen=True, slots=True)
class CudaDevices:
    """The CUDA devices that the installed torch can use."""

    names: tuple[str, ...]
    """Model names by device index: the name of ``cuda:0`` comes first."""
    reason: str = ""
    """Why there is no device; empty if there is one."""


def cuda_devices() -> CudaDevices:
    """Find the CUDA devices without importing torch: from torch's build and from the driver."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return CudaDevices((), "torch is not installed")
    found = _driver_devices()
    version_file = Path(spec.origin).parent / "version.py"
    if re.search(r"^cuda[^=]*=\s*None", version_file.read_text(), re.MULTILINE):
        advice = (
            f" but the driver has {', '.join(found.names)}: install torch with CUDA"
            if found.names
            else ""
        )
        return CudaDevices((), f"the installed torch is built without CUDA{advice}")
    return found


def _driver_devices() -> CudaDevices:
    """Ask the CUDA driver, which applies CUDA_VISIBLE_DEVICES itself."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return CudaDevices((), "no NVIDIA driver (libcuda.so.1)")
    if error := driver.cuInit(0):  # 0 is CUDA_SUCCESS
        return CudaDevices((), f"the NVIDIA driver reports error {error}")
    count, device = ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return CudaDevices((), "the NVIDIA driver reports no device")
    names = []
    for index in range(count.value):
        name = ctypes.create_string_buffer(256)
        failed = driver.cuDeviceGet(ctypes.byref(device), index)
        failed = failed or driver.cuDeviceGetName(name, len(name), device)
        names.append("unknown device" if failed else name.value.decode(errors="replace"))
    return CudaDevices(tuple(names))


def describe() -> str:
    """The device and dtype that a run uses by default, and the other devices."""
    chosen, dtype = resolve("auto", "auto")
    cuda = cuda_devices()
    if not cuda.names:
        return f"{chosen}, {dtype} ({cuda.reason})"
    named = ", ".join(f"cuda:{index} ({name})" for index, name in enumerate(cuda.names))
    return f"{named}; {dtype}"


def resampling() -> str:
    """The resize filter that the image processors use with the installed torchvision.

    SmolVLM requires LANCZOS. torchvision supports it on tensors since 0.27; with an older version
    transformers uses BICUBIC, which gives different pixels and different scores.
    """
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return "pil-lanczos"
    major, minor = (int(part) for part in version.split(".")[:2])
    return "torchvision-lanczos" if (major, minor) >= (0, 27) else "torchvision-bicubic"
