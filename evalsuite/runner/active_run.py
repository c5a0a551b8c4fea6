"""A run that is being worked on: its jobs and its record."""

from __future__ import annotations

from collections import deque

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.errors import EvalsuiteError
from evalsuite.runner import batch_sensitivity
from evalsuite.runner.events import BenchmarkPlan
from evalsuite.runner.job import Done, Job, Piece, Predicting, Reruns
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.runner.plan import choose_scorable, cut
from evalsuite.runner.prompting import PromptBuilder
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run_record import Assignment, RunRecord, header
from evalsuite.runs.journal import Journal, answered
from evalsuite.runs.layout import RERUN
from evalsuite.runs.records import Failure, Outcome
from evalsuite.system.text import counted
from evalsuite.vlmevalkit.client import KitError

PIECE_SIZE = {"image": 64, "video": 16}
"""Samples that one request builds and a worker receives at a time, by modality. Decoding a video
takes as long as writing several images. Requests for scores are handled between pieces."""
MAX_PIECES = 4
"""Samples of one image or video are split if they are more than this number of pieces."""
PIECES_PER_WORKER = 4
"""Minimum for each benchmark if there are several workers."""


class ActiveRun:
    """The jobs and the record of one run."""

    def __init__(
        self, number: int, assignment: Assignment, options: ResolvedConfig, label: str = ""
    ) -> None:
        self.number = number
        self.label = label
        """Names the run in events; empty if it is the only one."""
        self.checkpoint = assignment.checkpoint
        self.where = assignment.where
        self.state = assignment.state
        self.record = RunRecord(assignment, options)
        self.jobs: list[Job] = []
        self.error: EvalsuiteError | None = None
        """Why the checkpoint cannot be loaded."""
        self.prompts = PromptBuilder.of(self.checkpoint, options.config)
        self._options = options
        self._conditions = assignment.conditions

    @property
    def open(self) -> bool:
        """Whether a benchmark has no outcome yet."""
        return any(not job.done for job in self.jobs)

    @property
    def asking(self) -> bool:
        """Whether samples are left to ask, or answers to arrive."""
        return any(job.asking for job in self.jobs)

    @property
    def reruns(self) -> tuple[int, int]:
        """Samples repeated so far, and samples to repeat."""
        started = [job.reruns for job in self.jobs if job.reruns.started]
        total = sum(len(reruns.ids) for reruns in started)
        return total - sum(len(reruns.pending) for reruns in started), total

    def open_jobs(self, source: SampleSource) -> list[Failure]:
        """Open a job for each benchmark that is left; returns the failures."""
        failed: list[Failure] = []
        for benchmark in self.state.todo:
            try:
                job = self._open_job(benchmark, source)
            except KitError as error:
                job = source.failure(benchmark, error)
            if isinstance(job, Job):
                self.jobs.append(job)
            else:
                failed.append(job)
        self._choose_reruns()
        return failed

    def plan(self) -> list[BenchmarkPlan]:
        """What is left to do for each benchmark, before the first prediction."""
        plans = list(self.state.standing)
        for job in self.jobs:
            assert isinstance(job.phase, Predicting)
            plans.append(BenchmarkPlan(job.benchmark, len(job.choice.asked), job.phase.done))
        return plans

    def write(self) -> None:
        """Write run.json."""
        self.record.write(complete=not self.open)

    def keep(self, outcome: Outcome) -> None:
        """Record an outcome."""
        self.record.set(outcome)
        self.write()

    def settle(self, job: Job, outcome: Outcome) -> None:
        """Record the last outcome of `job`."""
        job.phase = Done()
        self.keep(outcome)

    def give_up(self, error: EvalsuiteError) -> None:
        """Stop all jobs. Their answers are kept."""
        self.error = error
        for job in self.jobs:
            job.phase = Done()

    def close(self) -> None:
        """Close the journals and release the samples."""
        for job in self.jobs:
            job.close()
        self.jobs = []

    def _open_job(self, benchmark: Benchmark, source: SampleSource) -> Job | Failure:
        conditions, options = self._conditions[benchmark.name], self._options
        outline = source.outline(benchmark, conditions.data_digest)
        choice = choose_scorable(benchmark, outline, options)
        chosen = choice.asked
        if not chosen and options.shard is None:
            return Failure(
                benchmark=benchmark.name,
                stage="score",
                message=f"only a judge can score the {counted(choice.left_out, 'sample')} chosen",
                remedy="name one with --judge, or raise --limit",
            )
        place = self.where.journal(benchmark.name), header(benchmark, conditions), self.where.part
        journal = Journal(*place)
        reruns = Reruns(Journal(*place, name=RERUN) if options.reruns else None)
        # With --mode eval, --fresh only scores again.
        if options.config.fresh and options.config.mode != "eval":
            journal.forget(chosen)
            if reruns.journal is not None:
                reruns.journal.forget(chosen)
        missing = {id_ for id_ in chosen if not answered(journal.predictions, id_)}
        mine = set(chosen)
        size = self._piece_size(benchmark, len(missing))
        most = MAX_PIECES * PIECE_SIZE[benchmark.modality]
        pieces = [
            Piece(ids, sum(id_ in missing for id_ in ids))
            for ids in cut(outline, chosen, size, most)
        ]
        return Job(
            run=self.number,
            benchmark=benchmark,
            conditions=conditions,
            choice=choice,
            order=[one.id for one in outline if one.id in mine],
            journal=journal,
            reruns=reruns,
            phase=Predicting(deque(pieces), coming=len(missing), done=len(chosen) - len(missing)),
            before=self.record.before.get(benchmark.name),
        )

    def _piece_size(self, benchmark: Benchmark, missing: int) -> int:
        """Samples of a piece, small enough that each worker gets several pieces."""
        workers = len(self._options.devices)
        most = PIECE_SIZE[benchmark.modality]
        if workers == 1:
            return most
        return min(most, -(-missing // (PIECES_PER_WORKER * workers)) or 1)

    def _choose_reruns(self) -> None:
        sizes = {job.name: len(job.choice.whole) for job in self.jobs}
        kept = {s.benchmark: s.n for s in self.record.scores if s.benchmark not in sizes}
        share = batch_sensitivity.shares({**kept, **sizes}, self._options.reruns)
        for job in self.jobs:
            mine = set(job.choice.asked)
            picked = batch_sensitivity.pick(job.choice.whole, share[job.name])
            job.reruns.ids = [id_ for id_ in picked if id_ in mine]
