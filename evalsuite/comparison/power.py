"""Power analysis of a policy on given benchmarks, in points."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalsuite.comparison.comparison import PairedDifference, to_share
from evalsuite.comparison.pairing import Paired
from evalsuite.comparison.policy import Terms
from evalsuite.errors import UsageError, nearest
from evalsuite.runs.records import Run
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
    mean: DetectableEffect
    benchmarks: Mapping[str, DetectableEffect]
    pass_if_equal: float
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


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a benchmark."""

    questions: int
    clusters: int

    def expected(self, discordance: float, icc: float) -> Variability:
        """Return the variability for this discordance and ICC, with clusters of equal size."""
        per_cluster = self.questions / self.clusters
        return Variability(
            n=self.questions,
            clusters=self.clusters,
            discordance=discordance,
            design_effect=1 + (per_cluster - 1) * icc,
        )


def sizes_of(run: Run, only: Sequence[str] = ()) -> dict[str, Size]:
    """Return the sizes of a run's benchmarks, or of those in `only`; raises `UsageError`."""
    known = {score.benchmark: Size(score.n, score.clusters) for score in run.scores}
    if not known and not only:
        raise UsageError("the run has no scores yet; finish it or use --sizes")
    return select_sizes(known, only, "the run has no score")


def select_sizes(known: Mapping[str, Size], only: Sequence[str], lacking: str) -> dict[str, Size]:
    """Return the sizes of the benchmarks `only`, all if it is empty; raises `UsageError`."""
    for name in only:
        if name not in known:
            raise UsageError(f"{lacking} of '{name}'{nearest(name, known)}")
    return {name: size for name, size in known.items() if not only or name in only}


def read_sizes(text: str, known: Sequence[str]) -> dict[str, Size]:
    """Read ``MMStar=1500,Video-MME=2700:900``: questions, and images if fewer.

    Raises `UsageError`.
    """
    sizes: dict[str, Size] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"([^=]+)=([0-9]{1,9})(?::([0-9]{1,9}))?", part)
        questions = int(match[2]) if match else 0
        clusters = int(match[3] or questions) if match else 0
        if match is None or not 1 <= clusters <= questions:
            raise UsageError(
                f"--sizes {part}: expected BENCH=QUESTIONS or BENCH=QUESTIONS:IMAGES, for example "
                "Video-MME=2700:900"
            )
        if match[1] not in known:
            raise UsageError(
                f"--sizes {part}: unknown benchmark{nearest(match[1], known)}; name its file with "
                "--benchmarks-file"
            )
        if match[1] in sizes:
            raise UsageError(f"--sizes {part}: duplicate size of {match[1]}")
        sizes[match[1]] = Size(questions, clusters)
    if not sizes:
        raise UsageError("--sizes: expected BENCH=QUESTIONS,…")
    return sizes


def read_shares(text: str, flag: str) -> list[float]:
    """Read ``0.05,0.15``: numbers between 0 and 1; raises `UsageError` that names `flag`."""
    shares = []
    for part in text.split(","):
        try:
            share = float(part)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:  # also refuses NaN
            raise UsageError(f"{flag} {part}: expected a share between 0 and 1, like 0.15")
        shares.append(share)
    return shares
