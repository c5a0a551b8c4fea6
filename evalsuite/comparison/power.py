"""What a policy can find and whom it lets pass, given the samples there are and how they vary."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from evalsuite.comparison.pairing import Paired
from evalsuite.comparison.policy import Terms
from evalsuite.stats import mean, power
from evalsuite.stats.decision import decide
from evalsuite.stats.paired_difference import FEW_CLUSTERS, Drop, no_difference
from evalsuite.stats.power import Expected, Level
from evalsuite.stats.zero_events import largest_unseen

_HALVINGS = 8
"""Of a factor between n and 2n: enough for two digits."""
_ROUNDS = 50
"""Each brings a cliff and the standard error at it closer together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """One drop, of a benchmark or of the mean, in points."""

    allowed: float
    """Margin or cliff."""
    error: float
    """The standard error if two checkpoints are equal."""
    detectable: float | None
    """The smallest true drop that is called a regression with the policy's power; None if there
    are too few images for any claim."""
    passing: float
    """The smallest margin or cliff that an equal checkpoint passes with that power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a policy can do on a set of benchmarks."""

    expected: Mapping[str, Expected]
    """What that is said of."""
    mean: Prospect
    benchmarks: Mapping[str, Prospect]
    pass_if_equal: float
    """The probability that an equal checkpoint passes."""
    identical_pass: bool
    """Whether even a checkpoint that answers everything alike would pass."""


def expect(paired: Paired, drop: Drop) -> Expected:
    """What to expect of a benchmark next time: differences as large, and as clustered, as here.

    If nothing differs, nothing is known of how differences cluster; they are then taken to come
    whole images at a time, which errs on the safe side.
    """
    squares = mean([sample.drop**2 for sample in paired.samples])
    independent = (squares - drop.estimate**2) / drop.n
    if not independent > 0 or not 0 < drop.variance < 1:
        effect = drop.n / drop.clusters
    else:
        effect = drop.variance / independent
    return Expected(
        n=drop.n,
        clusters=int(drop.effective_clusters + 1e-6),
        discordance=squares,
        design_effect=effect,
    )


def look_ahead(expected: Mapping[str, Expected], terms: Terms) -> Outlook:
    """What the policy of `terms` can do on benchmarks of which so much is `expected`."""
    level = terms.level(len(expected))
    errors = {name: each.error() for name, each in expected.items()}
    of_mean = power.mean_error(list(errors.values()))
    margin, cliffs = terms.margin / 100, {n: terms.cliffs[n] / 100 for n in expected}
    same = {name: no_difference(each.clusters) for name, each in expected.items()}
    identical = decide(same, cliffs, margin, terms.alpha)
    unseen_mean = _unseen_mean(expected, terms.alpha)
    few = any(drop.too_few_clusters for drop in (identical.mean.drop, *same.values()))
    return Outlook(
        expected=expected,
        mean=_prospect(
            margin,
            of_mean,
            _detectable_mean(expected, margin, level),
            max(power.reach(of_mean, level), unseen_mean) + power.luck(of_mean, level),
            few=identical.mean.drop.too_few_clusters,
        ),
        benchmarks={
            name: _prospect(
                cliffs[name],
                errors[name],
                _detectable(each, cliffs[name], level),
                _passing(each, level),
                few=same[name].too_few_clusters,
            )
            for name, each in expected.items()
        },
        # With too few images nothing ever passes, whatever the standard errors say.
        pass_if_equal=0.0
        if few
        else power.chance_of_pass(
            list(errors.values()),
            list(cliffs.values()),
            margin,
            terms.alpha,
            unseen=[_reach(each, cliffs[name], level) for name, each in expected.items()],
            unseen_mean=unseen_mean,
        ),
        identical_pass=identical.verdict == "pass",
    )


