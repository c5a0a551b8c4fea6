"""Further columns: what a run took and what it was, beside its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalsuite.errors import UsageError, nearest
from evalsuite.report.format import ABSENT, day, gigabytes, listed, parameter_count, rate, short
from evalsuite.report.model.table import Row, Table
from evalsuite.runs.records import Score

Shown = tuple[str, float | None]


@dataclass(frozen=True, slots=True)
class Fact:
    """A column about runs as a whole."""

    heading: str
    of: Callable[[Row, Table], Shown]
    """Text, and the number behind it."""
    numeric: bool = True
    measured: str = ""
    """What a measurement is over; empty for what was not measured."""


def chosen(text: str | None) -> tuple[str, ...]:
    """Read ``memory,speed``; raises `UsageError` for a column that is not in `FACTS`."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        if name not in FACTS:
            raise UsageError(
                f"--columns: unknown column '{name}'{nearest(name, FACTS)}; "
                f"there are: {listed(list(FACTS))}"
            )
    return tuple(dict.fromkeys(names))


def remarks(table: Table) -> Iterator[str]:
    """Say what the measured columns of `table` are over, and where they were measured."""
    measured = [FACTS[name] for name in table.facts if FACTS[name].measured]
    for fact in measured:
        yield f"{fact.heading}: {fact.measured}"
    if measured:
        places: dict[str, list[str]] = {}
        for row in table.rows:
            places.setdefault(_device(row), []).append(row.label)
        alike = f"on {next(iter(places))}"
        unlike = "; ".join(f"{listed(labels)} on {place}" for place, labels in places.items())
        yield f"measured {alike if len(places) == 1 else f'in different places: {unlike}'}"


def _device(row: Row) -> str:
    """Name what it ran on, and how many at a time."""
    known = row.run.environment
    workers = known.get("workers", 1)
    several = f", {workers} workers" if workers != 1 else ""
    return f"{known.get('device', 'an unknown device')}{several}"


def _averaged(row: Row, table: Table) -> list[Score]:
    """The scores that the average is over: of other benchmarks no other row need know anything."""
    scores = [cell.score for cell in row.cells if cell.score]
    return [score for score in scores if score.benchmark in table.averaged]


def _complete(row: Row, table: Table) -> Sequence[Score]:
    """Those scores, or none if the row has not all of them."""
    scores = _averaged(row, table)
    return scores if len(scores) == len(table.averaged) else ()


def _memory(row: Row, table: Table) -> Shown:
    peaks = [score.cost.peak_memory_bytes for score in _complete(row, table)]
    known = [peak for peak in peaks if peak is not None]
    if not known or len(known) < len(peaks):
        return ABSENT, None
    return gigabytes(max(known)), max(known)


def _speed(row: Row, table: Table) -> Shown:
    scores = _complete(row, table)
    seconds = [
        score.n / score.cost.samples_per_second for score in scores if score.cost.samples_per_second
    ]
    if not scores or len(seconds) < len(scores) or not sum(seconds):
        return ABSENT, None
    per_second = sum(score.n for score in scores) / sum(seconds)
    return rate(per_second), per_second


def _parameters(row: Row, _: Table) -> Shown:
    count = row.run.checkpoint.parameters
    return parameter_count(count), count


def _step(row: Row, _: Table) -> Shown:
    step = row.run.checkpoint.step
    return ABSENT if step is None else str(step), step


FACTS: Mapping[str, Fact] = {
    "memory": Fact(
        "peak memory, GB",
        _memory,
        measured="the most a worker took on any benchmark of the average, on the device or, on a "
        "CPU, resident",
    ),
    "speed": Fact(
        "samples/s",
        _speed,
        measured="over all benchmarks of the average, each as its last session answered",
    ),
    "parameters": Fact("parameters", _parameters),
    "step": Fact("step", _step),
    "digest": Fact(
        "digest", lambda row, _: (short(row.run.checkpoint.digest), None), numeric=False
    ),
    "dtype": Fact(
        "dtype", lambda row, _: (str(row.run.settings.get("dtype", ABSENT)), None), numeric=False
    ),
    "evalsuite": Fact("evalsuite", lambda row, _: (row.run.evalsuite, None), numeric=False),
    "date": Fact("date", lambda row, _: (day(row.run.finished), None), numeric=False),
}
"""By the name that --columns takes."""
