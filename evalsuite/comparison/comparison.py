"""Run against run: what differs, how sure that is, and which answers changed.

Differences are shown as users read them, candidate minus baseline in points, so that a loss is
negative; `Drop`, which the gate goes by, counts losses positive on the scale of 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalsuite.comparison.pairing import Incomparable, Matched, Paired, pair
from evalsuite.errors import IncompleteError, UsageError, nearest
from evalsuite.runs.records import FoundRun, group_name
from evalsuite.stats import mean
from evalsuite.stats.multiplicity import McNemar, holm, mcnemar
from evalsuite.stats.paired_difference import Drop, estimate_drop, mean_drop, with_runs

_NOTED = ("dtype", "engine", "resampling", "longest_edge")
"""Settings under which runs may be compared, but not in silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Baseline and candidate on one set of samples."""

    name: str
    """The benchmark, its category, or `MEAN`."""
    baseline: float
    """Score on these samples, 0 to 100; of several runs their mean. Failed samples are wrong."""
    candidate: float
    drop: Drop
    p: float
    """Two-sided, Holm-adjusted: over the benchmarks and their mean, or over the categories."""
    worse: int
    """Samples worth less in the candidate."""
    better: int
    mcnemar: McNemar | None = None
    """None unless answers are right or wrong, one question a cluster, one run a side."""
    failed: tuple[int, int] = (0, 0)
    """Samples without an answer in the baseline and in the candidate."""
    without_failed: Drop | None = None
    """The drop with those samples left out; None if there are none, or no others."""
    categories: tuple[Difference, ...] = ()

    @property
    def points(self) -> float:
        """Candidate minus baseline."""
        return -100 * self.drop.estimate

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Of `points`."""
        low, high = self.drop.interval(level)
        return -100 * high, -100 * low


MEAN = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs, or two groups of them, held against each other."""

    baseline: tuple[FoundRun, ...]
    candidate: tuple[FoundRun, ...]
    differences: tuple[Difference, ...]
    """One a benchmark that can be compared."""
    mean: Difference | None
    """Over those benchmarks, each counting the same; None of fewer than two."""
    paired: tuple[Paired, ...]
    """The samples behind `differences`."""
    incomparable: tuple[Incomparable, ...]
    notes: tuple[str, ...]
    """Under what other circumstances the two ran."""


def compare(
    baseline: Sequence[FoundRun], candidate: Sequence[FoundRun], only: Sequence[str] = ()
) -> Comparison:
    """Compare runs, or groups of runs that differ in the training seed alone.

    `only` names the benchmarks to compare. Raises `UsageError` for one that no run has, and for a
    group of one against a group; `IncompleteError` if no benchmark can be compared.
    """
    comparison = compare_any(baseline, candidate, only)
    if not comparison.differences:
        raise IncompleteError(_nothing(comparison.incomparable))
    return comparison


def compare_any(
    baseline: Sequence[FoundRun], candidate: Sequence[FoundRun], only: Sequence[str] = ()
) -> Comparison:
    """`compare`, but without any difference where no benchmark can be compared."""
    if min(len(baseline), len(candidate)) == 1 < max(len(baseline), len(candidate)):
        raise UsageError(
            "a group of one says nothing of how training runs differ; name two runs or more a side"
        )
    known = [o.benchmark for found in (*baseline, *candidate) for o in found.run.outcomes]
    for name in only:
        if name not in known:
            raise UsageError(f"no run has the benchmark '{name}'{nearest(name, known)}")
    found = pair(baseline, candidate, only)
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
        return "the runs hold no benchmark yet; finish them with 'evalsuite run'"
    first = incomparable[0]
    others = len(incomparable) - 1
    more = f" (and {others} more, each incomparable)" if others else ""
    return (
        f"nothing to compare: {first.benchmark}: {'; '.join(first.why)}{more}; "
        "run both with the same prompts, data, metric and judge"
    )


def _differences(paired: Sequence[Paired]) -> tuple[tuple[Difference, ...], Difference | None]:
    """The difference on each benchmark and, of two and more, on their mean."""
    if not paired:
        return (), None
    several = [each.samples for each in paired]
    drops = [_drop(samples) for samples in several]
    if len(paired) > 1:
        drops.append(_mean_drop(several))
    adjusted = holm([drop.p for drop in drops])
    differences = tuple(
        _difference(each.benchmark, each.samples, drop, p, _categories(each))
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
        without_failed=_mean_drop(answered)
        if any(difference.without_failed for difference in differences)
        else None,
    )


def _difference(
    name: str,
    samples: Sequence[Matched],
    drop: Drop,
    p: float,
    categories: tuple[Difference, ...] = (),
) -> Difference:
    answered = _answered(samples)
    baseline, candidate = _run_scores(samples)
    return Difference(
        name=name,
        baseline=100 * mean(baseline),
        candidate=100 * mean(candidate),
        drop=drop,
        p=p,
        worse=sum(sample.drop > 0 for sample in samples),
        better=sum(sample.drop < 0 for sample in samples),
        mcnemar=_mcnemar(samples),
        failed=(
            sum(row.ended == "error" for sample in samples for row in sample.baseline),
            sum(row.ended == "error" for sample in samples for row in sample.candidate),
        ),
        without_failed=_drop(answered) if 0 < len(answered) < len(samples) else None,
        categories=categories,
    )


def _answered(samples: Sequence[Matched]) -> list[Matched]:
    return [sample for sample in samples if not sample.failed]


def _drop(samples: Sequence[Matched]) -> Drop:
    """The drop on `samples` of a benchmark, with the runs' own spread where there are several."""
    return _with_runs(over_questions(samples), *_run_scores(samples))


