"""Which scores are marked as the best of their column."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalsuite.comparison.comparison import compare
from evalsuite.report.model import select
from evalsuite.report.model.table import Table
from evalsuite.report.tables import runs as grid
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import FoundRun
from tests.builders.runs import settings
from tests.builders.stored_runs import failed, sample, samples, stored

GPT = JudgeId("gpt-4o", "https://api.openai.com/v1")

GOOD = [1.0] * 90 + [0.0] * 10
"""Of 100 images, 90 right."""
FAIR = [1.0] * 60 + [0.0] * 40
LIKE = [0.0] + [1.0] * 90 + [0.0] * 9
"""As many as `GOOD`, but for one flip each way."""


def table_of(*found: FoundRun) -> Table:
    [table] = select.tables(found)
    return table


def bold(table: Table) -> list[tuple[str, str]]:
    """Row and column of every bold entry."""
    drawn = grid.across(table)
    return [
        (line.entries[0].text, heading.text)
        for line in drawn.lines
        for entry, heading in zip(line.entries, drawn.headings, strict=True)
        if entry.best
    ]


def two(tmp_path: Path, first: Sequence[float], second: Sequence[float], **more: Any) -> Table:
    return table_of(
        stored(tmp_path, "a", {"A": samples(first)}),
        stored(tmp_path, "b", {"A": samples(second)}, **more),
    )


def test_a_significant_best_is_bold_and_so_is_its_average(tmp_path: Path) -> None:
    table = two(tmp_path, FAIR, GOOD)
    assert bold(table) == [("b", "average"), ("b", "A")]
    assert "below 0.05, Holm-adjusted over 2 columns" in grid.across(table).best


def test_the_p_value_equals_that_of_compare(tmp_path: Path) -> None:
    rows = {"A": [samples(FAIR), samples(GOOD)], "B": [samples(GOOD[:70]), samples(FAIR[:70])],
            "Video": [samples(LIKE), samples(GOOD)]}  # fmt: skip
    first, second = (
        stored(tmp_path, name, {bench: sides[i] for bench, sides in rows.items()})
        for i, name in enumerate("ab")
    )
    comparison = compare([first], [second])
    expected = {each.name: each.p for each in comparison.differences}
    assert comparison.mean is not None
    contests = {c.slot.name: c for c in table_of(first, second).contests or ()}
    assert {name: contests[name].p for name in expected} == pytest.approx(expected)
    assert contests["average"].p == pytest.approx(comparison.mean.p)
    assert {name: contest.won for name, contest in contests.items()} == {
        "A": True, "B": expected["B"] < 0.05, "Video": False,
        "average": comparison.mean.p < 0.05,
    }  # fmt: skip


def test_an_insignificant_difference_is_not_bold(tmp_path: Path) -> None:
    higher = [*GOOD[:-1], 1.0]
    assert bold(two(tmp_path, GOOD, higher)) == []
    assert bold(two(tmp_path / "tie", GOOD, GOOD)) == []
    [contest, _] = two(tmp_path / "tie", GOOD, GOOD).contests or ()
    assert (contest.p, contest.won, contest.why_not) == (1.0, False, "")


def test_the_best_is_compared_with_the_second(tmp_path: Path) -> None:
    answers = {"poor": FAIR, "like": LIKE, "good": [*GOOD[:-1], 1.0]}
    runs = [stored(tmp_path, name, {"A": samples(values)}) for name, values in answers.items()]
    table = table_of(*runs)
    assert bold(table) == []
    assert [(c.best, c.second) for c in table.contests or ()] == [(2, 1), (2, 1)]


def test_p_values_are_adjusted_for_the_columns(tmp_path: Path) -> None:
    """p = 0.02 is enough for one column and its average, not for twenty."""
    first = samples([1.0] * 8 + [0.0] * 92)
    second = samples([0.0] * 8 + [1.0] + [0.0] * 91)
    alone = table_of(stored(tmp_path / "1", "a", {"A": first}),
                     stored(tmp_path / "1", "b", {"A": second}))  # fmt: skip
    assert ("a", "A") in bold(alone)
    more = {f"B{n}": samples(GOOD) for n in range(20)}
    many = table_of(stored(tmp_path / "2", "a", {"A": first, **more}),
                    stored(tmp_path / "2", "b", {"A": second, **more}))  # fmt: skip
    assert bold(many) == []
    assert "Holm-adjusted over 22 columns" in grid.across(many).best


def why_not(table: Table) -> set[str]:
    return {contest.why_not for contest in table.contests or ()}


def test_without_samples_nothing_is_bold(tmp_path: Path) -> None:
    runs = [stored(tmp_path, n, {"A": samples(v)}) for n, v in (("a", FAIR), ("b", GOOD))]
    runs[0].samples("A").unlink()
    table = table_of(*runs)
    assert bold(table) == []
    assert grid.across(table).best == "none; not tested: average, A (samples.jsonl is missing)"
    runs[0].samples("A").write_text("{")
    assert why_not(table_of(*runs)) == {"samples.jsonl is damaged or does not match the score"}


def test_samples_that_do_not_match_the_score_are_not_tested(tmp_path: Path) -> None:
    first, second = (stored(tmp_path, n, {"A": samples(v)}) for n, v in (("a", FAIR), ("b", GOOD)))
    [score] = first.run.scores
    shifted = dataclasses.replace(score, value=score.value + 1)
    changed = FoundRun(first.path, dataclasses.replace(first.run, outcomes=(shifted,)))
    assert why_not(table_of(changed, second)) == {
        "samples.jsonl is damaged or does not match the score"
    }


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"scores": {"A": {"judge": GPT}}},
         "not comparable: judge: gpt-4o, exact"),
        ({"scores": {"A": {"definition": "other"}}},
         "not comparable: its definition in the benchmarks file"),
        ({"scores": {"A": {"data_digest": "e" * 64}}}, "not comparable: data: eeeeeeee, dddddddd"),
    ],
)  # fmt: skip
def test_incomparable_scores_are_not_tested(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    table = two(tmp_path, FAIR, GOOD, **more)
    assert bold(table) == []
    assert why_not(table) == {why}


def test_a_limited_run_is_not_tested_against_a_complete_one(tmp_path: Path) -> None:
    table = table_of(
        stored(tmp_path, "a", {"A": samples(FAIR)}),
        stored(tmp_path, "b", {"A": samples(GOOD[:50])}, limit="50"),
    )
    assert bold(table) == []
    assert why_not(table) == {"not on the same samples"}


def test_ten_clusters_are_too_few(tmp_path: Path) -> None:
    def asked(values: Sequence[float]) -> list[Any]:
        return [sample(i, value, cluster=f"image-{i // 10}") for i, value in enumerate(values)]

    table = table_of(stored(tmp_path, "a", {"A": asked(FAIR)}),
                     stored(tmp_path, "b", {"A": asked([1.0] * 100)}))  # fmt: skip
    assert bold(table) == []
    assert why_not(table) == {"fewer than 30 clusters"}


def test_a_difference_from_failed_samples_alone_is_not_significant(tmp_path: Path) -> None:
    whole = samples(GOOD)
    broken = [failed(each) if index < 30 else each for index, each in enumerate(whole)]
    table = table_of(
        stored(tmp_path, "a", {"A": whole}),
        stored(tmp_path, "b", {"A": broken}, scores={"A": {"failed": 30}}),
    )
    assert bold(table) == []
    assert [contest.p for contest in table.contests or ()] == [1.0, 1.0]


def test_a_blind_run_is_never_the_best(tmp_path: Path) -> None:
    seeing = stored(tmp_path, "a", {"A": samples(FAIR)})
    blind = stored(tmp_path, "b", {"A": samples(GOOD)}, settings=settings(blind=True))
    third = stored(tmp_path, "c", {"A": samples([0.0] * 100)})
    assert table_of(seeing, blind).contests == ()
    assert [row.label for row in table_of(blind, seeing).rows] == ["a", "b (blind)"]
    assert grid.across(table_of(seeing, blind)).best.startswith("none: ")
    assert bold(table_of(seeing, blind, third)) == [("a", "average"), ("a", "A")]


def test_the_average_of_each_modality_is_tested(tmp_path: Path) -> None:
    names = ("A", "B", "VideoA", "VideoB")
    strong = {"a": ("A", "B"), "b": ("VideoA", "VideoB")}
    runs = [
        stored(tmp_path, who, {n: samples(GOOD if n in strong[who] else FAIR) for n in names})
        for who in "ab"
    ]
    table = table_of(*runs)
    assert [each.name for each in table.averages] == ["average", "image average", "video average"]
    assert [row.averages for row in table.rows] == [(75.0, 90.0, 60.0), (75.0, 60.0, 90.0)]
    assert bold(table) == [("a", "average"), ("a", "A"), ("a", "B"),
                           ("b", "average"), ("b", "VideoA"), ("b", "VideoB")]  # fmt: skip
    drawn = grid.across(table)
    assert [(h.text, h.group) for h in drawn.headings][:6] == [
        ("checkpoint", ""), ("average", ""), ("average", "image"), ("A", "image"), ("B", "image"),
        ("average", "video"),
    ]  # fmt: skip
    assert not drawn.lines[0].entries[1].best, "75 against 75 is a tie"
