"""Columns about runs: memory, speed and device."""

from typing import Any

import pytest

from evalsuite.errors import UsageError
from evalsuite.report.model import columns, select
from evalsuite.report.model.columns import CHOICES
from evalsuite.report.model.table import Table
from evalsuite.report.tables import runs as detail
from evalsuite.report.tables import runs as grid
from evalsuite.runs.records import Run
from tests.builders.runs import failure, found, run, score, settings

ALL = CHOICES


def table_of(runs: list[Run], names: tuple[str, ...] = ALL) -> Table:
    [table] = select.tables(found(runs), names)
    return table


def shown(table: Table) -> list[list[str]]:
    """The columns after the average and the benchmarks."""
    first = 2 + len(table.columns)
    return [[e.text for e in line.entries[first:]] for line in grid.across(table).lines]


def took(benchmark: str, n: int, speed: float | None, peak: int | None, **more: Any) -> Any:
    return score(benchmark, 50.0, n=n, samples_per_second=speed, peak_memory_bytes=peak, **more)


def test_memory_and_speed_of_two_runs() -> None:
    first = run(
        "a", took("A", 100, 10.0, 1_500_000_000), took("B", 300, 60.0, 2_345_000_000),
        step=500, parameters=256_484_928, environment={"device": "cpu", "workers": 2},
    )  # fmt: skip
    second = run("b", took("A", 100, 50.0, 900_000_000), took("B", 300, 100.0, 800_000_000),
                 took("Video", 10, 0.1, 9_000_000_000), environment={"device": "cuda"})  # fmt: skip
    table = table_of([first, second])
    assert shown(table) == [
        # 100 samples in 10 s and 300 in 5 s.
        ["2.35", "26.7", "256.5M", "500", "01234567", "float32", "0.1.0", "2026-11-22"],
        # Of the video, which only this one has, nothing counts.
        ["0.90", "80.0", "2.0M", "–", "01234567", "float32", "0.1.0", "2026-11-22"],
    ]
    said = grid.across(table).remarks
    assert "measured in different places: a on cpu, 2 workers; b on cuda" in said
    assert any(line.startswith("samples/s: over all benchmarks of the average") for line in said)
    assert not any(line.startswith("parameters:") for line in said)


@pytest.mark.parametrize("missing", [{"speed": None, "peak": 5}, {"speed": 1.0, "peak": None}])
def test_incomplete_measurements_are_not_shown(missing: dict[str, Any]) -> None:
    runs = [run("a", took("A", 10, 1.0, 10**9), took("B", 10, missing["speed"], missing["peak"])),
            run("b", took("A", 10, 1.0, 10**9), took("B", 10, 1.0, 10**9))]  # fmt: skip
    memory, speed = shown(table_of(runs, ("memory", "speed")))[0]
    assert (memory == "–", speed == "–") == (missing["peak"] is None, missing["speed"] is None)


def test_an_incomplete_blind_run_has_no_measurements() -> None:
    blind = run("b", took("A", 10, 1.0, 10**9), settings=settings(blind=True))
    seeing = run("a", took("A", 10, 1.0, 10**9), took("B", 10, 1.0, 10**9))
    shown_facts = shown(table_of([seeing, blind], ("memory", "speed", "parameters")))
    assert shown_facts == [["1.00", "1.00", "2.0M"], ["–", "–", "2.0M"]]


def test_without_a_common_benchmark_there_are_no_measurements() -> None:
    runs = [run("a", took("A", 10, 1.0, 10**9)), run("b", took("B", 10, 1.0, 10**9))]
    assert shown(table_of(runs, ("memory", "speed"))) == [["–", "–"], ["–", "–"]]
    # A run without a score takes nothing from the other.
    failed = [runs[0], run("b", failure("A"))]
    assert shown(table_of(failed, ("memory", "speed"))) == [["1.00", "1.00"], ["–", "–"]]


def test_one_run_has_its_memory_by_benchmark() -> None:
    one = run("a", took("A", 100, 10.0, 1_500_000_000), took("B", 300, None, None), failure("C"))
    drawn = detail.detail(one, ("memory", "date"))
    assert [h.text for h in drawn.headings][-2:] == ["samples/s", "peak memory, GB"]
    assert [[e.text for e in line.entries[-2:]] for line in drawn.lines] == [
        ["10.0", "1.50"], ["–", "–"], ["–", "–"],
    ]  # fmt: skip
    assert "date: 2026-11-22" in drawn.remarks


def test_transposed_columns_are_lines() -> None:
    runs = [run(name, took("A", 10, 1.0, 10**9)) for name in "ab"]
    drawn = grid.down(table_of(runs, ("memory", "parameters")))
    assert [[e.text for e in line.entries] for line in drawn.lines] == [
        ["A", "50.0 ± 2.2", "50.0 ± 2.2"], ["peak memory, GB", "1.00", "1.00"],
        ["parameters", "2.0M", "2.0M"],
    ]  # fmt: skip


def test_columns_by_name() -> None:
    assert columns.chosen("speed, memory,speed") == ("speed", "memory")
    assert columns.chosen(None) == ()
    with pytest.raises(UsageError, match=r"--columns sped: unknown \(did you mean 'speed'"):
        columns.chosen("memory,sped")
