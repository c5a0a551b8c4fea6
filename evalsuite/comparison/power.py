"""Power analysis of a policy on given benchmarks, in points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalsuite.comparison.difference import PairedDifference, to_share
from evalsuite.comparison.pairing import Paired
from evalsuite.comparison.policy import Terms
from evalsuite.stats import mean, power
from evalsuite.stats.decision import decide
from evalsuite.stats.paired_difference import identical_difference
from evalsuite.stats.power import Variability

_HALVINGS = 8
"""Bisection steps of a factor between n and 2n: two digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableEffect:
    """What a policy detects and passes, of a benchmark or of the mean; sizes in points."""

    margin: float
    """Allowed drop."""
    error: float
    """Standard error of the difference between equal checkpoints."""
    mde: float | None
    """Minimum detectable effect: the smallest true drop that is called a regression with the
    policy's power. None if there are too few clusters."""
    mde_pass: float
    """The smallest margin that an equal checkpoint passes with the policy's power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerAnalysis:
    """What a policy detects and passes on a set of benchmarks."""

    expected: Mapping[str, Variability]
    """The assumptions, by benchmark."""
    mean: DetectableEffect
    benchmarks: Mapping[str, DetectableEffect]
    pass_if_equal: float
    """Probability that an equal checkpoint passes."""
    identical_pass: bool
    """Whether a checkpoint with identical answers passes."""


def expected_variability(paired: Paired, difference: PairedDifference) -> Variability:
    """Return the observed variability of differences as the expectation for the next run.

    If no answer differs, the design effect is unknown; the conservative assumption is that answers
    about one image or video differ together.
    """
    drop = difference.drop
    squares = mean([sample.change**2 for sample in paired.samples])
    independent = (squares - drop.estimate**2) / drop.n
    if not independent > 0 or not 0 < drop.variance < 1:
        effect = drop.n / drop.clusters
    else:
        effect = drop.variance / independent
    return Variability(
        n=drop.n,
        clusters=int(drop.effective_clusters + 1e-6),
        discordance=squares,
        design_effect=effect,
    )


def analyse_power(expected: Mapping[str, Variability], terms: Terms) -> PowerAnalysis:
    """Analyse the policy `terms` on benchmarks whose differences vary as `expected`."""
    level, several = terms.level(len(expected)), list(expected.values())
    margin = to_share(terms.margin)
    cliffs = {name: to_share(terms.cliffs[name]) for name in expected}
    same = {name: identical_difference(each.n, each.clusters) for name, each in expected.items()}
    identical = decide(same, cliffs, margin, terms.alpha)
    few = {name: drop.too_few_clusters for name, drop in same.items()}
    few_in_mean = identical.mean.drop.too_few_clusters
    benchmarks = {
        name: _effect(
            terms.cliffs[name],
            each.error(),
            None if few[name] else power.minimum_detectable_drop(each, cliffs[name], level),
            power.minimum_passing_margin(each, level),
        )
        for name, each in expected.items()
    }
    of_mean = _effect(
        terms.margin,
        power.mean_error([each.error() for each in several]),
        None if few_in_mean else power.minimum_detectable_mean(several, margin, level),
        power.minimum_passing_mean_margin(several, level),
    )
    # With too few clusters nothing passes, whatever the standard errors are.
    possible = not few_in_mean and not any(few.values())
    return PowerAnalysis(
        expected=expected,
        mean=of_mean,
        benchmarks=benchmarks,
        pass_if_equal=power.pass_probability(several, list(cliffs.values()), margin, terms.alpha)
        if possible
        else 0.0,
        identical_pass=identical.verdict == "pass",
    )


def _effect(margin: float, error: float, mde: float | None, mde_pass: float) -> DetectableEffect:
    return DetectableEffect(
        margin=margin,
        error=100 * error,
        mde=None if mde is None else 100 * mde,
        mde_pass=100 * mde_pass,
    )


def required_scale(analysis: PowerAnalysis, terms: Terms) -> float:
    """Return the factor by which all margins must grow for an equal checkpoint to pass.

    It passes with probability `terms.power` then. The number of samples must grow by the square of
    the factor instead, as errors shrink with its root. 1 if the margins are large enough. Requires
    `analysis.identical_pass`.
    """
    several = list(analysis.expected.values())
    cliffs = [to_share(terms.cliffs[name]) for name in analysis.expected]
    margin = to_share(terms.margin)

    def enough(factor: float) -> bool:
        wider = [min(cliff * factor, 1.0) for cliff in cliffs]
        passed = power.pass_probability(several, wider, min(margin * factor, 1.0), terms.alpha)
        return passed >= terms.power

    if enough(1.0):
        return 1.0
    low, high = 1.0, 2.0
    while not enough(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