def _mean_drop(several: Sequence[Sequence[Matched]]) -> Drop:
    """The drop of the mean over benchmarks.

    A training seed moves all benchmarks at once, so the runs' spread is that of their means.
    """
    scores = [_run_scores(samples) for samples in several]
    baseline = [mean(run) for run in zip(*(of for of, _ in scores), strict=True)]
    candidate = [mean(run) for run in zip(*(of for _, of in scores), strict=True)]
    return _with_runs(mean_drop([over_questions(s) for s in several]), baseline, candidate)


def over_questions(samples: Sequence[Matched]) -> Drop:
    """The drop on `samples` of a benchmark, as far as questions vary."""
    return estimate_drop([s.drop for s in samples], [s.known.cluster for s in samples])


def _with_runs(drop: Drop, baseline: Sequence[float], candidate: Sequence[float]) -> Drop:
    return drop if len(baseline) == 1 else with_runs(drop, baseline, candidate)


def _run_scores(samples: Sequence[Matched]) -> tuple[list[float], list[float]]:
    """Each run's score on `samples`, 0 to 1: the baseline's runs and the candidate's."""
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
    drops = [sample.drop for sample in samples]
    return mcnemar(sum(d > 0 for d in drops), sum(d < 0 for d in drops))


def _categories(paired: Paired) -> tuple[Difference, ...]:
    """The difference by category, part and label; none that is the same everywhere."""
    groups: dict[tuple[str, str], list[Matched]] = {}
    for sample in paired.samples:
        for group in dict.fromkeys(sample.known.groups):
            groups.setdefault(group, []).append(sample)
    several = {column for column, _ in groups if sum(c == column for c, _ in groups) > 1}
    kept = {key: rows for key, rows in sorted(groups.items()) if key[0] in several}
    drops = [_drop(rows) for rows in kept.values()]
    adjusted = holm([drop.p for drop in drops])
    return tuple(
        _difference(group_name(*group), rows, drop, p)
        for (group, rows), drop, p in zip(kept.items(), drops, adjusted, strict=True)
    )


def differing_settings(runs: Sequence[FoundRun], called: str) -> Iterator[str]:
    """Say how the settings differ under which `runs`, `called` so, may all the same be compared."""
    for key in _NOTED:
        values = dict.fromkeys(str(found.run.settings.get(key, "not set")) for found in runs)
        if len(values) > 1:
            yield f"{called} differ in {key.replace('_', ' ')}: {', '.join(values)}"


def _notes(runs: Sequence[FoundRun]) -> Iterator[str]:
    yield from differing_settings(runs, "the runs")
    if len({found.run.checkpoint.digest for found in runs}) == 1:
        yield "all runs are of the same weights"
    if len({found.path.resolve() for found in runs}) < len(runs):
        yield "baseline and candidate are one and the same run"
    for found in runs:
        if found.run.finished is None:
            yield f"{found.run.checkpoint.name} is unfinished, so benchmarks may be missing"
