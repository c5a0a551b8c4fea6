"""What an earlier run left, and what of it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.runner import batch_sensitivity as noises
from evalsuite.runner.events import Planned
from evalsuite.runner.plan import Place
from evalsuite.runs.records import Run, Score, read_run
from evalsuite.system.environment import installed


@dataclass(frozen=True, slots=True)
class State:
    """A run as it was found."""

    previous: Run | None
    standing: list[Planned]
    """Benchmarks whose score need not be made again."""
    todo: list[Benchmark]
    reopened: frozenset[str] = frozenset()
    """Of these the names of those whose score is right, but says too little of noise."""

    @property
    def complete(self) -> bool:
        """Whether nothing at all is left to do."""
        return self.previous is not None and self.previous.finished is not None and not self.todo


def look(
    where: Place,
    benchmarks: Sequence[Benchmark],
    digests: Mapping[str, str],
    *,
    fresh: bool,
    noise: int = 0,
) -> State:
    """What is at `where` and what is left of `benchmarks`; raises `UsageError`.

    A score stands only if all that was to be asked once more was, and its share of `noise` samples.
    """
    previous = read_run(where.run_json) if where.run_json.exists() else None
    scores = {s.benchmark: s for s in previous.scores} if previous and not fresh else {}
    shares = noises.shares({name: score.n for name, score in scores.items()}, noise)
    standing, todo, reopened = [], [], set()
    for benchmark in benchmarks:
        score = scores.get(benchmark.name)
        if score is None or not _stands(score, benchmark, digests[benchmark.name]):
            todo.append(benchmark)
        elif score.asked_again is None or score.asked_again < shares[benchmark.name]:
            todo.append(benchmark)
            reopened.add(benchmark.name)
        else:
            standing.append(Planned(benchmark, score.n, score.n, finished=True))
    return State(previous, standing, todo, frozenset(reopened))


def header(benchmark: Benchmark, digest: str) -> dict[str, Any]:
    """What a prediction depends on besides its sample and the settings of the run."""
    return {
        "benchmark": benchmark.name,
        "dataset": benchmark.dataset,
        "prompt": benchmark.prompt,
        "data_digest": digest,
        "frames": str(benchmark.frames) if benchmark.frames else None,
        "max_new_tokens": benchmark.max_new_tokens,
    }


def _stands(score: Score, benchmark: Benchmark, digest: str) -> bool:
    """Whether `score` is about the same questions, scored the same way, with none to retry."""
    return (
        score.definition == benchmark.definition
        and score.data_digest == digest
        and score.vlmevalkit == installed("ms-vlmeval")
        and score.failed == 0
    )
