"""Groups of samples, for every breakdown of a score."""

from __future__ import annotations

from evalsuite.runs.records import SampleScore, by_group, group_name


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
