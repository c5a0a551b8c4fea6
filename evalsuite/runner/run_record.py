"""One checkpoint's run: its benchmarks at work, what came of them, and its record on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import EvalsuiteError
from evalsuite.runner import batch_sensitivity
from evalsuite.runner.events import BenchmarkPlan
from evalsuite.runner.job import Job, Piece
from evalsuite.runner.plan import choose_scorable, cut, in_data_order
from evalsuite.runner.prompting import PromptBuilder
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.resume import State, header
from evalsuite.runner.source import SampleSource
from evalsuite.runs.comparable import Conditions
from evalsuite.runs.journal import Journal, answered
from evalsuite.runs.layout import RERUN, RunPaths
from evalsuite.runs.records import (
    BatchSensitivity,
    CheckpointRecord,
    Failure,
    Outcome,
    Run,
    Score,
    now,
)
from evalsuite.runs.storage import read_run, write_run
from evalsuite.smolvlm.prompts import PromptOptions
from evalsuite.system.environment import PACKAGES, VERSION, versions
from evalsuite.vlmevalkit.client import KitError

PIECE = {"image": 64, "video": 16}
"""Samples the kit process builds in one request, and a worker takes at a time; requests for scores
go in between. A video takes as long to decode as many images to write."""
WHOLE = 4
"""What is asked about one image or video is parted if it is more than so many pieces."""
PIECES_A_WORKER = 4
"""At least, of each benchmark, where there are several workers."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A checkpoint, the benchmarks it is asked, and what an earlier run left of that."""

    checkpoint: Checkpoint
    benchmarks: Sequence[Benchmark]
    conditions: Mapping[str, Conditions]
    """How each benchmark is asked and scored, by name."""
    where: RunPaths
    state: State


