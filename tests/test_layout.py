"""The names of a run's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsuite.runs.layout import (
    Limit,
    RunPaths,
    Shard,
    checkpoint_directories,
    checkpoint_directory,
    profile_directory,
    profiles_beside,
    read_limit,
    run_directories,
    run_records,
    samples_path,
)

DIGEST = "0123456789abcdef"


@pytest.mark.parametrize("typed", [None, "5", "0.1"])
def test_a_found_run_has_the_samples_that_its_run_wrote(tmp_path: Path, typed: str | None) -> None:
    paths = RunPaths(tmp_path, read_limit(typed))
    limit = None if paths.limit is None else str(paths.limit)
    assert paths.samples("A") == samples_path(paths.run_json, "A", limit)
    assert paths.samples("A").parent == paths.journal("A")


def test_shards_of_another_limit_are_not_found(tmp_path: Path) -> None:
    for limit in (None, Limit(count=5), Limit(count=50)):
        for index in (1, 2):
            RunPaths(tmp_path, limit, Shard(index, 2)).record.write_text("{}")
    for limit, end in ((None, ""), (Limit(count=5), "@5"), (Limit(count=50), "@50")):
        names = [path.name for path in RunPaths(tmp_path, limit).shard_records]
        assert names == [f"shard-1-of-2{end}.json", f"shard-2-of-2{end}.json"]


def test_runs_are_found_in_order_of_their_numbers(tmp_path: Path) -> None:
    for step in (1000, 500):
        directory = checkpoint_directory(tmp_path, f"step-{step}", DIGEST) / "01234567"
        directory.mkdir(parents=True)
        (directory / "run@10.json").write_text("{}")
        (directory / "run@9.json").write_text("{}")
    (tmp_path / "empty" / "01234567").mkdir(parents=True)
    found = run_directories(tmp_path, 2)
    assert [path.parent.name[:9].rstrip("-") for path in found] == ["step-500", "step-1000"]
    assert [path.name for path in run_records(found[0])] == ["run@9.json", "run@10.json"]
    (found[0] / "run.json").write_text("{}")
    assert [path.name for path in run_records(found[0])] == ["run.json"]


def test_a_checkpoint_is_found_by_its_whole_name(tmp_path: Path) -> None:
    for name in ("demo", "demo-early", "a[b]*"):
        checkpoint_directory(tmp_path, name, DIGEST).mkdir()
        assert checkpoint_directories(tmp_path, name) == [tmp_path / f"{name}-01234567"]
    assert checkpoint_directories(tmp_path, "dem") == []
    assert checkpoint_directories(tmp_path, "a*") == []


def test_a_profile_is_found_beside_the_runs(tmp_path: Path) -> None:
    made = profile_directory(tmp_path, "demo", DIGEST, "cuda:0", "float32") / "profile.json"
    made.parent.mkdir(parents=True)
    made.write_text("{}")
    run_json = checkpoint_directory(tmp_path, "demo", DIGEST) / "89abcdef" / "run.json"
    assert profiles_beside(run_json) == [made]
