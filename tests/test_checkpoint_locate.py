"""Patterns of checkpoint directories."""

from pathlib import Path

import pytest

from evalsuite.checkpoint.locate import expand
from evalsuite.errors import UsageError


def test_a_pattern_names_directories_by_step(tmp_path: Path) -> None:
    for step in (1000, 500, 50):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-notes.txt").write_text("not a checkpoint")
    assert [Path(found).name for found in expand(f"{tmp_path}/checkpoint-*")] == [
        "checkpoint-50", "checkpoint-500", "checkpoint-1000",
    ]  # fmt: skip


def test_other_names_are_unchanged(tmp_path: Path) -> None:
    assert expand("org/name") == ["org/name"]
    assert expand("demo:early") == ["demo:early"]
    odd = tmp_path / "run[1]"
    odd.mkdir()
    assert expand(str(odd)) == [str(odd)]


def test_a_pattern_without_matches(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"checkpoint-\*: no directory"):
        expand(f"{tmp_path}/checkpoint-*")
