"""A paired difference as users read it: candidate minus baseline, in points.

`evalsuite.stats` uses drops: baseline minus candidate, on the scale 0 to 1. This module is the only
place that converts between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evalsuite.stats.paired_difference import Drop


def to_points(drop: float) -> float:
    """Convert a drop (0 to 1, a loss is positive) to points (a loss is negative)."""
    return 0.0 - 100 * drop  # 0.0 and never -0.0 for no difference


def to_share(points: float) -> float:
    """Convert a size in points, such as a margin, to the scale 0 to 1."""
    return points / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """Candidate minus baseline, in points: a loss is negative."""

    drop: Drop
    """The estimate in the unit and sign of `evalsuite.stats`."""

    @property
    def points(self) -> float:
        """The estimate."""
        return to_points(self.drop.estimate)

    @property
    def standard_error(self) -> float | None:
        """CR2 standard error in points; None if there is only one cluster."""
        return 100 * self.drop.standard_error if math.isfinite(self.drop.variance) else None

    def lower(self, alpha: float) -> float:
        """Return the one-sided lower bound with confidence 1 - `alpha`, in points."""
        return to_points(self.drop.upper(alpha))

    def upper(self, alpha: float) -> float:
        """Return the one-sided upper bound with confidence 1 - `alpha`, in points."""
        return to_points(self.drop.lower(alpha))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval, in points."""
        return self.lower((1 - level) / 2), self.upper((1 - level) / 2)
