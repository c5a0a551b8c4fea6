"""Statistics: standard errors, paired differences, multiple tests and power; pure functions.

Values, drops and margins are on the scale of a sample's value, 0 to 1: a drop of 0.01 is one point.
A drop is baseline minus candidate, so a loss is positive. `evalsuite.comparison.comparison`
converts to points with the sign of candidate minus baseline, which all other code uses.
docs/explanation/statistics.md describes the methods; each function names its source.

Only `means` is imported here. The other modules need numpy and scipy, which most commands do not
load.
"""

from evalsuite.stats.means import clustered_standard_error, mean, mean_standard_error

__all__ = ["clustered_standard_error", "mean", "mean_standard_error"]
