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


def test_memory_of_smolvlm2_256m_by_hand() -> None:
    # In numbers: 2 * 30 layers * 3 heads * 64 of cache; 4 * 576, 6 * 9 heads * 64 and 3 * 1536.
    assert bytes_per_token(SMALL, 2) == 2 * (11_520 + 2_304 + 3_456 + 4_608)
    assert bytes_per_token(SMALL, 4) == 87_552
    # 6 * 768, 2 * 3072, and two copies of 3 * 16 * 16 pixels.
    assert bytes_per_patch(SMALL, 2) == 2 * (4_608 + 6_144 + 1_536)
    assert bytes_per_patch(SMALL, 4) == 49_152


def test_limits_use_their_share_of_the_free_memory_exactly() -> None:
    free = 2 * 1_000 * 43_776  # half of it is for 1,000 tokens, a quarter for patches
    found = batch_limits("cpu", SMALL, 2, free, 1_000, None)
    assert (found.tokens, found.patches) == (1_000, 21_888_000 // 24_576)
    assert found.tile_bytes == 100
    assert batch_limits("cpu", SMALL, 2, free - 2, 1_000, None).tokens == 999


def test_a_gpu_and_a_cpu_have_limits_of_their_own() -> None:
    gpu, cpu = (
        batch_limits(device, SMALL, 2, 80 * GIB, 80 * GIB, None) for device in ("cuda", "cpu")
    )
    assert (gpu.questions, gpu.tokens, gpu.patches) == (256, 65_536, 65_536)
    assert (cpu.questions, cpu.tokens, cpu.patches) == (128, 16_384, 4_096)
    assert (gpu.tile_bytes, cpu.tile_bytes) == (2 * GIB, GIB // 4)


def test_a_question_of_a_small_batch_has_eight_tiles_of_patches() -> None:
    found = batch_limits("cuda", SMALL, 2, 80 * GIB, 80 * GIB, 2)
    assert found.patches == 2 * 8 * (512 // 16) ** 2


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
