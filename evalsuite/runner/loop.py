"""Evaluate checkpoints: predict, score and record.

One thread asks the kit process for samples, one for scores, and one listens to each worker. They
only post functions that the loop in `Evaluation.work` calls. So all state changes in one thread,
and nothing needs a lock.
"""

from __future__ import annotations

import dataclasses
import queue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from evalsuite.errors import EvalsuiteError, InterruptedRun
from evalsuite.runner import prompting
from evalsuite.runner.active_run import ActiveRun
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
    Done,
    Job,
    Piece,
    Predicting,
    Scoring,
    ScoringReruns,
    failed_prediction,
    unpredicted,
)
from evalsuite.runner.kit_requests import Built, KitRequests, SampleSource, Scored
from evalsuite.runner.prompting import PendingQuestion
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run_record import Assignment
from evalsuite.runner.scoring import without_answer
from evalsuite.runner.workers.pool import Pool, StartWorker, WorkerMessage
from evalsuite.runner.workers.ray_client import RayCluster, connect
from evalsuite.runner.workers.worker import BatchDone, Ready
from evalsuite.runs.records import Outcome, Prediction, Run, Score
from evalsuite.smolvlm.requests import QuestionId, add_seconds
from evalsuite.system.files import remove_scratch
from evalsuite.vlmevalkit.client import BrokenSample, KitError

MAX_UNANSWERED = 4096
"""Questions of a checkpoint that may wait for an answer. Limits the memory of this process."""
RERUN_CHUNK = 8
"""Reruns a worker receives at a time. Small, so that all workers have some."""
MAX_BUILDING = 2
"""Pieces requested from the kit process at a time, so that it is never idle."""


