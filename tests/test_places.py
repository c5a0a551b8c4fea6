"""What a pattern of checkpoints names."""

import re
from pathlib import Path

import pytest

from evalsuite.checkpoint.locate import expand, file_name
from evalsuite.errors import UsageError


def test_a_pattern_names_directories_by_step(tmp_path: Path) -> None:
    for step in (1000, 500, 50):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-notes.txt").write_text("not a checkpoint")
    assert [Path(found).name for found in expand(f"{tmp_path}/checkpoint-*")] == [
        "checkpoint-50", "checkpoint-500", "checkpoint-1000",
    ]  # fmt: skip


def test_what_is_no_pattern_stays_as_it_is(tmp_path: Path) -> None:
    assert expand("org/name") == ["org/name"]
    assert expand("demo:early") == ["demo:early"]
    odd = tmp_path / "run[1]"
    odd.mkdir()
    assert expand(str(odd)) == [str(odd)]


def test_a_pattern_that_nothing_fits(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"checkpoint-\*: no directory fits"):
        expand(f"{tmp_path}/checkpoint-*")


def test_a_name_of_a_file_from_any_name() -> None:
    assert file_name("Video-MME") == "Video-MME"
    odd = ["../up", "a/b", "a b", "漢字", ".", "..", "", "x" * 300, "\ud800", "-o"]
    made = [file_name(name) for name in odd]
    assert len(set(made)) == len(odd)
    for name in made:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,108}", name)