class Ledger:
    """The state of one run, and the only one who writes its record."""

    def __init__(
        self, number: int, given: Assignment, options: ResolvedConfig, label: str = ""
    ) -> None:
        """`label` names the run in events; empty if it is the only one."""
        self.number = number
        self.checkpoint = given.checkpoint
        self.where = given.where
        self.state = given.state
        self.jobs: list[Job] = []
        self.open: set[str] = set()
        """Benchmarks still at work."""
        self.error: EvalsuiteError | None = None
        """Why the checkpoint cannot be loaded, if it cannot."""
        prompts = PromptOptions(
            options.config.prompts, self.checkpoint.family, self.checkpoint.chat_template
        )
        self.prompts = PromptBuilder(prompts, options.config.blind)
        self._options = options
        self._conditions = given.conditions
        self.label = label
        self._rank = {b.name: i for i, b in enumerate(given.benchmarks)}
        previous = self.state.previous
        redone = {b.name for b in self.state.todo} - self.state.reopened
        # Predicting alone takes no score away.
        lasting = Score if options.config.mode == "infer" and options.shard is None else ()
        self._outcomes: dict[str, Outcome] = {
            o.benchmark: o
            for o in (previous.outcomes if previous else ())
            if o.benchmark not in redone or isinstance(o, lasting)
        }
        for score in self._scores:
            batch_sensitivity.read(
                self.where.batch_sensitivity(score.benchmark)
            )  # or it were found damaged at the end
        self._before = {s.benchmark: s for s in previous.scores} if previous else {}
        self._started = previous.started if previous else now()
        self._environment: dict[str, Any] = {**(previous.environment if previous else {})}
        self._kinds: dict[str, set[str]] = {}
        """Devices, and versions of packages, that took part in this session, or in the shards of
        the run."""
        self._shards = [] if self.where.part else self.where.shard_records
        for shard in self._shards:
            self._met(read_run(shard).environment)
            self._environment["shards"] = len(self._shards)
        self._met(versions())
        self._run: Run | None = None

    def open_jobs(self, source: SampleSource) -> list[tuple[Benchmark, KitError | Failure]]:
        """Open the journals of all that is to be done; returns what cannot be, and why."""
        failed: list[tuple[Benchmark, KitError | Failure]] = []
        for benchmark in self.state.todo:
            try:
                job = self._open_job(benchmark, source)
            except KitError as error:
                failed.append((benchmark, error))
                continue
            if isinstance(job, Job):
                self.jobs.append(job)
            else:
                failed.append((benchmark, job))
        self.open = {job.benchmark.name for job in self.jobs}
        self._choose_again()
        return failed

    def _choose_again(self) -> None:
        """Share out which samples are asked once more, alone."""
        sizes = {job.benchmark.name: len(job.whole) for job in self.jobs}
        standing = {s.benchmark: s.n for s in self._scores if s.benchmark not in sizes}
        share = batch_sensitivity.shares({**standing, **sizes}, self._options.reruns)
        for job in self.jobs:
            mine = set(job.chosen)
            picked = batch_sensitivity.pick(job.whole, share[job.benchmark.name])
            job.wanted_again = [id_ for id_ in picked if id_ in mine]

    @property
    def _scores(self) -> list[Score]:
        return [o for o in self._outcomes.values() if isinstance(o, Score)]

    @property
    def asking(self) -> bool:
        """Whether there is something yet to ask, or an answer to come."""
        return any(not job.built or job.pending or job.pending_again for job in self.jobs)

    @property
    def again(self) -> tuple[int, int]:
        """Samples that were asked again so far: how many have their answer, and of how many."""
        jobs = [job for job in self.jobs if job.asked_again]
        total = sum(len(job.wanted_again) for job in jobs)
        return total - sum(len(job.pending_again) for job in jobs), total

    def plan(self) -> list[BenchmarkPlan]:
        """What there is to do, benchmark by benchmark."""
        return [
            *self.state.standing,
            *(BenchmarkPlan(j.benchmark, len(j.chosen), j.done) for j in self.jobs),
        ]

    def _open_job(self, benchmark: Benchmark, source: SampleSource) -> Job | Failure:
        conditions = self._conditions[benchmark.name]
        outline = source.outline(benchmark, conditions.data_digest)
        options = self._options
        choice = choose_scorable(
            benchmark,
            outline,
            options.limit,
            all_parts=options.config.mode == "infer",
            shard=options.shard,
        )
        chosen = choice.asked
        if not chosen and options.shard is None:
            return Failure(
                benchmark=benchmark.name,
                stage="score",
                message=f"only a judge can score the {choice.left_out} samples chosen",
                remedy="name one with --judge, or raise --limit",
            )
        place = self.where.journal(benchmark.name), header(benchmark, conditions), self.where.part
        journal = Journal(*place)
        again = Journal(*place, name=RERUN) if options.reruns else None
        # With --mode eval, --fresh means scoring afresh.
        if options.config.fresh and options.config.mode != "eval":
            journal.forget(chosen)
            if again is not None:
                again.forget(chosen)
        missing = {id_ for id_ in chosen if not answered(journal.predictions, id_)}
        size = self._piece_size(benchmark, len(missing))
        most = WHOLE * PIECE[benchmark.modality]
        pieces = [
            Piece(ids, sum(id_ in missing for id_ in ids))
            for ids in cut(outline, chosen, size, most)
        ]
        return Job(
            run=self.number,
            benchmark=benchmark,
            conditions=conditions,
            chosen=chosen,
            order=in_data_order(outline, chosen),
            left_out=choice.left_out,
            journal=journal,
            whole=choice.whole,
            again=again,
            before=self._before.get(benchmark.name),
            done=len(chosen) - len(missing),
            to_build=deque(pieces),
            coming=len(missing),
        )

    def _piece_size(self, benchmark: Benchmark, asked: int) -> int:
        """So many samples that each of several workers has a few pieces, or it would wait."""
        workers = len(self._options.devices)
        most = PIECE[benchmark.modality]
        return min(most, -(-asked // (PIECES_A_WORKER * workers)) or 1) if workers > 1 else most

    def loaded(self, environment: Mapping[str, Any]) -> None:
        """Note what a worker runs on."""
        self._met(environment)
        self._environment["workers"] = len(self._options.devices)
        self.write()

    def _met(self, environment: Mapping[str, Any]) -> None:
        self._environment.update(environment)
        for key in ("device", *PACKAGES):
            if (value := environment.get(key)) is not None:
                kinds = self._kinds.setdefault(key, set())
                kinds.update(value.split(", "))
                self._environment[key] = ", ".join(sorted(kinds))

    def keep(self, outcome: Outcome) -> None:
        """Keep what came of a benchmark, which may still be at work."""
        self._outcomes[outcome.benchmark] = outcome
        self.write()

    def settle(self, outcome: Outcome) -> None:
        """Keep what came of a benchmark of which nothing more is to come."""
        self.open.discard(outcome.benchmark)
        self.keep(outcome)

    def give_up(self, error: EvalsuiteError) -> None:
        """Leave everything that is still at work; answers so far are kept."""
        self.error = error
        self.open.clear()
        for job in self.jobs:
            job.stop()

    def finished(self) -> Run:
        """The run as it stands at the end."""
        return self._run or self.write()

    def write(self) -> Run:
        """Write the record; `finished` in it is None as long as an outcome is missing."""
        complete = not self.open and all(name in self._outcomes for name in self._rank)
        last = len(self._rank)
        outcomes = sorted(self._outcomes.values(), key=lambda o: self._rank.get(o.benchmark, last))
        self._run = Run(
            evalsuite=VERSION,
            command=self._options.config.command,
            started=self._started,
            finished=now() if complete else None,
            limit=str(self._options.limit) if self._options.limit else None,
            checkpoint=checkpoint_record(self.checkpoint),
            settings=self._options.settings,
            environment=self._environment,
            outcomes=tuple(outcomes),
            batch_sensitivity=self._batch_sensitivity() if complete else None,
        )
        write_run(self.where.record, self._run)
        for shard in self._shards:
            shard.unlink(missing_ok=True)
        self._shards = []
        return self._run

    def _batch_sensitivity(self) -> BatchSensitivity | None:
        files = {
            score.benchmark: self.where.batch_sensitivity(score.benchmark) for score in self._scores
        }
        sizes = {score.benchmark: score.n for score in self._scores}
        return batch_sensitivity.pool(files, sizes, self._options.reruns)

    def close(self) -> None:
        """Close the journals, and let go of the samples."""
        for job in self.jobs:
            job.journal.close()
            if job.again is not None:
                job.again.close()
        self.jobs = []


def checkpoint_record(checkpoint: Checkpoint) -> CheckpointRecord:
    """Reduce `checkpoint` to what run.json keeps of it."""
    return CheckpointRecord(
        name=checkpoint.name,
        source=checkpoint.source,
        family=checkpoint.family,
        digest=checkpoint.digest,
        parameters=checkpoint.parameters,
        step=checkpoint.step,
        base=checkpoint.base,
        warnings=checkpoint.warnings,
    )
