"""What `evalsuite curve` shows: a line a step, and what the best of a sweep is worth."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evalsuite.comparison.comparison import Difference
from evalsuite.comparison.learning_curves import Best, Curve, Curves, Point, best_of
from evalsuite.report.format import ABSENT, counted, listed, plus_minus, points, sentence, signed
from evalsuite.report.tables.grid import STANDARD_ERROR, Entry, Grid, Heading, Line
from evalsuite.report.writers.csv import field
from evalsuite.report.writers.output import check_format, write_grids
from evalsuite.system.files import to_json_text

FORMATS = ("table", "markdown", "csv", "json")


def write(found: Curves, form: str, output: Path | None = None) -> None:
    """Write `found` to `output`, or to standard output if it is None."""
    check_format(form, FORMATS)
    bests = [best_of(curve, found.averaged) for curve in found.curves]
    plain = {"json": lambda: _json(found, bests), "csv": lambda: _csv(found)}
    write_grids(grids(found, bests), form, output, plain)


def grids(found: Curves, bests: Sequence[Best | None]) -> list[Grid]:
    """Lay out each training run, a line a step; what all have in common is under the last."""
    made = []
    for position, (curve, best) in enumerate(zip(found.curves, bests, strict=True), start=1):
        last = position == len(found.curves)
        made.append(_grid(curve, found, tuple(_about_best(best, curve)), about_all=last))
    return made


def _grid(curve: Curve, found: Curves, about_best: tuple[str, ...], *, about_all: bool) -> Grid:
    lines = tuple(
        Line((
            Entry(str(point.step)),
            Entry(_with_error(point.mean, point.stderr)),
            *(_cell(point, name) for name in found.benchmarks),
        ))
        for point in curve.points
    )  # fmt: skip
    return Grid(
        title=f"{curve.name}, {counted(len(curve.points), 'checkpoint')}",
        headings=(Heading("step"), Heading("mean"), *(Heading(n) for n in found.benchmarks)),
        lines=lines,
        keys=2,
        remarks=(
            *about_best,
            *_about_failures(curve, found.benchmarks),
            *(_about_all(found) if about_all else ()),
        ),
    )


def _cell(point: Point, name: str) -> Entry:
    score = point.scores.get(name)
    return Entry(ABSENT if score is None else plus_minus(score))


def _about_failures(curve: Curve, benchmarks: Sequence[str]) -> Iterator[str]:
    for point in curve.points:
        for failure in point.found.run.failures:
            if failure.benchmark in benchmarks:
                yield (
                    f"step {point.step} has no score of {failure.benchmark}: "
                    f"{sentence(failure.message)}"
                )


def _with_error(value: float | None, error: float | None) -> str:
    return points(value) if error is None else f"{points(value)} ± {points(error)}"


def _about_all(found: Curves) -> Iterator[str]:
    yield STANDARD_ERROR + "; of the mean: the benchmarks' own, added up as independent"
    if found.averaged:
        over = counted(len(found.averaged), "benchmark")
        yield (
            f"mean: over {over} of which every checkpoint has a whole score, each counting the "
            f"same: {listed(found.averaged)}"
        )
    else:
        yield "mean: none, for there is no benchmark of which every checkpoint has a whole score"
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
        few = ", too few clusters for a claim" if best.difference.drop.too_few_clusters else ""
        yield (
            f"best: step {best.best.step}, {signed(best.difference.points)} points over the last "
            f"(95 % interval {signed(low)} to {signed(high)}, answer by answer, not corrected for "
            f"having been picked{few})"
        )
    else:
        yield (
            f"best: step {best.best.step}, {signed(_lead(best))} points over the last "
            f"(no interval: {sentence(best.why)})"
        )
    if best.luck is not None:
        count = len([point for point in curve.points if point.mean is not None])
        yield (
            f"warning: the best of {count} checkpoints looks better than it is: if all were "
            f"equally good, by {best.luck:.1f} points on average ({_what_error(best)}); confirm it "
            "on data that had no say"
        )


def _lead(best: Best) -> float:
    assert best.best.mean is not None
    assert best.last.mean is not None
    return best.best.mean - best.last.mean


def _what_error(best: Best) -> str:
    assert best.error is not None
    if not best.paired:
        return f"from unpaired standard errors, {best.error:.1f} for a difference: an upper figure"
    pair = "it and the second best" if best.best is best.last else "it and the last"
    return (
        f"from {best.error:.1f}, the standard error of the difference of {pair}, which answered "
        "the same questions"
    )


# For programs


def _csv(found: Curves) -> str:
    """A line a step and benchmark, with the mean as a benchmark of its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("training_run", "step", "checkpoint", "benchmark", "score", "stderr", "n"))
    for curve in found.curves:
        for point in curve.points:
            before = (field(curve.name), point.step, field(point.found.run.checkpoint.name))
            writer.writerow((*before, "mean", point.mean, point.stderr, None))
            for name, score in point.scores.items():
                writer.writerow((*before, field(name), score.value, score.stderr, score.n))
    return text.getvalue()


def _json(found: Curves, bests: Sequence[Best | None]) -> str:
    plain = {
        "averaged": list(found.averaged),
        "training_runs": [
            {
                "name": curve.name,
                "points": [_plain(point) for point in curve.points],
                "best": None if best is None else _plain_best(best),
            }
            for curve, best in zip(found.curves, bests, strict=True)
        ],
        "left_out": [
            {"run": str(i.run.path), "checkpoint": i.run.run.checkpoint.name, "why": i.why}
            for i in found.left_out
        ],
        "notes": list(found.notes),
    }
    return to_json_text(plain, allow_nan=False)


def _plain(point: Point) -> dict[str, Any]:
    checkpoint = point.found.run.checkpoint
    return {
        "step": point.step,
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        "run": str(point.found.path),
        "mean": point.mean,
        "stderr": point.stderr,
        "scores": {
            name: {
                "score": score.value,
                "stderr": score.stderr,
                "n": score.n,
                "partial": score.partial,
            }
            for name, score in point.scores.items()
        },
    }


def _plain_best(best: Best) -> dict[str, Any]:
    return {
        "step": best.best.step,
        "last": best.last.step,
        "over_the_last": _over_the_last(best),
        "luck": best.luck,
        "standard_error": best.error,
        "paired": best.paired,
    }


def _over_the_last(best: Best) -> dict[str, Any] | None:
    difference: Difference | None = best.difference
    if difference is None:
        return None
    low, high = difference.interval()
    return {"difference": difference.points, "low": low, "high": high, "p": difference.drop.p}
