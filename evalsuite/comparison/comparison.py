"""Compare runs: paired differences per benchmark, category and mean, with their uncertainty.

Differences are candidate minus baseline, in points.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalsuite.comparison.pairing import Incomparable, Matched, Paired, Read, match, pair
from evalsuite.errors import IncompleteError, UsageError, nearest
from evalsuite.runs.records import FoundRun, SampleScore, by_group, group_name
from evalsuite.runs.storage import read_samples
from evalsuite.stats import mean
from evalsuite.stats.mean_difference import mean_drop, with_runs
from evalsuite.stats.multiplicity import McNemar, holm, mcnemar
from evalsuite.stats.paired_difference import Drop, estimate_drop


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


_NOTED = ("dtype", "engine", "resampling", "longest_edge")
"""Settings that may differ between compared runs; a difference is reported as a note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(PairedDifference):
    """Baseline and candidate on the same samples."""

    name: str
    """A benchmark, a category, or `MEAN`."""
    baseline: float
    """Score on these samples, 0 to 100; the mean over several runs. Failed samples are wrong."""
    candidate: float
    p: float
    """Two-sided, Holm-adjusted over the benchmarks and their mean, or over the categories."""
    worse: int
    better: int
    mcnemar: McNemar | None = None
    """None unless values are 0 or 1, with one sample per cluster and one run per side."""
    failed: tuple[int, int] = (0, 0)
    """Failed samples of the baseline and of the candidate."""
    without_failed: PairedDifference | None = None
    """With failed samples left out; None if there are none, or if no other sample remains."""
    worst_case: PairedDifference | None = None
    """With failed samples of the baseline counted as right; None if there are none."""


