"""The names of a run's files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalsuite.runs.layout import (
    Limit,
    RunPaths,
    Shard,
    checkpoint_directories,
    checkpoint_directory,
    journal_path,
    profile_directory,
    profiles_beside,
    read_limit,
    run_directories,
    run_paths,
    run_records,
    samples_path,
    set_aside,
    settings_digest,
    shard_journals,
)

DIGEST = "0123456789abcdef"
CHECKPOINT: Any = SimpleNamespace(name="demo", digest=DIGEST)


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


def test_names_of_files(tmp_path: Path) -> None:
    """The names of docs/reference/run-json.md."""
    whole, part = RunPaths(tmp_path, None), RunPaths(tmp_path, Limit(count=50), Shard(1, 2))
    for paths, end in ((whole, ""), (part, "@50")):
        assert paths.run_json == tmp_path / f"run{end}.json"
        assert paths.samples("A") == tmp_path / "A" / f"samples{end}.jsonl"
        assert paths.batch_sensitivity("A") == tmp_path / "A" / f"batch_sensitivity{end}.jsonl"
        assert paths.evidence("A") == tmp_path / "A" / f"vlmevalkit{end}"
    assert (whole.part, part.part) == ("", "shard-1-of-2")
    assert (whole.record, part.record) == (whole.run_json, tmp_path / "shard-1-of-2@50.json")


def test_names_of_journals(tmp_path: Path) -> None:
    whole = journal_path(tmp_path, "rerun")
    shards = [journal_path(tmp_path, "rerun", Shard(i, 2).name) for i in (2, 1)]
    assert whole == tmp_path / "rerun.jsonl"
    assert shards[0] == tmp_path / "rerun.shard-2-of-2.jsonl"
    for path in (whole, *shards, journal_path(tmp_path, "predictions", "shard-1-of-2")):
        path.touch()
    assert shard_journals(tmp_path, "rerun") == shards[::-1]
    assert set_aside(whole, DIGEST) == tmp_path / "rerun-01234567.jsonl"


def test_the_digest_of_settings_does_not_depend_on_their_order() -> None:
    assert settings_digest({"a": 1, "b": 2}) == settings_digest({"b": 2, "a": 1})
    # printf '{}' | sha256sum
    assert settings_digest({}).startswith("44136fa355b3678a")


def test_a_run_is_named_by_eight_characters_of_each_digest(tmp_path: Path) -> None:
    paths = run_paths(tmp_path, CHECKPOINT, {}, Limit(share=0.5))
    assert paths.directory == tmp_path / "demo-01234567" / "44136fa3"
    assert paths.run_json.name == "run@0.5.json"


@pytest.mark.parametrize(
    ("limit", "total", "number"),
    [
        (Limit(count=1), 10, 1), (Limit(count=10), 10, 10), (Limit(count=11), 10, 10),
        (Limit(share=0.26), 10, 3), (Limit(share=0.24), 10, 2), (Limit(share=0.01), 10, 1),
        (Limit(share=0.99), 10, 10), (Limit(count=5), 0, 0), (Limit(), 10, 1),
    ],
)  # fmt: skip
def test_a_limit_is_at_least_one_sample_and_at_most_all(
    limit: Limit, total: int, number: int
) -> None:
    assert limit.of(total) == number
