"""What an earlier run left, and what of it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.benchmarks import Benchmark
from evalsuite.results import Run, Score, read_run
from evalsuite.runner.environment import installed
from evalsuite.runner.plan import Place
from evalsuite.runner.progress import Planned


@dataclass(frozen=True, slots=True)
class State:
    """A run as it was found."""

    previous: Run | None
    standing: list[Planned]
    """Benchmarks whose score need not be made again."""
    todo: list[Benchmark]

    @property
    def complete(self) -> bool:
        """Whether nothing at all is left to do."""
        return self.previous is not None and self.previous.finished is not None and not self.todo


def look(
    where: Place, benchmarks: Sequence[Benchmark], digests: Mapping[str, str], *, fresh: bool
) -> State:
    """What is at `where` and what is left of `benchmarks`; raises `UsageError`."""
    previous = read_run(where.run_json) if where.run_json.exists() else None
    scores = {s.benchmark: s for s in previous.scores} if previous and not fresh else {}
    standing, todo = [], []
    for benchmark in benchmarks:
        score = scores.get(benchmark.name)
        if score is not None and _stands(score, benchmark, digests[benchmark.name]):
            standing.append(Planned(benchmark, score.n, score.n, finished=True))
        else:
            todo.append(benchmark)
    return State(previous, standing, todo)


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