MEAN = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The comparison of two runs, or of two groups of runs."""

    baseline: tuple[FoundRun, ...]
    candidate: tuple[FoundRun, ...]
    differences: tuple[Difference, ...]
    mean: Difference | None
    """Over those benchmarks, with equal weights; None for fewer than two."""
    paired: tuple[Paired, ...]
    """The samples of `differences`, in the same order."""
    incomparable: tuple[Incomparable, ...]
    notes: tuple[str, ...]
    """Settings that differ, and other facts that a reader should know."""


def compare(
    baseline: Sequence[FoundRun], candidate: Sequence[FoundRun], only: Sequence[str] = ()
) -> Comparison:
    """Compare runs, or groups of runs that differ only in the training seed.

    `only` names the benchmarks to compare. Raises `UsageError` for a benchmark that no run has and
    for a single run against a group; `IncompleteError` if no benchmark can be compared.
    """
    comparison = compare_any(baseline, candidate, only)
    if not comparison.differences:
        raise IncompleteError(_nothing(comparison.incomparable))
    return comparison


def compare_any(
    baseline: Sequence[FoundRun],
    candidate: Sequence[FoundRun],
    only: Sequence[str] = (),
    read: Read = read_samples,
) -> Comparison:
    """Return `compare`, also if no benchmark can be compared.

    `read` reads a samples.jsonl.
    """
    if min(len(baseline), len(candidate)) == 1 < max(len(baseline), len(candidate)):
        raise UsageError(
            "--group needs at least two runs on each side to estimate the variance between runs"
        )
    known = [o.benchmark for found in (*baseline, *candidate) for o in found.run.outcomes]
    for name in only:
        if name not in known:
            raise UsageError(f"no run has the benchmark '{name}'{nearest(name, known)}")
    found = pair(baseline, candidate, only, read)
    paired = tuple(item for item in found if isinstance(item, Paired))
    incomparable = tuple(item for item in found if isinstance(item, Incomparable))
    differences, of_mean = _differences(paired)
    return Comparison(
        baseline=tuple(baseline),
        candidate=tuple(candidate),
        differences=differences,
        mean=of_mean,
        paired=paired,
        incomparable=incomparable,
        notes=tuple(_notes([*baseline, *candidate])),
    )


def _nothing(incomparable: Sequence[Incomparable]) -> str:
    if not incomparable:
        return "the runs have no scores yet; finish them with 'evalsuite run'"
    first = incomparable[0]
    others = len(incomparable) - 1
    more = f" (and {others} more)" if others else ""
    return (
        f"nothing to compare: {first.benchmark}: {'; '.join(first.why)}{more}; "
        "evaluate both with the same prompts, data, metric and judge"
    )


def _differences(paired: Sequence[Paired]) -> tuple[tuple[Difference, ...], Difference | None]:
    if not paired:
        return (), None
    several = [each.samples for each in paired]
    drops = [_drop(samples) for samples in several]
    if len(paired) > 1:
        drops.append(_mean_drop(several))
    adjusted = holm([drop.p for drop in drops])
    differences = tuple(
        _difference(each.benchmark, each.samples, drop, p)
        for each, drop, p in zip(paired, drops, adjusted, strict=False)
    )
    if len(paired) == 1:
        return differences, None
    return differences, _mean_difference(differences, several, drops[-1], adjusted[-1])


def _mean_difference(
    differences: Sequence[Difference], several: Sequence[Sequence[Matched]], drop: Drop, p: float
) -> Difference:
    answered = [_answered(samples) or samples for samples in several]
    return Difference(
        name=MEAN,
        baseline=mean([difference.baseline for difference in differences]),
        candidate=mean([difference.candidate for difference in differences]),
        drop=drop,
        p=p,
        worse=sum(difference.worse for difference in differences),
        better=sum(difference.better for difference in differences),
        failed=(
            sum(difference.failed[0] for difference in differences),
            sum(difference.failed[1] for difference in differences),
        ),
        without_failed=PairedDifference(drop=_mean_drop(answered))
        if any(difference.without_failed for difference in differences)
        else None,
    )


def _difference(name: str, samples: Sequence[Matched], drop: Drop, p: float) -> Difference:
    answered = _answered(samples)
    baseline, candidate = _run_scores(samples)
    failed = (
        sum(row.ended == "error" for sample in samples for row in sample.baseline),
        sum(row.ended == "error" for sample in samples for row in sample.candidate),
    )
    return Difference(
        name=name,
        baseline=100 * mean(baseline),
        candidate=100 * mean(candidate),
        drop=drop,
        p=p,
        worse=sum(sample.change < 0 for sample in samples),
        better=sum(sample.change > 0 for sample in samples),
        mcnemar=_mcnemar(samples),
        failed=failed,
        without_failed=PairedDifference(drop=_drop(answered))
        if 0 < len(answered) < len(samples)
        else None,
        worst_case=PairedDifference(drop=_drop(_worst_case(samples))) if failed[0] else None,
    )


def _answered(samples: Sequence[Matched]) -> list[Matched]:
    return [sample for sample in samples if not sample.failed]


def _worst_case(samples: Sequence[Matched]) -> list[Matched]:
    """Return `samples` as if the baseline had answered its failed samples correctly."""

    def right(row: SampleScore) -> SampleScore:
        return dataclasses.replace(row, value=1.0) if row.ended == "error" else row

    return [match(tuple(map(right, s.baseline)), s.candidate) for s in samples]


def _drop(samples: Sequence[Matched]) -> Drop:
    return _with_runs(over_questions(samples), *_run_scores(samples))


def _mean_drop(several: Sequence[Sequence[Matched]]) -> Drop:
    """Return the drop of the mean over benchmarks.

    A training seed changes all benchmarks together, so the variance between runs is that of their
    means.
    """
    scores = [_run_scores(samples) for samples in several]
    baseline = [mean(run) for run in zip(*(of for of, _ in scores), strict=True)]
    candidate = [mean(run) for run in zip(*(of for _, of in scores), strict=True)]
    return _with_runs(mean_drop([over_questions(s) for s in several]), baseline, candidate)


def over_questions(samples: Sequence[Matched]) -> Drop:
    """Return the drop on `samples` with the variance between questions alone."""
    return estimate_drop([-s.change for s in samples], [s.known.cluster for s in samples])


def _with_runs(drop: Drop, baseline: Sequence[float], candidate: Sequence[float]) -> Drop:
    return drop if len(baseline) == 1 else with_runs(drop, baseline, candidate)


def _run_scores(samples: Sequence[Matched]) -> tuple[list[float], list[float]]:
    """Return the score of each run on `samples`, 0 to 1: baseline runs, candidate runs."""
    baseline = zip(*(sample.baseline for sample in samples), strict=True)
    candidate = zip(*(sample.candidate for sample in samples), strict=True)
    return (
        [mean([row.value for row in rows]) for rows in baseline],
        [mean([row.value for row in rows]) for rows in candidate],
    )


def _mcnemar(samples: Sequence[Matched]) -> McNemar | None:
    rows = [row for sample in samples for row in (*sample.baseline, *sample.candidate)]
    plain = len(rows) == 2 * len(samples) and all(row.value in (0, 1) for row in rows)
    if not plain or len({sample.known.cluster for sample in samples}) < len(samples):
        return None
    changes = [sample.change for sample in samples]
    return mcnemar(sum(c < 0 for c in changes), sum(c > 0 for c in changes))


def category_differences(paired: Paired) -> tuple[Difference, ...]:
    """Return the difference by category, part and label, for those with several values."""
    groups = by_group(paired.samples, lambda sample: sample.known)
    drops = [_drop(rows) for rows in groups.values()]
    adjusted = holm([drop.p for drop in drops])
    return tuple(
        _difference(group_name(*group), rows, drop, p)
        for (group, rows), drop, p in zip(groups.items(), drops, adjusted, strict=True)
    )


def differing_settings(runs: Sequence[FoundRun], called: str) -> Iterator[str]:
    """Describe the settings of `runs` that differ although the runs are comparable."""
    for key in _NOTED:
        values = dict.fromkeys(str(found.run.settings.get(key, "not set")) for found in runs)
        if len(values) > 1:
            yield f"{called} differ in {key.replace('_', ' ')}: {', '.join(values)}"


def _notes(runs: Sequence[FoundRun]) -> Iterator[str]:
    yield from differing_settings(runs, "the runs")
    if len({found.run.checkpoint.digest for found in runs}) == 1:
        yield "all runs have the same weights"
    if len({found.path.resolve() for found in runs}) < len(runs):
        yield "baseline and candidate are the same run"
    for found in runs:
        if found.run.finished is None:
            yield f"{found.run.checkpoint.name} is unfinished: benchmarks may be missing"
