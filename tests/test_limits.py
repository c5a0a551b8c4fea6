import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evalsuite.smolvlm.batch_limits import ENOUGH, choose, patch_bytes, token_bytes
from evalsuite.smolvlm.memory import free_host_bytes
from tests.builders.models import SMALL

GIB = 2**30


def test_with_plenty_of_memory_a_device_gets_what_keeps_it_busy() -> None:
    for device, enough in ENOUGH.items():
        assert choose(device, SMALL, 2, 80 * GIB, 80 * GIB, None) == enough


def test_with_little_memory_it_gets_less() -> None:
    found = choose("cuda", SMALL, 4, GIB, GIB, None)
    assert found.tokens * token_bytes(SMALL, 4) == pytest.approx(GIB / 2, rel=0.01)
    assert found.patches * patch_bytes(SMALL, 4) == pytest.approx(GIB / 4, rel=0.01)
    assert found.tile_bytes == pytest.approx(GIB / 10, abs=1)
    assert found.questions == ENOUGH["cuda"].questions
    assert choose("cuda", SMALL, 2, GIB, GIB, None).tokens > found.tokens


def test_a_larger_model_takes_more_a_token() -> None:
    deeper = replace(SMALL, layers=32)
    # Two layers more: keys and values of three heads of 64, in four bytes.
    assert token_bytes(deeper, 4) - token_bytes(SMALL, 4) == 2 * 2 * 3 * 64 * 4


def test_a_batch_size_is_taken_at_its_word() -> None:
    found = choose("cuda", SMALL, 2, 80 * GIB, 80 * GIB, 2)
    assert (found.questions, found.tokens) == (2, sys.maxsize)
    assert found.patches < ENOUGH["cuda"].patches, "small batches are there to save memory"


def test_the_memory_that_is_left_is_the_containers(tmp_path: Path) -> None:
    assert free_host_bytes(tmp_path, tmp_path) == 2**40, "nobody says"
    (tmp_path / "meminfo").write_text("MemTotal: 2000 kB\nMemFree: 1 kB\nMemAvailable: 1000 kB\n")
    assert free_host_bytes(tmp_path, tmp_path) == 1000 * 1024
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_host_bytes(tmp_path, tmp_path) == 1000 * 1024
    (tmp_path / "memory.max").write_text("500000\n")
    assert free_host_bytes(tmp_path, tmp_path) == 200_000
    assert 0 < free_host_bytes() < 2**40
