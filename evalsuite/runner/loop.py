"""Checkpoints at work: predict, score, record.

One thread asks the kit process for samples, one for scores, and one listens to each worker; they
only post events. The state of a run changes in one place, the loop in `Evaluation.work`, so there
is nothing to lock.
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections import deque
from collections.abc import Sequence

from evalsuite.errors import EvalsuiteError, InterruptedRun
from evalsuite.runner import prompting
from evalsuite.runner.events import (
    BenchmarkFinished,
    Note,
    OnEvent,
    RunPlanned,
    SamplesPredicted,
    SamplesRerun,
    ScoringStarted,
)
from evalsuite.runner.job import (
    Built,
    Defect,
    Event,
    Job,
    LookedAgain,
    Scored,
    Unbuilt,
    Unscored,
    failed_prediction,
)
from evalsuite.runner.kit_requests import Requests
from evalsuite.runner.prompting import PendingQuestion
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run_record import Assignment, Ledger
from evalsuite.runner.scoring import without_answer
from evalsuite.runner.source import SampleSource
from evalsuite.runner.workers.pool import Pool, RunAnswers, RunFailed, RunLoaded
from evalsuite.runner.workers.ray_client import RayCluster
from evalsuite.runner.workers.slot import StartWorker, WorkerMessage
from evalsuite.runs.records import Failure, Outcome, Prediction, Run
from evalsuite.sample import Sample
from evalsuite.smolvlm.requests import QuestionId, add_seconds
from evalsuite.system.files import remove_scratch
from evalsuite.vlmevalkit.client import BrokenSample

OUTSTANDING = 4096
"""Questions of a checkpoint that may wait for an answer: bounds the memory of this process."""
ALONE = 8
"""Questions to be asked alone that a worker takes at a time, so that all workers have some."""
REQUESTS = 2
"""To the kit process at a time: it finds the next when it is done with one."""


class Evaluation:
    """Runs at work, and all their processes and threads."""

    def __init__(
        self,
        assignments: Sequence[Assignment],
        options: ResolvedConfig,
        source: SampleSource,
        emit: OnEvent,
        start_worker: StartWorker,
    ) -> None:
        several = len(assignments) > 1
        self._ledgers = [
            Ledger(number, given, options, given.checkpoint.name if several else "")
            for number, given in enumerate(assignments)
        ]
        self._later = deque(self._ledgers)
        """Not yet begun."""
        self._at_work: list[Ledger] = []
        self._options = options
        self._source = source
        self._emit = emit
        self._start_worker = start_worker
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._requests = Requests(source, self._events.put)
        self._pool: Pool | None = None
        self._cluster: RayCluster | None = None
        self._pending: dict[tuple[int, QuestionId], PendingQuestion] = {}
        """Every question without an answer, by run and question."""

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()
        if self._cluster is not None:
            self._cluster.close()
        self._requests.close()
        for ledger in self._at_work:
            ledger.close()

    def work(self) -> list[Run]:
        """Do all there is to do; returns the runs.

        Raises what is wrong with a checkpoint once all others are done.
        """
        try:
            self._begin()
            while self._take_turns():
                self._build_more()
                if self._pool is not None:
                    self._pool.distribute()
                self._handle(self._events.get())
            for ledger in self._ledgers:
                if ledger.error is not None:
                    raise ledger.error
            if shard := self._options.shard:
                self._note(f"part {shard} is predicted; once all are, --mode eval scores them")
            return [ledger.finished() for ledger in self._ledgers]
        except KeyboardInterrupt:
            again = (
                "the same command without --fresh"
                if self._options.config.fresh
                else "the same command"
            )
            several = len(self._ledgers) > 1
            where = self._options.config.output_dir if several else self._ledgers[0].where.directory
            raise InterruptedRun(
                f"interrupted; every answer so far is in {where}. Run {again} again to continue"
            ) from None

    def _begin(self) -> None:
        todo = any(ledger.state.todo for ledger in self._ledgers)
        if todo:
            self._source.kit.start()
        if self._options.scores and todo:
            # Before anything is spent on what it could then not score.
            self._source.kit.check_judge()
        asks = todo and self._options.config.mode != "eval"
        if asks and self._options.config.ray is not None:
            self._cluster = self._connect(self._options.config.ray)
        if todo:
            where = ", ".join(dict.fromkeys(self._options.devices))
            count = len(self._options.devices)
            on = where if count == 1 else f"{where} with {count} workers"
            if self._cluster is not None:
                on += " on a Ray cluster"
            self._note(f"on {on} in {self._options.dtype}; VLMEvalKit takes some seconds to start")
            if self._cluster is not None:
                log = self._options.config.output_dir / "worker-MACHINE.log"
                self._note(f"workers log to {log}, Ray to ray.log beside it")
            # Before a worker loads its checkpoint.
            self._source.kit.check_start()
        if asks:
            remote = self._cluster
            self._pool = Pool(
                [self._options.worker_settings(ledger.checkpoint) for ledger in self._ledgers],
                self._options.devices,
                coming=lambda run: sum(job.coming for job in self._ledgers[run].jobs),
                post=self._events.put,
                note=self._note,
                start_worker=self._start_worker if remote is None else remote.start_worker,
            )

    def _connect(self, address: str) -> RayCluster:
        """Connect to a cluster whose machines see all files that workers need."""
        output = self._options.config.output_dir
        cluster = RayCluster(address, output / "ray.log", self._options.patience_seconds)
        try:
            checkpoints = [ledger.checkpoint for ledger in self._ledgers]
            shared = [self._source.kit.media, output]
            cluster.check_shared(self._options.device, checkpoints, shared)
        except BaseException:
            cluster.close()
            raise
        return cluster

    def _take_turns(self) -> bool:
        """Close runs that are done, open others for workers to turn to; whether any is at work.

        Only so many are open at once, as each holds its journals and samples.
        """
        for ledger in list(self._at_work):
            if not ledger.open and (self._pool is None or not self._pool.unanswered(ledger.number)):
                ledger.close()
                self._at_work.remove(ledger)
        while self._later and sum(ledger.asking for ledger in self._at_work) <= len(
            self._options.devices
        ):
            ledger = self._later.popleft()
            self._at_work.append(ledger)
            self._open(ledger)
        return any(ledger.open for ledger in self._at_work)

    def _open(self, ledger: Ledger) -> None:
        """Find out what there is to do, and say it."""
        if not self._options.shard:
            remove_scratch(ledger.where.directory)
        failed = ledger.open_jobs(self._source)
        if len(self._options.devices) > 1:
            # What takes longest must not begin last, when one worker has it and others nothing.
            ledger.jobs.sort(key=lambda job: job.weight, reverse=True)
        self._emit(
            RunPlanned(ledger.label, ledger.checkpoint, ledger.where.directory, ledger.plan())
        )
        ledger.write()
        for benchmark, why in failed:
            failure = why if isinstance(why, Failure) else self._requests.failure(benchmark, why)
            self._settle(ledger, failure)
        for job in ledger.jobs:
            self._move_on(job)  # there may be nothing to ask: of few samples a shard may have none

    def _build_more(self) -> None:
        """Keep the kit process at work, for the workers who will first have nothing to do."""
        jobs = [job for ledger in self._at_work for job in ledger.jobs]
        under_way = sum(job.building for job in jobs)
        while under_way < REQUESTS and (job := self._next_to_build()) is not None:
            job.building += 1
            under_way += 1
            self._requests.build(job, job.to_build.popleft())

    def _next_to_build(self) -> Job | None:
        found: list[tuple[float, Job]] = []
        for ledger in self._at_work:
            job = next((job for job in ledger.jobs if job.to_build), None)
            if job is None:
                continue
            if self._pool is None or not any(job.coming for job in ledger.jobs):
                return job  # nobody need wait for a worker
            unanswered, workers = (
                self._pool.unanswered(ledger.number),
                self._pool.workers(ledger.number),
            )
            if workers and unanswered < OUTSTANDING:
                found.append((unanswered / workers, job))
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def _handle(self, event: Event) -> None:
        match event:
            case Built(job, piece, samples, seconds):
                job.building -= 1
                add_seconds(job.spent, {"build": seconds})
                if job.benchmark.name in self._ledgers[job.run].open:
                    job.coming -= piece.unanswered
                    self._take_in(job, samples)
                    self._move_on(job)
            case Unbuilt(job, failure):
                job.building -= 1
                if job.benchmark.name in self._ledgers[job.run].open:
                    job.stop()
                    self._settle(self._ledgers[job.run], failure)
            case Scored(job, score, rows):
                job.score, job.rows = score, rows
                self._ledgers[job.run].keep(score)
                self._emit(BenchmarkFinished(self._ledgers[job.run].label, score))
                self._move_on(job)
            case Unscored(job, failure):
                self._settle(self._ledgers[job.run], failure)
            case LookedAgain(job, asked_again, remark):
                if remark:
                    self._note(remark)
                assert job.score is not None
                score = dataclasses.replace(job.score, rerun_samples=asked_again)
                self._ledgers[job.run].settle(score)
            case WorkerMessage():
                self._hear(event)
            case Defect(error):
                raise error

    def _take_in(self, job: Job, samples: Sequence[Sample | BrokenSample]) -> None:
        """Ask what has no prediction yet; what cannot be asked is a failed sample."""
        job.samples.update((sample.id, sample) for sample in samples)
        broken = [failed_prediction(s) for s in samples if isinstance(s, BrokenSample)]
        self._write_down(job, broken)
        whole = [sample for sample in samples if isinstance(sample, Sample)]
        asked = list(prompting.ask(job, whole, self._ledgers[job.run].prompts))
        job.pending.update(one.sample for one in asked)
        if self._pool is not None and asked:
            job.asked += len(asked)
            self._ask(self._pool, asked)

    def _ask_again(self, job: Job) -> None:
        """Ask some of what was answered once more, alone, after all that is in line already."""
        job.asked_again = True
        if self._pool is None:
            return
        asked = list(prompting.ask_again(job, self._ledgers[job.run].prompts))
        job.pending_again.update(one.sample for one in asked)
        for start in range(0, len(asked), ALONE):
            self._ask(self._pool, asked[start : start + ALONE])

    def _ask(self, pool: Pool, pending: Sequence[PendingQuestion]) -> None:
        run = pending[0].job.run
        self._pending.update(((run, one.question.id), one) for one in pending)
        pool.ask(run, [one.question for one in pending])

    def _hear(self, message: WorkerMessage) -> None:
        assert self._pool is not None
        for event in self._pool.handle(message):
            match event:
                case RunLoaded(run, environment):
                    self._ledgers[run].loaded(environment)
                case RunAnswers():
                    self._keep(event)
                case RunFailed(run, error):
                    self._lose(self._ledgers[run], error)

    def _keep(self, given: RunAnswers) -> None:
        by_job: dict[tuple[str, bool], tuple[Job, list[Prediction]]] = {}
        for answer in given.batch.answers:
            pending = self._pending.pop((given.run, answer.id))
            if not pending.rerun:
                pending.job.charge(answer)
            name = pending.job.benchmark.name
            _, predictions = by_job.setdefault((name, pending.rerun), (pending.job, []))
            predictions.append(prompting.prediction(answer, pending))
        for (_, rerun), (job, predictions) in by_job.items():
            if rerun:
                assert job.again is not None
                job.pending_again.difference_update(p.id for p in predictions)
                job.again.append(predictions)
                ledger = self._ledgers[given.run]
                done, total = ledger.again
                self._emit(SamplesRerun(ledger.label, done, total))
            else:
                job.began = min(job.began or given.since, given.since)
                job.measured(given.batch.peak_memory_bytes, given.batch.host_memory_bytes)
                job.pending.difference_update(p.id for p in predictions)
                self._write_down(job, predictions)
            self._move_on(job)

    def _lose(self, ledger: Ledger, error: EvalsuiteError) -> None:
        """Do without a checkpoint that cannot be loaded."""
        error = type(error)(f"{ledger.checkpoint.source}: {error}")
        ledger.give_up(error)
        if self._later or any(other.open for other in self._at_work):
            self._note(f"{error}; going on with the others")

    def _write_down(self, job: Job, predictions: Sequence[Prediction]) -> None:
        if not predictions:
            return
        job.journal.append(predictions)
        job.done += len(predictions)
        # A benchmark that failed in the meantime keeps its answers, and no longer has a display.
        ledger, name = self._ledgers[job.run], job.benchmark.name
        if name in ledger.open:
            self._emit(SamplesPredicted(ledger.label, name, min(job.done, len(job.chosen))))

    def _move_on(self, job: Job) -> None:
        """Score once every sample has its prediction; end once those asked again have theirs."""
        ledger, name = self._ledgers[job.run], job.benchmark.name
        if not job.built or name not in ledger.open:
            return
        if job.pending:
            if self._pool is None:
                self._settle(ledger, _unpredicted(job))
        elif not job.asked_again:
            self._all_predicted(job)
        elif not job.pending_again and (job.score is not None or not self._options.scores):
            self._end(job)

    def _all_predicted(self, job: Job) -> None:
        """Have a score made, while some samples are asked again."""
        ledger, name = self._ledgers[job.run], job.benchmark.name
        if job.began is not None:
            job.seconds = time.monotonic() - job.began
        job.journal.finish(job.order)
        self._ask_again(job)
        # A shard may have none of those that could be answered.
        if not self._options.shard and (failure := without_answer(job)) is not None:
            self._settle(ledger, failure)
        elif self._options.scores:
            self._emit(ScoringStarted(ledger.label, name))
            self._requests.score(job, ledger.where)
        else:
            self._move_on(job)

    def _end(self, job: Job) -> None:
        """Leave a benchmark of which nothing more is to come."""
        ledger = self._ledgers[job.run]
        if job.again is not None:
            job.again.finish(job.order)
        if job.score is None:
            ledger.open.discard(job.benchmark.name)
        elif job.wanted_again:
            self._requests.look_again(job, ledger.where)
        else:
            ledger.settle(dataclasses.replace(job.score, rerun_samples=0))

    def _settle(self, ledger: Ledger, outcome: Outcome) -> None:
        ledger.settle(outcome)
        self._emit(BenchmarkFinished(ledger.label, outcome))

    def _note(self, text: str) -> None:
        self._emit(Note(text))


def _unpredicted(job: Job) -> Failure:
    return Failure(
        benchmark=job.benchmark.name,
        stage="predict",
        message=f"{len(job.pending)} of {len(job.chosen)} samples have no prediction",
        remedy="run with --mode all or infer first, and every --shard there is",
    )
