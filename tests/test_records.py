"""The records of a run: written and read again, and samples by group."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalsuite.errors import UsageError
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.find import find, find_all
from evalsuite.runs.records import SCHEMA, SampleScore, by_group, group_name
from evalsuite.runs.storage import read_run, write_run
from tests.builders.runs import failure, run, score


def sample(id: str, category: str = "", part: str = "", **labels: str) -> SampleScore:
    return SampleScore(
        id=id, cluster=id, value=1.0, parsed=True, category=category, part=part,
        labels=tuple(labels.items()),
    )  # fmt: skip


def test_samples_are_grouped_by_category_part_and_label() -> None:
    rows = [
        sample("1", "b", split="val", kind="same"),
        sample("2", "a", split="test", kind="same"),
        sample("3", "", split="val", kind="same"),
    ]
    found = {group_name(*group): [row.id for row in members]
             for group, members in by_group(rows, lambda row: row).items()}  # fmt: skip
    assert found == {
        "a": ["2"], "b": ["1"], "none": ["3"], "split: test": ["2"], "split: val": ["1", "3"]
    }  # fmt: skip
    assert list(found) == ["a", "b", "none", "split: test", "split: val"]


def test_a_column_with_one_value_is_no_group() -> None:
    assert by_group([sample("1", "a"), sample("2", "a")], lambda row: row) == {}
    assert by_group([], lambda row: row) == {}


def test_a_sample_counts_once_in_a_group() -> None:
    twice = SampleScore(
        id="1", cluster="1", value=0.0, parsed=True, labels=(("k", "x"), ("k", "x"))
    )
    found = by_group([twice, sample("2", k="y")], lambda row: row)
    assert [row.id for row in found["k", "x"]] == ["1"]


@pytest.mark.parametrize("schema", [0, 1, SCHEMA + 1])
def test_another_schema_is_an_error_in_one_line(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"schema": schema, "outcomes": []}))
    with pytest.raises(UsageError, match=f"schema {schema}") as caught:
        read_run(path)
    (line,) = str(caught.value).splitlines()
    assert str(path) in line


def test_a_run_is_read_as_written(tmp_path: Path) -> None:
    judge = JudgeId("qwen", "http://localhost:8000/v1")
    judged = score("A", 50.0, judge=judge, judge_reported=("qwen-7b",), deviations=("x",))
    made = run("a", judged, failure("B"), score("C", 1.0), batch_sensitivity=None)
    write_run(tmp_path / "run.json", made)
    assert read_run(tmp_path / "run.json") == made


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"value": 50.0', '"value": 51.0'), ('"failed": 0', '"failed": 1'),
        ('"name": "a"', '"name": "b"'), ('"digest": "', '"digest": "0'),
        ('"schema": 2,', '"schema": 2, "note": 1,'),
    ],
)  # fmt: skip
def test_an_edited_run_is_refused_by_all_readers(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "a-00000000" / "00000000" / "run.json"
    write_run(path, run("a", score("A", 50.0)))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match="was changed after evalsuite wrote it"):
        read_run(path)
    with pytest.raises(UsageError, match="was changed"):
        find([str(path)], tmp_path)
    left_out: list[str] = []
    with pytest.raises(UsageError, match="contains no runs"):
        find_all(tmp_path, left_out.append)
    assert "was changed" in left_out[0]
