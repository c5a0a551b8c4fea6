import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evalsuite.smolvlm.memory import (
    USEFUL_LIMITS,
    batch_limits,
    bytes_per_patch,
    bytes_per_token,
    free_host_bytes,
)
from tests.builders.models import SMALL

GIB = 2**30


def test_large_memory_gives_the_useful_limits() -> None:
    for device, limits in USEFUL_LIMITS.items():
        assert batch_limits(device, SMALL, 2, 80 * GIB, 80 * GIB, None) == limits


def test_small_memory_gives_smaller_limits() -> None:
    found = batch_limits("cuda", SMALL, 4, GIB, GIB, None)
    assert found.tokens * bytes_per_token(SMALL, 4) == pytest.approx(GIB / 2, rel=0.01)
    assert found.patches * bytes_per_patch(SMALL, 4) == pytest.approx(GIB / 4, rel=0.01)
    assert found.tile_bytes == pytest.approx(GIB / 10, abs=1)
    assert found.questions == USEFUL_LIMITS["cuda"].questions
    assert batch_limits("cuda", SMALL, 2, GIB, GIB, None).tokens > found.tokens


def test_a_larger_model_needs_more_memory_per_token() -> None:
    deeper = replace(SMALL, layers=32)
    # Two layers more: keys and values of three heads of 64, in four bytes.
    assert bytes_per_token(deeper, 4) - bytes_per_token(SMALL, 4) == 2 * 2 * 3 * 64 * 4


def test_an_explicit_batch_size_is_used() -> None:
    found = batch_limits("cuda", SMALL, 2, 80 * GIB, 80 * GIB, 2)
    assert (found.questions, found.tokens) == (2, sys.maxsize)
    assert found.patches < USEFUL_LIMITS["cuda"].patches, "small batches save memory"


def test_free_memory_respects_the_container_limit(tmp_path: Path) -> None:
    assert free_host_bytes(tmp_path, tmp_path) == 2**40, "unknown"
    (tmp_path / "meminfo").write_text("MemTotal: 2000 kB\nMemFree: 1 kB\nMemAvailable: 1000 kB\n")
    assert free_host_bytes(tmp_path, tmp_path) == 1000 * 1024
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_host_bytes(tmp_path, tmp_path) == 1000 * 1024
    (tmp_path / "memory.max").write_text("500000\n")
    assert free_host_bytes(tmp_path, tmp_path) == 200_000
    assert 0 < free_host_bytes() < 2**40
