"""Pair the samples of runs, and find the benchmarks that cannot be compared.

A pair is the same sample with the same prompt and the same media. A benchmark whose conditions
differ (`evalsuite.runs.comparable`) is incomparable, with the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.runs.comparable import differing
from evalsuite.runs.records import FoundRun, Run, SampleScore, Score
from evalsuite.runs.storage import read_samples
from evalsuite.stats import mean

_ROUNDING = 1e-6
"""Points by which a score may differ from the mean of its samples."""


@dataclass(frozen=True, slots=True)
class Matched:
    """One sample with the predictions of all runs."""

    baseline: tuple[SampleScore, ...]
    candidate: tuple[SampleScore, ...]
    change: float
    """Candidate minus baseline of the values, means over runs: -1 to 1."""

    @property
    def known(self) -> SampleScore:
        """One of them, for the fields that all share: id, cluster, category, target."""
        return self.baseline[0]

    @property
    def failed(self) -> bool:
        """Whether a run has no prediction."""
        return any(row.ended == "error" for row in (*self.baseline, *self.candidate))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A benchmark that can be compared, with the samples that all runs have."""

    benchmark: str
    baseline: tuple[Score, ...]
    candidate: tuple[Score, ...]
    samples: tuple[Matched, ...]
    left_out: int
    """Samples that not all runs have."""
    different_prompts: int
    """Samples of all runs whose prompts, images or frames differ."""

    @property
    def changed(self) -> list[Matched]:
        """Samples whose value changed: losses first, each in the order of the data."""
        return sorted((s for s in self.samples if s.change), key=lambda sample: sample.change > 0)


@dataclass(frozen=True, slots=True)
class Incomparable:
    """A benchmark that cannot be compared."""

    benchmark: str
    why: tuple[str, ...]
    """What differs or is missing, one line each."""


Read = Callable[[Path], list[SampleScore]]


def pair(
    baseline: Sequence[FoundRun],
    candidate: Sequence[FoundRun],
    only: Sequence[str] = (),
    read: Read = read_samples,
) -> list[Paired | Incomparable]:
    """Pair the samples of every benchmark that any of the runs has, or of those in `only`.

    Several runs on one side are training seeds of one recipe. `read` reads a samples.jsonl.
    Raises `UsageError` if the samples of a run cannot be read.
    """
    runs = [*baseline, *candidate]
    names = dict.fromkeys(o.benchmark for found in runs for o in found.run.outcomes)
    return [_pair(name, baseline, candidate, read) for name in names if not only or name in only]


def _pair(
    name: str, baseline: Sequence[FoundRun], candidate: Sequence[FoundRun], read: Read
) -> Paired | Incomparable:
    runs = [*baseline, *candidate]
    sides = ["baseline"] * len(baseline) + ["candidate"] * len(candidate)
    scores = [next((s for s in found.run.scores if s.benchmark == name), None) for found in runs]
    missing = [
        f"the {side} {found.run.checkpoint.name} has no score{_because(found.run, name)}"
        for found, side, score in zip(runs, sides, scores, strict=True)
        if score is None
    ]
    if missing:
        return Incomparable(name, tuple(missing))
    whole = [score for score in scores if score is not None]
    if why := differing([score.conditions for score in whole]):
        return Incomparable(name, tuple(map(str, why)))
    return _matched(name, whole, runs, len(baseline), read)


def _because(run: Run, name: str) -> str:
    reasons = [f.message for f in run.failures if f.benchmark == name]
    return f": {reasons[0]}" if reasons else ""


def _matched(
    name: str, scores: Sequence[Score], runs: Sequence[FoundRun], baselines: int, read: Read
) -> Paired | Incomparable:
    tables = [_table(found, score, read) for found, score in zip(runs, scores, strict=True)]
    everywhere = [id_ for id_ in tables[0] if all(id_ in table for table in tables)]
    together = [tuple(table[id_] for table in tables) for id_ in everywhere]
    alike = [rows for rows in together if _asked_alike(rows)]
    if not alike:
        why = "the prompts of all samples differ" if together else "no sample is in all runs"
        return Incomparable(name, (why,))
    return Paired(
        benchmark=name,
        baseline=tuple(scores[:baselines]),
        candidate=tuple(scores[baselines:]),
        samples=tuple(match(rows[:baselines], rows[baselines:]) for rows in alike),
        left_out=len(set().union(*tables)) - len(everywhere),
        different_prompts=len(together) - len(alike),
    )


def _table(found: FoundRun, score: Score, read: Read) -> dict[str, SampleScore]:
    """The samples of `score` by id; raises `UsageError` if they do not give that score."""
    path = found.samples(score.benchmark)
    rows = [row for row in read(path) if row.counts]
    table = {row.id: row for row in rows}
    if len(table) != score.n or len(rows) != score.n:
        has = f"{len(rows)} counted samples" if len(rows) != score.n else "a duplicate id"
        raise UsageError(
            f"{path}: is damaged: it has {has}, but n in {found.path.name} is {score.n}; score "
            "again with --mode eval"
        )
    if abs(100 * mean([row.value for row in rows]) - score.value) > _ROUNDING:
        raise UsageError(
            f"{path}: does not give the score in {found.path.name}, {score.value:.2f}; score again "
            "with --mode eval"
        )
    return table


def _asked_alike(rows: Sequence[SampleScore]) -> bool:
    """Whether all prompts are equal. A sample whose prompt could not be built has no digest."""
    digests = {row.prompt_digest for row in rows if row.prompt_digest or row.ended != "error"}
    return len(digests) <= 1 and len({row.cluster for row in rows}) == 1


def match(baseline: tuple[SampleScore, ...], candidate: tuple[SampleScore, ...]) -> Matched:
    """Return one sample of all runs."""
    change = mean([row.value for row in candidate]) - mean([row.value for row in baseline])
    return Matched(baseline, candidate, change)
