"""The record of a run: its outcomes and its environment, written to run.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import UsageError
from evalsuite.runner import batch_sensitivity
from evalsuite.runner import batch_sensitivity as noises
from evalsuite.runner.events import BenchmarkPlan
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runs.comparable import Conditions, differences
from evalsuite.runs.journal import peek
from evalsuite.runs.layout import RunPaths
from evalsuite.runs.records import BatchSensitivity, CheckpointRecord, Outcome, Run, Score, now
from evalsuite.runs.storage import read_run, read_samples, write_run
from evalsuite.system.environment import PACKAGES, VERSION, versions


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
        asked = conditions[benchmark.name]
        if score is None or not _is_current(score, asked) or _changed(where, benchmark, asked):
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


def _changed(where: RunPaths, benchmark: Benchmark, conditions: Conditions) -> bool:
    """Whether the journal has other predictions than those that were scored."""
    try:
        rows = read_samples(where.samples(benchmark.name))
    except UsageError:  # missing or damaged: scoring writes it again
        return True
    known = peek(where.journal(benchmark.name), header(benchmark, conditions))
    return any(
        (known[row.id].text, known[row.id].ended) != (row.prediction, row.ended)
        for row in rows
        if row.id in known
    )


def _is_current(score: Score, conditions: Conditions) -> bool:
    """Whether `score` needs no update: made under `conditions`, with no failed sample to retry."""
    return not differences(score.conditions, conditions) and score.counts.failed == 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """A checkpoint, its benchmarks, and what is left to do."""

    checkpoint: Checkpoint
    benchmarks: Sequence[Benchmark]
    conditions: Mapping[str, Conditions]
    where: RunPaths
    state: State


class RunRecord:
    """The outcomes and the environment of a run. Only this class writes its run.json."""

    def __init__(self, assignment: Assignment, options: ResolvedConfig) -> None:
        self._options = options
        self._checkpoint = checkpoint_record(assignment.checkpoint)
        self._where = assignment.where
        self._rank = {b.name: i for i, b in enumerate(assignment.benchmarks)}
        state, previous = assignment.state, assignment.state.previous
        redone = {b.name for b in state.todo} - state.reopened
        # With --mode infer, earlier scores are kept.
        lasting = Score if options.config.mode == "infer" and options.shard is None else ()
        self._outcomes: dict[str, Outcome] = {
            o.benchmark: o
            for o in (previous.outcomes if previous else ())
            if o.benchmark not in redone or isinstance(o, lasting)
        }
        self.before = {s.benchmark: s for s in previous.scores} if previous else {}
        """The scores of an earlier session, by benchmark."""
        self._started = previous.started if previous else now()
        self._environment: dict[str, Any] = {**(previous.environment if previous else {})}
        self._kinds: dict[str, set[str]] = {}
        """Devices and package versions of this session and of the run's shards."""
        self._shards = [] if self._where.part else self._where.shard_records
        for shard in self._shards:
            self._add_environment(read_run(shard).environment)
            self._environment["shards"] = len(self._shards)
        self._add_environment(versions())
        self._run: Run | None = None

    @property
    def scores(self) -> list[Score]:
        """The scores so far."""
        return [o for o in self._outcomes.values() if isinstance(o, Score)]

    def check_files(self) -> None:
        """Read the files that the last `write` needs. Raises `UsageError` if one is damaged."""
        for path in self._sensitivity_files().values():
            batch_sensitivity.read(path)

    def add_worker(self, environment: Mapping[str, Any]) -> None:
        """Record the device and the versions of a worker."""
        self._add_environment(environment)
        self._environment["workers"] = len(self._options.devices)

    def set(self, outcome: Outcome) -> None:
        """Keep the outcome of a benchmark."""
        self._outcomes[outcome.benchmark] = outcome

    def finished(self) -> Run:
        """The run as it was written last."""
        return self._run or self.write(complete=True)

    def write(self, *, complete: bool) -> Run:
        """Write run.json. ``finished`` is set if `complete` and every benchmark has an outcome."""
        complete = complete and all(name in self._outcomes for name in self._rank)
        last = len(self._rank)
        outcomes = sorted(self._outcomes.values(), key=lambda o: self._rank.get(o.benchmark, last))
        self._run = Run(
            evalsuite=VERSION,
            command=self._options.config.command,
            started=self._started,
            finished=now() if complete else None,
            limit=str(self._options.limit) if self._options.limit else None,
            checkpoint=self._checkpoint,
            settings=self._options.settings,
            environment=self._environment,
            outcomes=tuple(outcomes),
            batch_sensitivity=self._batch_sensitivity() if complete else None,
        )
        write_run(self._where.record, self._run)
        for shard in self._shards:
            shard.unlink(missing_ok=True)
        self._shards = []
        return self._run

    def _add_environment(self, environment: Mapping[str, Any]) -> None:
        self._environment.update(environment)
        for key in ("device", *PACKAGES):
            if (value := environment.get(key)) is not None:
                kinds = self._kinds.setdefault(key, set())
                kinds.update(value.split(", "))
                self._environment[key] = ", ".join(sorted(kinds))

    def _sensitivity_files(self) -> dict[str, Any]:
        return {s.benchmark: self._where.batch_sensitivity(s.benchmark) for s in self.scores}

    def _batch_sensitivity(self) -> BatchSensitivity | None:
        sizes = {score.benchmark: score.n for score in self.scores}
        return batch_sensitivity.pool(self._sensitivity_files(), sizes, self._options.reruns)


def checkpoint_record(checkpoint: Checkpoint) -> CheckpointRecord:
    """Reduce `checkpoint` to what run.json keeps of it."""
    kept = (item.name for item in fields(CheckpointRecord))
    return CheckpointRecord(**{name: getattr(checkpoint, name) for name in kept})
