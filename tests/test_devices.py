"""The device of a run and of each worker."""

import ctypes
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalsuite.cli import doctor
from evalsuite.errors import UsageError
from evalsuite.system import devices


@pytest.mark.parametrize(
    ("asked", "first", "workers", "expected"),
    [
        ("auto", "cpu", "auto", ("cpu",)),
        ("cpu", "cpu", "2", ("cpu", "cpu")),
        ("cuda:1", "cuda:1", "auto", ("cuda:1",)),
        ("cuda:1", "cuda:1", "2", ("cuda:1", "cuda:1")),
    ],
)
def test_devices(asked: str, first: str, workers: str, expected: tuple[str, ...]) -> None:
    assert devices.spread(asked, first, workers) == expected


def test_more_workers_than_gpus() -> None:
    available = len(devices.cuda_devices().names)
    with pytest.raises(UsageError, match=rf"--workers {available + 1}: .* {available} CUDA"):
        devices.spread("auto", "cuda:0", str(available + 1))


def test_threads_per_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0))
    assert devices.share_of_threads(1) is None
    assert devices.share_of_threads(2) == max(1, cores // 2)
    assert devices.share_of_threads(1000) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert devices.share_of_threads(2) is None, "$OMP_NUM_THREADS takes precedence"


class Driver:
    """A CUDA driver with the given devices."""

    def __init__(self, *names: str, error: int = 0) -> None:
        self._names, self._error = names, error

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the driver's name
        return self._error

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self._names)
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = self._names[device.value].encode()
        return 0


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Driver | None], None]:
    """Set torch's build (the line of its version.py) and the driver."""

    def set_up(build: str, driver: Driver | None) -> None:
        (tmp_path / "version.py").write_text(f"__version__ = '2.9'\n{build}\n")
        spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)

        def load(name: str) -> Driver:
            if driver is None:
                raise OSError(name)
            return driver

        monkeypatch.setattr(ctypes, "CDLL", load)

    return set_up


CUDA, NO_CUDA = "cuda: Optional[str] = '12.8'", "cuda: Optional[str] = None"


def test_gpus_are_used_and_shown(machine: Callable[[str, Driver | None], None]) -> None:
    machine(CUDA, Driver("H100", "A100"))
    assert devices.resolve("auto", "auto") == ("cuda:0", "bfloat16")
    assert devices.spread("auto", "cuda:0", "auto") == ("cuda:0", "cuda:1")
    assert devices.describe() == "cuda:0 (H100), cuda:1 (A100); bfloat16"
    with pytest.raises(UsageError, match="--device cuda:2: available are cuda:0, cuda:1"):
        devices.resolve("cuda:2", "auto")


@pytest.mark.parametrize(
    ("build", "driver", "reason"),
    [
        (NO_CUDA, Driver("H100"), "built without CUDA but the driver has H100"),
        (NO_CUDA, None, "built without CUDA"),
        (CUDA, None, "no NVIDIA driver"),
        (CUDA, Driver(), "reports no device"),
        (CUDA, Driver("H100", error=100), "error 100"),
    ],
)
def test_doctor_and_run_agree_on_the_cpu(
    machine: Callable[[str, Driver | None], None],
    build: str,
    driver: Driver | None,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # nvidia-smi lists a GPU whatever torch can use; it must not decide what the doctor shows.
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: H100 (UUID: GPU-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    machine(build, driver)
    assert devices.resolve("auto", "auto") == ("cpu", "float32")
    shown = dict(doctor.machine(None, tmp_path))["device"]
    assert shown.startswith("cpu, float32 (")
    assert reason in shown
    with pytest.raises(UsageError, match=f"--device cuda: not available: .*{reason}"):
        devices.resolve("cuda", "auto")
