"""Find the scores of an earlier run that need no update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner import batch_sensitivity as noises
from evalsuite.runner.events import BenchmarkPlan
from evalsuite.runs.comparable import Conditions, differences
from evalsuite.runs.layout import RunPaths
from evalsuite.runs.records import Run, Score
from evalsuite.runs.storage import read_run


@dataclass(frozen=True, slots=True)
class State:
    """The state of a run on disk."""

    previous: Run | None
    standing: list[BenchmarkPlan]
    """Benchmarks whose score needs no update."""
    todo: list[Benchmark]
    reopened: frozenset[str] = frozenset()
    """Names of those whose score is current but has too few reruns at batch size 1."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.previous is not None and self.previous.finished is not None and not self.todo


def look(
    where: RunPaths,
    benchmarks: Sequence[Benchmark],
    conditions: Mapping[str, Conditions],
    *,
    fresh: bool,
    noise: int = 0,
) -> State:
    """Compare the run at `where` with `benchmarks`; raises `UsageError`.

    A score is complete only if all its reruns are there, and at least its share of `noise` samples.
    """
    previous = read_run(where.run_json) if where.run_json.exists() else None
    scores = {s.benchmark: s for s in previous.scores} if previous and not fresh else {}
    shares = noises.shares({name: score.n for name, score in scores.items()}, noise)
    standing, todo, reopened = [], [], set()
    for benchmark in benchmarks:
        score = scores.get(benchmark.name)
        if score is None or not _is_current(score, conditions[benchmark.name]):
            todo.append(benchmark)
        elif score.rerun_samples is None or score.rerun_samples < shares[benchmark.name]:
            todo.append(benchmark)
            reopened.add(benchmark.name)
        else:
            standing.append(BenchmarkPlan(benchmark, score.n, score.n, scored=True))
    return State(previous, standing, todo, frozenset(reopened))


def header(benchmark: Benchmark, conditions: Conditions) -> dict[str, Any]:
    """The header of a journal: what predictions depend on, other than sample and settings."""
    return {
        "benchmark": benchmark.name,
        "dataset": conditions.dataset,
        "prompt_format": conditions.prompt_format,
        "data_digest": conditions.data_digest,
        "frames": conditions.frames,
        "max_new_tokens": conditions.max_new_tokens,
    }


def _is_current(score: Score, conditions: Conditions) -> bool:
    """Whether `score` needs no update: made under `conditions`, with no failed sample to retry."""
    return not differences(score.conditions, conditions) and score.counts.failed == 0
