"""Standard errors, paired differences, multiplicity and power: pure functions on numbers.

Values, drops and margins are in the unit of a sample's value, 0 to 1: a drop of 0.01 is one point.
A drop is what the baseline has and the candidate has not, so that losses are positive.
docs/explanation/statistics.md says how a difference is judged; each function names its source.

Only `means` is imported here: the rest needs numpy, for which commands that judge nothing should
not have to wait.
"""

from evalsuite.stats.means import clustered_standard_error, mean, mean_standard_error

__all__ = ["clustered_standard_error", "mean", "mean_standard_error"]
