"""Which devices workers get."""

import os

import pytest

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
    more = devices.cuda_devices() + 1
    with pytest.raises(UsageError, match=rf"only {more - 1} CUDA devices here; .*--device cuda:0"):
        devices.spread("auto", "cuda:0", str(more))


def test_a_share_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0))
    assert devices.share_of_threads(1) is None
    assert devices.share_of_threads(2) == max(1, cores // 2)
    assert devices.share_of_threads(1000) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert devices.share_of_threads(2) is None, "where the user says otherwise, that holds"
