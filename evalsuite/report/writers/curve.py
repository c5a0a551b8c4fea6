"""Learning curves as CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalsuite.comparison.learning_curves import Best, Curves, Point, best_of
from evalsuite.report.tables.curve import COLUMNS, grids, rows
from evalsuite.report.writers import csv
from evalsuite.report.writers.output import write_grids
from evalsuite.system.files import to_json_text


def write(found: Curves, form: str, output: Path | None) -> None:
    """Write the curves to `output`, or to standard output. Raises `UsageError`, `DiskError`."""
    bests = [best_of(curve, found.averaged) for curve in found.curves]
    plain = {"json": lambda: to_json(found, bests), "csv": lambda: to_csv(found)}
    write_grids([] if form in plain else grids(found, bests), form, output, plain)


def to_csv(found: Curves) -> str:
    """Render one line per step and benchmark; the mean is a benchmark of its own."""
    return csv.to_csv(COLUMNS, rows(found))


def to_json(found: Curves, bests: Sequence[Best | None]) -> str:
    """Render the curves with the best checkpoint of each."""
    plain = {
        "averaged": list(found.averaged),
        "training_runs": [
            {
                "name": curve.name,
                "points": [_point(point) for point in curve.points],
                "best": None if best is None else _best(best),
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


def _point(point: Point) -> dict[str, Any]:
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


def _best(best: Best) -> dict[str, Any]:
    difference = best.difference
    low, high = (None, None) if difference is None else difference.interval()
    return {
        "step": best.best.step,
        "last": best.last.step,
        "difference": None if difference is None else difference.points,
        "low": low,
        "high": high,
        "p": None if difference is None else difference.drop.p,
        "selection_bias": best.selection_bias,
        "standard_error": best.error,
        "paired": best.paired,
    }
