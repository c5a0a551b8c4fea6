"""The result of `evalsuite profile` as tables."""

from __future__ import annotations

from evalsuite.report.format import ABSENT, parameter_count, rate, sentence, short
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line, entries
from evalsuite.runner.profile import Profile
from evalsuite.smolvlm.profiler import (
    BUSY_STAGES,
    Measurement,
    MeasurementFailure,
    minimum_seconds,
    share_of_bandwidth,
    share_of_matrix_rate,
)


def grids(made: Profile) -> list[Grid]:
    """Lay out memory and throughput by batch size, then the time of each stage."""
    return [summary(made), stages(made)]


def summary(made: Profile) -> Grid:
    """Lay out memory and throughput: a line a batch size."""
    where = made.device if made.rates.device == made.device else made.rates.device
    checkpoint = made.checkpoint
    width, height = made.image_size
    return Grid(
        title=(
            f"{checkpoint.name} ({short(checkpoint.digest)}, "
            f"{parameter_count(checkpoint.parameters)} parameters) on {where} in {made.dtype}"
        ),
        headings=tuple(
            Heading(name)
            for name in (
                "batch", "memory, GB", "examples/s", "with media", "floor", "times the floor",
                "GFLOP", "of matrix rate", "of bandwidth",
            )
        ),
        lines=tuple(Line(_summary(row, made)) for row in made.rows),
        remarks=(
            f"an example is one image of {width}x{height} and one question, at most "
            f"{made.new_tokens} new tokens: {_example(made)}",
            f"memory: {_what_memory(made)}",
            "examples/s: images ready; with media: read and cut before each batch, no overlap",
            "floor: what the operations and bytes needed (GFLOP: operations an example) allow at "
            f"the measured {_giga(made.rates.matrix)} GFLOP/s and "
            f"{made.rates.bandwidth / 1e9:.0f} GB/s",
            *(f"batch {row.batch_size}: {_trouble(row)}" for row in made.rows if _trouble(row)),
        ),
    )  # fmt: skip


def _summary(row: Measurement | MeasurementFailure, made: Profile) -> tuple[Entry, ...]:
    if isinstance(row, MeasurementFailure):
        shown = "out of memory" if "memory" in row.reason else "failed"
        return entries([str(row.batch_size), shown, *[ABSENT] * 7])
    floor = minimum_seconds(row, made.rates)
    operations = sum(work.operations for work in row.work.values()) / row.workload.prompts
    return entries((
        str(row.batch_size),
        f"{row.peak_memory_bytes / 1e9:.2f}",
        rate(row.examples_per_second),
        rate(row.examples_per_second_with_media),
        rate(row.workload.prompts / floor),
        f"{row.busy_seconds / floor:.1f}",
        _giga(operations),
        f"{share_of_matrix_rate(row, made.rates):.0%}",
        f"{share_of_bandwidth(row, made.rates):.0%}",
    ))  # fmt: skip


def stages(made: Profile) -> Grid:
    """Lay out where the time went: a line a stage, for each batch size."""
    return Grid(
        headings=(
            Heading("batch"),
            Heading("stage", numeric=False),
            *(Heading(name) for name in ("ms/example", "floor", "GFLOP/s", "of matrix rate")),
        ),
        lines=tuple(
            Line(_stage(row, stage, made)) for row in made.measured for stage in BUSY_STAGES
        ),
        keys=2,
        remarks=("other: tokenising, sorting, detokenising",),
    )  # fmt: skip


def _stage(row: Measurement, stage: str, made: Profile) -> tuple[Entry, ...]:
    seconds = row.seconds[stage]
    texts = [str(row.batch_size), stage, f"{1000 * seconds / row.workload.prompts:.3g}"]
    work = row.work.get(stage)
    if work is None or not seconds:
        return entries([*texts, *[ABSENT] * 3])
    floor = work.seconds(made.rates.matrix, made.rates.bandwidth)
    speed = work.operations / seconds
    return entries([
        *texts,
        f"{1000 * floor / row.workload.prompts:.3g}",
        _giga(speed),
        f"{speed / made.rates.matrix:.0%}",
    ])  # fmt: skip


def _giga(count: float) -> str:
    """Write billions with three digits, or all that come before the point."""
    return f"{count / 1e9:,.0f}" if count >= 1e11 else f"{count / 1e9:.3g}"


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
        return "most allocated on the device"
    return "most resident memory of the process, libraries included"


def _trouble(row: Measurement | MeasurementFailure) -> str:
    if isinstance(row, MeasurementFailure):
        return sentence(row.reason)
    if row.splits:
        return f"out of memory {row.splits} times: measured in smaller parts, which is slower"
    return ""
