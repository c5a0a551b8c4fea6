"""The result of `evalsuite profile` as tables."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, itemgetter
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

Batch = Measurement | MeasurementFailure
Stage = tuple[Measurement, str]
"""One stage of a measured batch size."""


def grids(made: Profile) -> list[Grid]:
    """Lay out memory and throughput by batch size, then the time of each stage."""
    return [summary(made), stages(made)]


def _memory(batch: Batch) -> str:
    if isinstance(batch, MeasurementFailure):
        return "out of memory" if "memory" in batch.reason else "failed"
    return gigabytes(batch.peak_memory_bytes)


def _giga(count: float) -> str:
    """Write billions with three digits, or all digits before the point."""
    return f"{count / 1e9:,.0f}" if count >= 1e11 else f"{count / 1e9:.3g}"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g}"


_PERCENT = "{:.0%}".format


def _batch_columns(rates: DeviceRates) -> tuple[Column[Batch], ...]:
    def column(
        heading: str, value: Callable[[Measurement], Any], form: Callable[[Any], str]
    ) -> Column[Batch]:
        return Column(heading, heading,
                      lambda b: value(b) if isinstance(b, Measurement) else None, form)  # fmt: skip

    return (
        Column("batch", "batch", attrgetter("batch_size")),
        Column("memory", "memory, GB", lambda _: None, text=_memory),
        column("examples/s", attrgetter("examples_per_second"), rate),
        column("with media", attrgetter("examples_per_second_with_media"), rate),
        column("roofline bound", lambda m: m.workload.prompts / minimum_seconds(m, rates), rate),
        column("times the bound", lambda m: m.busy_seconds / minimum_seconds(m, rates),
               "{:.1f}".format),
        column("GFLOP", lambda m: sum(w.operations for w in m.work.values()) / m.workload.prompts,
               _giga),
        column("of matrix rate", lambda m: share_of_matrix_rate(m, rates), _PERCENT),
        column("of bandwidth", lambda m: share_of_bandwidth(m, rates), _PERCENT),
    )  # fmt: skip


def _stage_columns(rates: DeviceRates) -> tuple[Column[Stage], ...]:
    def bound(stage: Stage) -> float | None:
        row, name = stage
        if name not in row.work or not row.seconds[name]:
            return None
        return row.work[name].seconds(rates.matrix, rates.bandwidth) / row.workload.prompts

    def speed(stage: Stage) -> float | None:
        row, name = stage
        seconds = row.seconds[name]
        return row.work[name].operations / seconds if name in row.work and seconds else None

    return (
        Column("batch", "batch", lambda stage: stage[0].batch_size),
        Column("stage", "stage", itemgetter(1), numeric=False),
        Column("seconds", "ms/example", lambda s: s[0].seconds[s[1]] / s[0].workload.prompts,
               _milliseconds),
        Column("bound", "roofline bound", bound, _milliseconds),
        Column("speed", "GFLOP/s", speed, _giga),
        Column("share", "of matrix rate",
               lambda s: known / rates.matrix if (known := speed(s)) is not None else None,
               _PERCENT),
    )  # fmt: skip


def summary(made: Profile) -> Grid:
    """Lay out memory and throughput: a line a batch size."""
    checkpoint = made.checkpoint
    width, height = made.image_size
    return lay_out(
        _batch_columns(made.rates),
        made.rows,
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
        _stage_columns(made.rates),
        [(row, name) for row in made.measured for name in BUSY_STAGES],
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
