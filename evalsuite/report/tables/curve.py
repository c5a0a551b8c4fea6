"""The tables of `evalsuite curve`: one line per step, and the best checkpoint of each curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter, itemgetter

from evalsuite.comparison.learning_curves import Best, Curve, Curves, Point
from evalsuite.report.format import ABSENT, listed, plus_minus, points, sentence, signed
from evalsuite.report.model.column import Column
from evalsuite.report.tables.grid import STANDARD_ERROR, Grid, lay_out
from evalsuite.system.text import counted

Row = tuple[str, Point, str, float | None, float | None, int | None]
"""Training run, step, benchmark, or ``mean``, with score, standard error and samples."""
COLUMNS: tuple[Column[Row], ...] = (
    Column("training_run", "", itemgetter(0)),
    Column("step", "", lambda r: r[1].step),
    Column("checkpoint", "", lambda r: r[1].found.run.checkpoint.name),
    Column("benchmark", "", itemgetter(2)),
    Column("score", "", itemgetter(3)),
    Column("stderr", "", itemgetter(4)),
    Column("n", "", itemgetter(5)),
)


def rows(found: Curves) -> Iterator[Row]:
    """Return the records of all curves: the mean and each benchmark at each step."""
    for curve in found.curves:
        for point in curve.points:
            yield curve.name, point, "mean", point.mean, point.stderr, None
            for name, score in point.scores.items():
                yield curve.name, point, name, score.value, score.stderr, score.n


def grids(found: Curves, bests: Sequence[Best | None]) -> list[Grid]:
    """Lay out each training run; remarks on all of them are below the last."""
    made = []
    for position, (curve, best) in enumerate(zip(found.curves, bests, strict=True), start=1):
        last = position == len(found.curves)
        made.append(
            lay_out(
                _columns(found.benchmarks),
                curve.points,
                title=f"{curve.name}, {counted(len(curve.points), 'checkpoint')}",
                keys=2,
                remarks=(
                    *_about_best(best, curve),
                    *_failures(curve, found.benchmarks),
                    *(_about_all(found) if last else ()),
                ),
            )
        )
    return made


def _columns(benchmarks: Sequence[str]) -> tuple[Column[Point], ...]:
    def of(name: str) -> Column[Point]:
        return Column(
            name,
            name,
            lambda point: score.value if (score := point.scores.get(name)) else None,
            text=lambda point: plus_minus(score) if (score := point.scores.get(name)) else ABSENT,
        )

    return (
        Column("step", "step", attrgetter("step")),
        Column("mean", "mean", attrgetter("mean"), text=_mean),
        *map(of, benchmarks),
    )


def _mean(point: Point) -> str:
    error = "" if point.stderr is None else f" ± {points(point.stderr)}"
    return points(point.mean) + error


def _failures(curve: Curve, benchmarks: Sequence[str]) -> Iterator[str]:
    for point in curve.points:
        for failure in point.found.run.failures:
            if failure.benchmark in benchmarks:
                yield (
                    f"step {point.step} has no score of {failure.benchmark}: "
                    f"{sentence(failure.message)}"
                )


def _about_all(found: Curves) -> Iterator[str]:
    yield STANDARD_ERROR + "; of the mean: benchmarks are assumed to be independent"
    if found.averaged:
        over = counted(len(found.averaged), "benchmark")
        yield (
            f"mean: over {over} that every checkpoint has a complete score of, with equal weights: "
            f"{listed(found.averaged)}"
        )
    else:
        yield "mean: none, as no benchmark has a complete score of every checkpoint"
    yield from found.notes
    for item in found.left_out:
        yield f"left out: {item.run.run.checkpoint.name}: {item.why}"


def _about_best(best: Best | None, curve: Curve) -> Iterator[str]:
    if best is None:
        return
    if best.best is best.last:
        yield f"best: the last, step {best.last.step}"
    elif best.difference is not None:
        low, high = best.difference.interval()
        few = "; too few clusters to decide" if best.difference.drop.too_few_clusters else ""
        yield (
            f"best: step {best.best.step}, {signed(best.difference.points)} points compared with "
            f"the last (95 % interval {signed(low)} to {signed(high)}, paired, not adjusted for "
            f"selection{few})"
        )
    elif best.best.mean is not None and best.last.mean is not None:
        lead = best.best.mean - best.last.mean
        yield (
            f"best: step {best.best.step}, {signed(lead)} points compared with the last "
            f"(no interval: {sentence(best.why)})"
        )
    if best.selection_bias is not None:
        count = len([point for point in curve.points if point.mean is not None])
        yield (
            f"warning: the best of {count} checkpoints is overestimated (selection bias): by "
            f"{best.selection_bias:.1f} points on average if all were equally good "
            f"({_error(best)}); confirm it on other data"
        )


def _error(best: Best) -> str:
    assert best.error is not None
    if not best.paired:
        return f"from unpaired standard errors, {best.error:.1f} for a difference: an upper bound"
    other = "second best" if best.best is best.last else "last"
    return f"standard error {best.error:.1f} of the paired difference from the {other}"
