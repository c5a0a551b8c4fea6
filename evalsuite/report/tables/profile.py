"""The result of `evalsuite profile` as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from evalsuite.report.format import gigabytes, parameter_count, rate, sentence, short
from evalsuite.report.model.column import Column
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.runner.profile import Profile
from evalsuite.smolvlm.profiler import (
    BUSY_STAGES,
    DeviceRates,
    Measurement,
    MeasurementFailure,
    minimum_seconds,
    share_of_bandwidth,
    share_of_matrix_rate,
)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch size, measured or not."""

    row: Measurement | MeasurementFailure
    rates: DeviceRates

    @property
    def measured(self) -> Measurement | None:
        """The measurement; None after a failure."""
        return self.row if isinstance(self.row, Measurement) else None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a measured batch size."""

    row: Measurement
    name: str
    rates: DeviceRates

    @property
    def seconds(self) -> float:
        """Seconds an example."""
        return self.row.seconds[self.name] / self.row.workload.prompts

    @property
    def minimum_seconds(self) -> float | None:
        """Seconds an example at the measured rates; None for a stage without operations."""
        work = self.row.work.get(self.name)
        if work is None or not self.seconds:
            return None
        seconds = work.seconds(self.rates.matrix, self.rates.bandwidth)
        return seconds / self.row.workload.prompts

    @property
    def speed(self) -> float | None:
        """Operations a second."""
        work = self.row.work.get(self.name)
        seconds = self.row.seconds[self.name]
        return work.operations / seconds if work is not None and seconds else None


def grids(made: Profile) -> list[Grid]:
    """Lay out memory and throughput by batch size, then the time of each stage."""
    return [summary(made), stages(made)]


def _measured(value: Callable[[Measurement, DeviceRates], Any]) -> Callable[[Batch], Any]:
    """Return a getter whose value is None after a failure."""
    return lambda b: None if b.measured is None else value(b.measured, b.rates)


def _operations(row: Measurement, _: DeviceRates) -> float:
    return sum(work.operations for work in row.work.values()) / row.workload.prompts


def _memory(batch: Batch) -> str:
    if isinstance(batch.row, MeasurementFailure):
        return "out of memory" if "memory" in batch.row.reason else "failed"
    return gigabytes(batch.row.peak_memory_bytes)


def _giga(count: float) -> str:
    """Write billions with three digits, or all digits before the point."""
    return f"{count / 1e9:,.0f}" if count >= 1e11 else f"{count / 1e9:.3g}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g}"


_PERCENT = "{:.0%}".format
BATCHES: tuple[Column[Batch], ...] = (
    Column("batch_size", "batch", attrgetter("row.batch_size")),
    Column("peak_memory_bytes", "memory, GB", _measured(lambda m, _: m.peak_memory_bytes),
           text=_memory),
    Column("examples_per_second", "examples/s", _measured(lambda m, _: m.examples_per_second),
           rate),
    Column("examples_per_second_with_media", "with media",
           _measured(lambda m, _: m.examples_per_second_with_media), rate),
    Column("maximum_examples_per_second", "roofline bound",
           _measured(lambda m, rates: m.workload.prompts / minimum_seconds(m, rates)), rate),
    Column("times_minimum", "times the bound",
           _measured(lambda m, rates: m.busy_seconds / minimum_seconds(m, rates)), "{:.1f}".format),
    Column("operations", "GFLOP", _measured(_operations), _giga),
    Column("share_of_matrix_rate", "of matrix rate", _measured(share_of_matrix_rate), _PERCENT),
    Column("share_of_bandwidth", "of bandwidth", _measured(share_of_bandwidth), _PERCENT),
)  # fmt: skip
STAGES: tuple[Column[Stage], ...] = (
    Column("batch_size", "batch", attrgetter("row.batch_size")),
    Column("stage", "stage", attrgetter("name"), numeric=False),
    Column("seconds", "ms/example", attrgetter("seconds"), _milliseconds),
    Column("minimum_seconds", "roofline bound", attrgetter("minimum_seconds"), _milliseconds),
    Column("operations_per_second", "GFLOP/s", attrgetter("speed"), _giga),
    Column("share_of_matrix_rate", "of matrix rate",
           lambda stage: None if stage.speed is None else stage.speed / stage.rates.matrix,
           _PERCENT),
)  # fmt: skip


def summary(made: Profile) -> Grid:
    """Lay out memory and throughput: a line a batch size."""
    checkpoint = made.checkpoint
    width, height = made.image_size
    return lay_out(
        BATCHES,
        [Batch(row, made.rates) for row in made.rows],
        title=(
            f"{checkpoint.name} ({short(checkpoint.digest)}, "
            f"{parameter_count(checkpoint.parameters)} parameters) on {made.rates.device} in "
            f"{made.dtype}"
        ),
        remarks=(
            f"an example is one image of {width}x{height} and one question, at most "
            f"{made.new_tokens} new tokens: {_example(made)}",
            f"memory: {_what_memory(made)}",
            "examples/s: without reading images; with media: images are read and cut into tiles "
            "before each batch, without overlap",
            "roofline bound: the operations and bytes (GFLOP: operations of an example) at the "
            f"measured {_giga(made.rates.matrix)} GFLOP/s and "
            f"{made.rates.bandwidth / 1e9:.0f} GB/s",
            *(f"batch {row.batch_size}: {_trouble(row)}" for row in made.rows if _trouble(row)),
        ),
    )


def stages(made: Profile) -> Grid:
    """Lay out the time of each stage: a line a stage, for each batch size."""
    return lay_out(
        STAGES,
        [Stage(row, name, made.rates) for row in made.measured for name in BUSY_STAGES],
        keys=2,
        remarks=("other: tokenising, sorting, detokenising",),
    )


def _example(made: Profile) -> str:
    if not made.measured:
        return "none could be measured"
    workload = made.measured[0].workload
    n = workload.prompts
    return (
        f"{workload.tiles / n:.0f} tiles, {workload.prompt_tokens / n:,.0f} prompt tokens, "
        f"{workload.generated / n:.1f} generated"
    )


def _what_memory(made: Profile) -> str:
    if made.device.startswith("cuda"):
        return "peak allocation on the device"
    return "peak resident memory of the process, libraries included"


def _trouble(row: Measurement | MeasurementFailure) -> str:
    if isinstance(row, MeasurementFailure):
        return sentence(row.reason)
    if row.splits:
        return f"out of memory {row.splits} times: measured in smaller parts, which is slower"
    return ""