def widening(outlook: Outlook, terms: Terms) -> float:
    """By which factor margin and cliffs must grow for equal checkpoints to pass with its power.

    The square of it is by how much the samples must grow instead, as errors shrink with their root
    and what goes unseen faster. 1 if nothing needs to.
    """

    def enough(factor: float) -> bool:
        wider = dataclasses.replace(
            terms,
            margin=min(terms.margin * factor, 100.0),
            cliffs={name: min(cliff * factor, 100.0) for name, cliff in terms.cliffs.items()},
        )
        return look_ahead(outlook.expected, wider).pass_if_equal >= terms.power

    if enough(1.0):
        return 1.0
    low, high = 1.0, 2.0
    while not enough(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def alike_needed(allowed: float, alpha: float) -> int:
    """How many images, all answered alike, show a drop below `allowed`: a share, not points.

    The inverse of the bound 1 - alpha^(1/C), and never fewer than any claim needs.
    """
    return max(FEW_CLUSTERS, math.floor(math.log(alpha) / math.log1p(-allowed)) + 1
               if allowed < 1 else 0)  # fmt: skip


def samples_needed(expected: Expected, allowed: float, level: Level) -> int:
    """How many samples, as many an image as `expected`, let an equal checkpoint pass `allowed`."""
    each = expected.n / expected.clusters

    def enough(images: int) -> bool:
        more = dataclasses.replace(expected, n=math.ceil(images * each), clusters=images)
        return _passing(more, level) < allowed

    low, high = FEW_CLUSTERS - 1, FEW_CLUSTERS
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return math.ceil(high * each)


def _unseen(expected: Expected, alpha: float, drop: float = 0.0) -> float:
    """How far any bound lies from its estimate where so few images differ as is expected."""
    share = max(expected.discordance, drop)
    few = expected.n * share / expected.design_effect < FEW_CLUSTERS
    return largest_unseen([(1.0, expected.clusters)], alpha) if few else 0.0


def _unseen_mean(expected: Mapping[str, Expected], alpha: float, drop: float = 0.0) -> float:
    weight = 1 / len(expected)
    quiet = [(weight, e.clusters) for e in expected.values() if _unseen(e, alpha, drop)]
    return largest_unseen(quiet, alpha)


def _reach(expected: Expected, cliff: float, level: Level) -> float:
    """How far the bound that must be below `cliff` lies from its estimate.

    Sparse answers are held against the variance there, if it is larger than where all are equal.
    """
    error = max(expected.error(), expected.error(cliff))
    return max(power.reach(error, level), _unseen(expected, level.alpha))


def _passing(expected: Expected, level: Level) -> float:
    """The smallest cliff that an equal checkpoint passes with the level's power."""
    cliff = 0.0
    for _ in range(_ROUNDS):
        cliff = min(_reach(expected, cliff, level) + power.luck(expected.error(), level), 1.0)
    return cliff


def _detectable(expected: Expected, allowed: float, level: Level) -> float:
    """The smallest true drop of a benchmark that is called a regression.

    Where few images differ even then, its estimate must be beyond what would go unseen as well.
    """

    def beyond(least: float) -> float:
        return power.planned_detectable_drop(
            expected.discordance, expected.n, least, level, expected.design_effect
        )

    drop = beyond(allowed)
    return beyond(max(allowed, _unseen(expected, level.alpha / level.tests, drop)))


def _detectable_mean(expected: Mapping[str, Expected], allowed: float, level: Level) -> float:
    """`_detectable` of the mean, if every benchmark drops as much."""
    several = list(expected.values())
    drop = power.planned_detectable_mean(several, allowed, level)
    least = _unseen_mean(expected, level.alpha / level.tests, drop)
    return power.planned_detectable_mean(several, max(allowed, least), level)


def _prospect(
    allowed: float, error: float, detectable: float, passing: float, *, few: bool
) -> Prospect:
    return Prospect(
        allowed=100 * allowed,
        error=100 * error,
        detectable=None if few else 100 * detectable,
        passing=100 * passing,
    )