class Evaluation:
    """The evaluation of several runs, with all its processes and threads."""

    def __init__(
        self,
        assignments: Sequence[Assignment],
        options: ResolvedConfig,
        source: SampleSource,
        emit: OnEvent,
        start_worker: StartWorker,
    ) -> None:
        several = len(assignments) > 1
        self._runs = [
            ActiveRun(number, given, options, given.checkpoint.name if several else "")
            for number, given in enumerate(assignments)
        ]
        self._later = deque(self._runs)
        """Runs that are not opened yet."""
        self._opened: list[ActiveRun] = []
        self._options = options
        self._source = source
        self._emit = emit
        self._start_worker = start_worker
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._requests = KitRequests(source, self._events.put)
        self._building = 0
        """Pieces requested from the kit process."""
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
        for run in self._opened:
            run.close()

    def work(self) -> list[Run]:
        """Evaluate everything; returns the runs.

        Raises the error of a checkpoint that cannot be loaded after all others are done.
        """
        try:
            self._begin()
            while self._open_runs():
                self._build_more()
                if self._pool is not None:
                    self._pool.distribute()
                self._events.get()()
            for run in self._runs:
                if run.error is not None:
                    raise run.error
            if shard := self._options.shard:
                self._note(
                    f"shard {shard} is predicted; when all shards are, score them with --mode eval"
                )
            return [run.record.finished() for run in self._runs]
        except KeyboardInterrupt:
            config = self._options.config
            again = "the same command without --fresh" if config.fresh else "the same command"
            where = config.output_dir if len(self._runs) > 1 else self._runs[0].where.directory
            raise InterruptedRun(
                f"interrupted; every answer so far is in {where}. Run {again} again to continue"
            ) from None

    def _begin(self) -> None:
        for run in self._runs:
            run.record.check_files()
        todo = any(run.state.todo for run in self._runs)
        if todo:
            self._source.kit.start()
        if self._options.scores and todo:
            # First of all: without the judge, predictions could not be scored.
            self._source.kit.check_judge()
        asks = todo and self._options.config.mode != "eval"
        if asks and self._options.config.ray is not None:
            shared = [self._source.kit.media, self._options.config.output_dir]
            checkpoints = [run.checkpoint for run in self._runs]
            self._cluster = connect(self._options, checkpoints, shared)
        if todo:
            where = ", ".join(dict.fromkeys(self._options.devices))
            count = len(self._options.devices)
            on = where if count == 1 else f"{where} with {count} workers"
            if self._cluster is not None:
                on += " on a Ray cluster"
            self._note(f"on {on} in {self._options.dtype}; VLMEvalKit needs some seconds to start")
            if self._cluster is not None:
                log = self._options.config.output_dir / "worker-MACHINE.log"
                self._note(f"worker logs: {log}; Ray log: ray.log in the same directory")
            # Before a worker loads its checkpoint.
            self._source.kit.check_start()
        if asks:
            remote = self._cluster
            self._pool = Pool(
                [self._options.worker_settings(run.checkpoint) for run in self._runs],
                self._options.devices,
                coming=lambda run: sum(job.coming for job in self._runs[run].jobs),
                post=lambda message: self._events.put(lambda: self._on_worker_message(message)),
                note=self._note,
                loaded=self._on_loaded,
                answered=self._on_answers,
                failed=self._on_run_failed,
                start_worker=self._start_worker if remote is None else remote.start_worker,
            )

    def _open_runs(self) -> bool:
        """Close finished runs and open others for idle workers; whether any is open.

        Few are open at once, because each holds its journals and samples.
        """
        for run in list(self._opened):
            if not run.open and (self._pool is None or not self._pool.unanswered(run.number)):
                run.close()
                self._opened.remove(run)
        workers = len(self._options.devices)
        while self._later and sum(run.asking for run in self._opened) <= workers:
            run = self._later.popleft()
            self._opened.append(run)
            self._open(run)
        return any(run.open for run in self._opened)

    def _open(self, run: ActiveRun) -> None:
        if not self._options.shard:
            remove_scratch(run.where.directory)
        failures = run.open_jobs(self._source)
        if len(self._options.devices) > 1:
            # The longest job first: at the end, one worker would have it and the others nothing.
            run.jobs.sort(key=lambda job: job.weight, reverse=True)
        self._emit(RunPlanned(run.label, run.checkpoint, run.where.directory, run.plan()))
        run.write()
        for failure in failures:
            run.keep(failure)
            self._emit(BenchmarkFinished(run.label, failure))
        for job in run.jobs:
            self._advance(job)  # a shard of few samples may have nothing to predict

    def _build_more(self) -> None:
        """Keep the kit process busy, for the workers that would be idle first."""
        while self._building < MAX_BUILDING and (found := self._next_to_build()) is not None:
            job, phase = found
            piece = phase.to_build.popleft()
            phase.building += 1
            self._building += 1
            self._requests.build(job, piece, partial(self._on_samples, job, piece))

    def _next_to_build(self) -> tuple[Job, Predicting] | None:
        found: list[tuple[float, tuple[Job, Predicting]]] = []
        for run in self._opened:
            unbuilt = (
                (job, job.phase)
                for job in run.jobs
                if isinstance(job.phase, Predicting) and job.phase.to_build
            )
            if (first := next(unbuilt, None)) is None:
                continue
            if self._pool is None or not any(job.coming for job in run.jobs):
                return first  # needs no worker
            unanswered = self._pool.unanswered(run.number)
            workers = self._pool.workers(run.number)
            if workers and unanswered < MAX_UNANSWERED:
                found.append((unanswered / workers, first))
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def _on_samples(self, job: Job, piece: Piece, built: Future[Built]) -> None:
        """Ask the samples without a prediction. A broken one becomes a failed sample."""
        self._building -= 1
        try:
            samples, seconds = built.result()
        except KitError as error:
            if not job.done:
                self._settle(job, self._source.failure(job.benchmark, error))
            return
        phase = job.phase
        add_seconds(job.cost.seconds, {"build": seconds})
        if not isinstance(phase, Predicting):
            return
        phase.building -= 1
        phase.coming -= piece.unanswered
        job.samples.update((sample.id, sample) for sample in samples)
        broken = [failed_prediction(s) for s in samples if isinstance(s, BrokenSample)]
        whole = [sample for sample in samples if not isinstance(sample, BrokenSample)]
        prompts, retry = self._runs[job.run].prompts, self._pool is not None
        questions, reused = prompting.questions(job, whole, prompts, retry=retry)
        self._record(job, [*broken, *reused])
        phase.pending.update(one.sample for one in questions)
        if self._pool is not None and questions:
            job.cost.samples += len(questions)
            self._ask(self._pool, questions)
        self._advance(job)

    def _ask(self, pool: Pool, questions: Sequence[PendingQuestion]) -> None:
        run = questions[0].job.run
        self._pending.update(((run, one.question.id), one) for one in questions)
        pool.ask(run, [one.question for one in questions])

    def _on_worker_message(self, message: WorkerMessage) -> None:
        assert self._pool is not None
        self._pool.handle(message)

    def _on_loaded(self, number: int, worker: Ready) -> None:
        run = self._runs[number]
        run.record.add_worker(worker.environment)
        run.write()

    def _on_answers(self, run: int, since: float, batch: BatchDone) -> None:
        by_job: dict[tuple[str, bool], tuple[Job, list[Prediction]]] = {}
        for answer in batch.answers:
            pending = self._pending.pop((run, answer.id))
            if not pending.rerun:
                pending.job.cost.add(answer)
            key = (pending.job.name, pending.rerun)
            _, predictions = by_job.setdefault(key, (pending.job, []))
            predictions.append(prompting.prediction(answer, pending))
        for (_, rerun), (job, predictions) in by_job.items():
            if rerun:
                self._record_reruns(job, predictions)
            else:
                job.cost.add_batch(since, batch.peak_memory_bytes, batch.host_memory_bytes)
                if isinstance(job.phase, Predicting):
                    job.phase.pending.difference_update(p.id for p in predictions)
                self._record(job, predictions)
            self._advance(job)

    def _on_run_failed(self, number: int, error: EvalsuiteError) -> None:
        run = self._runs[number]
        error = type(error)(f"{run.checkpoint.source}: {error}")
        run.give_up(error)
        if self._later or any(other.open for other in self._opened):
            self._note(f"{error}; continuing with the others")

    def _record(self, job: Job, predictions: Sequence[Prediction]) -> None:
        """Write `predictions` to the journal, also those of a benchmark that has failed since."""
        if not predictions:
            return
        job.journal.append(predictions)
        if isinstance(job.phase, Predicting):
            job.phase.done += len(predictions)
            done = min(job.phase.done, len(job.choice.asked))
            self._emit(SamplesPredicted(self._runs[job.run].label, job.name, done))

    def _record_reruns(self, job: Job, predictions: Sequence[Prediction]) -> None:
        assert job.reruns.journal is not None
        job.reruns.pending.difference_update(p.id for p in predictions)
        job.reruns.journal.append(predictions)
        run = self._runs[job.run]
        self._emit(SamplesRerun(run.label, *run.reruns))

    def _advance(self, job: Job) -> None:
        match job.phase:
            case Predicting() as phase if phase.built:
                if not phase.pending:
                    self._on_predicted(job)
                elif self._pool is None:
                    self._settle(job, unpredicted(job, len(phase.pending)))
            case Scoring() as phase if not job.reruns.pending:
                if phase.score is not None or not self._options.scores:
                    self._on_scored(job, phase)

    def _on_predicted(self, job: Job) -> None:
        """Request the score, and repeat some samples at batch size 1 meanwhile."""
        run = self._runs[job.run]
        job.cost.finish()
        job.journal.finish(job.order)
        job.phase = Scoring()
        job.reruns.started = True
        if self._pool is not None:
            questions, reused = prompting.rerun_questions(job, run.prompts)
            if reused:
                self._record_reruns(job, reused)
            job.reruns.pending.update(one.sample for one in questions)
            for start in range(0, len(questions), RERUN_CHUNK):
                self._ask(self._pool, questions[start : start + RERUN_CHUNK])
        # A shard may have only samples that cannot be answered.
        if not self._options.shard and (failure := without_answer(job)) is not None:
            self._settle(job, failure)
        elif self._options.scores:
            self._emit(ScoringStarted(run.label, job.name))
            self._requests.score(job, run.where, partial(self._on_score, job))
        else:
            self._advance(job)

    def _on_score(self, job: Job, scored: Future[Scored]) -> None:
        run = self._runs[job.run]
        try:
            score, rows = scored.result()
        except KitError as error:
            self._settle(job, self._source.failure(job.benchmark, error))
            return
        run.keep(score)
        self._emit(BenchmarkFinished(run.label, score))
        if isinstance(job.phase, Scoring):
            job.phase.score, job.phase.rows = score, rows
        self._advance(job)

    def _on_scored(self, job: Job, phase: Scoring) -> None:
        """Compare the reruns with the score. Without a score nothing is left to do."""
        run = self._runs[job.run]
        if job.reruns.journal is not None:
            job.reruns.journal.finish(job.order)
        if phase.score is None:
            job.phase = Done()
        elif job.reruns.ids:
            job.phase = ScoringReruns()
            self._requests.score_reruns(
                job, run.where, phase.rows, partial(self._on_reruns, job, phase.score)
            )
        else:
            run.settle(job, dataclasses.replace(phase.score, rerun_samples=0))

    def _on_reruns(self, job: Job, score: Score, compared: Future[None]) -> None:
        try:
            compared.result()
        except KitError as error:  # the score itself is correct
            self._note(f"{job.name}: the changes at batch size 1 cannot be scored: {error}")
        scored = dataclasses.replace(score, rerun_samples=len(job.reruns.predictions))
        self._runs[job.run].settle(job, scored)

    def _settle(self, job: Job, outcome: Outcome) -> None:
        run = self._runs[job.run]
        run.settle(job, outcome)
        self._emit(BenchmarkFinished(run.label, outcome))

    def _note(self, text: str) -> None:
        self._emit(Note(text))
