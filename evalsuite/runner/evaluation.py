"""One checkpoint at work: predict, score, record.

One thread feeds samples from the kit process to the worker, one listens to the worker, one waits
for scores; they only post events. The state of a run changes in one place, the loop in
`Evaluation.work`, so there is nothing to lock.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from evalsuite.benchmarks import Benchmark
from evalsuite.checkpoint import Checkpoint, record
from evalsuite.errors import IncompleteError, InterruptedRun, UsageError
from evalsuite.journal import Journal, answered
from evalsuite.journal import remove as forget_predictions
from evalsuite.process import ChildDied
from evalsuite.results import Failure, Outcome, Prediction, Run, Score, write_run
from evalsuite.runner.options import Options
from evalsuite.runner.plan import Place, choose
from evalsuite.runner.progress import Planned, Progress
from evalsuite.runner.score import score_benchmark
from evalsuite.runner.source import SampleSource
from evalsuite.runner.state import State, header
from evalsuite.runner.work import Answered, Ready, Unfit, Worker, WorkerSettings
from evalsuite.samples import Sample, prompt_digest
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.questions import Answer, Question
from evalsuite.version import VERSION
from evalsuite.vlmevalkit.kit import BrokenSample, KitError

CHUNK = 128
"""Samples the kit process builds in one request; requests for scores go in between."""
OUTSTANDING = 4096
"""Questions sent to the worker and not yet answered: bounds the memory of both processes."""
DEATHS = 3
"""A worker that dies this often with no answer in between is not started again."""


@dataclass(slots=True, kw_only=True)
class _Job:
    """The state of one benchmark's work."""

    benchmark: Benchmark
    digest: str
    chosen: list[str]
    """In the order they are asked: those of one cluster side by side."""
    order: list[str]
    """The same in data order."""
    journal: Journal
    samples: dict[str, Sample | BrokenSample] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    built: bool = False
    asked: int = 0
    began: float | None = None
    """When the worker turned to it: monotonic seconds."""
    done: int = 0
    """Samples of this run that have a prediction, for the progress display."""
    seconds: dict[str, float] = field(default_factory=dict)
    rate: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Built:
    job: _Job
    samples: list[Sample | BrokenSample]


@dataclass(frozen=True, slots=True)
class _AllBuilt:
    job: _Job


@dataclass(frozen=True, slots=True)
class _Failed:
    job: _Job
    failure: Failure


@dataclass(frozen=True, slots=True)
class _Scored:
    job: _Job
    score: Score


@dataclass(frozen=True, slots=True)
class _WorkerSaid:
    worker: Worker
    message: Ready | Unfit | Answered | ChildDied


@dataclass(frozen=True, slots=True)
class _Defect:
    error: BaseException


_Event = _Built | _AllBuilt | _Failed | _Scored | _WorkerSaid | _Defect


class Evaluation:
    """One checkpoint at work, and all its processes and threads."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        benchmarks: Sequence[Benchmark],
        digests: Mapping[str, str],
        options: Options,
        source: SampleSource,
        progress: Progress,
        where: Place,
        state: State,
    ) -> None:
        self._checkpoint = checkpoint
        self._digests = digests
        self._options = options
        self._source = source
        self._progress = progress
        self._where = where
        self._state = state
        self._rank = {b.name: i for i, b in enumerate(benchmarks)}
        previous = state.previous
        redone = {b.name for b in state.todo}
        kept = previous.outcomes if previous else ()
        self._outcomes: dict[str, Outcome] = {
            o.benchmark: o for o in kept if o.benchmark not in redone
        }
        self._started = previous.started if previous else now()
        self._environment: Mapping[str, Any] = previous.environment if previous else {}

        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._hungry = threading.Event()
        self._hungry.set()
        self._stopping = False
        self._scorer = ThreadPoolExecutor(max_workers=1)
        self._worker: Worker | None = None
        self._deaths = 0
        self._idle_since: float | None = None
        """When the worker last finished a batch, or could have begun its first."""
        self._asked: dict[str, tuple[_Job, Question, str]] = {}
        self._jobs: list[_Job] = []
        self._open: set[str] = set()

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._hungry.set()
        if self._worker is not None:
            self._worker.kill()
        self._scorer.shutdown(wait=False, cancel_futures=True)
        for job in self._jobs:
            job.journal.close()

    def work(self) -> Run:
        """Do all there is to do; returns the finished run."""
        try:
            device, dtype = self._options.device, self._options.dtype
            self._progress.note(f"on {device} in {dtype}; VLMEvalKit takes some seconds to start")
            self._source.kit.warm()
            if self._options.mode != "eval":
                self._start_worker()
            opened = [self._open_job(benchmark) for benchmark in self._state.todo]
            self._jobs = [job for job in opened if isinstance(job, _Job)]
            plan = [Planned(j.benchmark, len(j.chosen), j.done) for j in self._jobs]
            plan = [*self._state.standing, *plan]
            self._progress.planned(self._checkpoint, self._where.directory, plan)
            self._open = {job.benchmark.name for job in self._jobs}
            self._write_run(finished=False)
            for failure in opened:
                if isinstance(failure, Failure):
                    self._settle(failure)
            threading.Thread(target=self._feed, daemon=True).start()
            while self._open:
                self._handle(self._events.get())
        except KeyboardInterrupt:
            raise InterruptedRun(
                f"interrupted; every answer so far is in {self._where.directory}. "
                "Run the same command again to continue"
            ) from None
        return self._write_run(finished=True)

    def _open_job(self, benchmark: Benchmark) -> _Job | Failure:
        digest = self._digests[benchmark.name]
        directory = self._where.journal(benchmark.name)
        try:
            outline = self._source.outline(benchmark, digest)
        except KitError as error:
            return self._failure(benchmark, "data", error)
        if self._options.fresh:
            forget_predictions(directory)
        chosen = choose(outline, self._options.limit)
        wanted = set(chosen)
        journal = Journal(directory, header(benchmark, digest))
        return _Job(
            benchmark=benchmark,
            digest=digest,
            chosen=chosen,
            order=[o.id for o in outline if o.id in wanted],
            journal=journal,
            done=sum(answered(journal.predictions, id_) for id_ in chosen),
        )

    # Threads: these only post events.

    def _feed(self) -> None:
        try:
            for job in self._jobs:
                try:
                    for ids in _chunks(job.chosen, CHUNK):
                        self._hungry.wait()
                        if self._stopping:
                            return
                        samples = self._source.samples(job.benchmark, job.digest, ids)
                        self._events.put(_Built(job, samples))
                    self._events.put(_AllBuilt(job))
                except KitError as error:
                    self._events.put(_Failed(job, self._failure(job.benchmark, "data", error)))
        except BaseException as error:  # noqa: BLE001 - a thread's defect must reach the main one
            self._events.put(_Defect(error))

    def _listen(self, worker: Worker) -> None:
        try:
            while True:
                self._events.put(_WorkerSaid(worker, worker.receive()))
        except ChildDied as error:
            self._events.put(_WorkerSaid(worker, error))
        except BaseException as error:  # noqa: BLE001 - a thread's defect must reach the main one
            self._events.put(_Defect(error))

    def _score(self, job: _Job) -> None:
        try:
            started = time.monotonic()
            score = score_benchmark(
                self._source.kit,
                job.benchmark,
                [job.samples[id_] for id_ in job.order],
                job.journal.predictions,
                self._where.evidence(job.benchmark.name),
                self._where.samples(job.benchmark.name),
            )
            score = dataclasses.replace(
                score,
                data_digest=job.digest,
                seconds={**job.seconds, "score": round(time.monotonic() - started, 3)},
                samples_per_second=job.rate,
                peak_memory_bytes=job.peak_memory_bytes,
            )
            self._events.put(_Scored(job, score))
        except KitError as error:
            self._events.put(_Failed(job, self._failure(job.benchmark, "score", error)))
        except BaseException as error:  # noqa: BLE001 - a thread's defect must reach the main one
            self._events.put(_Defect(error))

    # The loop: everything below runs in the main thread.

    def _handle(self, event: _Event) -> None:
        match event:
            case _Built(job, samples):
                self._take_in(job, samples)
            case _AllBuilt(job):
                job.built = True
                self._move_on(job)
            case _WorkerSaid(worker, message) if worker is self._worker:
                self._hear(message)
            case _WorkerSaid():
                pass  # the last words of a worker that was replaced
            case _Failed(job, failure):
                self._settle(failure)
            case _Scored(job, score):
                self._settle(score)
            case _Defect(error):
                raise error

    def _take_in(self, job: _Job, samples: Iterable[Sample | BrokenSample]) -> None:
        """Ask what has no prediction yet; what cannot be asked is a failed sample."""
        questions, broken = [], []
        for sample in samples:
            job.samples[sample.id] = sample
            if isinstance(sample, BrokenSample):
                broken.append(Prediction(id=sample.id, prompt_digest="", text="", tokens=0,
                                         ended="error", error=sample.reason))  # fmt: skip
                continue
            prompt = prompts.build(job.benchmark.prompt, sample.messages)
            digest = prompt_digest(prompt.text, prompt.media)
            known = job.journal.predictions
            if answered(known, sample.id) and known[sample.id].prompt_digest == digest:
                continue
            key = f"{job.benchmark.name}\t{sample.id}"
            question = Question(key, prompt, job.benchmark.max_new_tokens)
            self._asked[key] = (job, question, digest)
            job.pending.add(sample.id)
            questions.append(question)
        if broken:
            job.journal.append(broken)
            job.done += len(broken)
            self._progress.advanced(job.benchmark.name, job.done)
        if self._options.mode == "eval":
            for question in questions:
                del self._asked[question.id]
        elif questions:
            job.asked += len(questions)
            self._idle_since = self._idle_since or time.monotonic()
            if self._worker is not None:
                self._send(questions)
        self._mind_the_backlog()

    def _send(self, questions: Sequence[Question]) -> None:
        try:
            assert self._worker is not None
            self._worker.ask(questions)
        except ChildDied:
            pass  # the listener reports it, and what was asked is asked again

    def _mind_the_backlog(self) -> None:
        if len(self._asked) < OUTSTANDING:
            self._hungry.set()
        else:
            self._hungry.clear()

    def _hear(self, message: Ready | Unfit | Answered | ChildDied) -> None:
        match message:
            case Ready(environment):
                self._environment = environment
                self._idle_since = time.monotonic() if self._asked else None
                self._write_run(finished=False)
            case Unfit(reason):
                raise UsageError(f"{self._checkpoint.source}: cannot be loaded: {reason}")
            case Answered(answers, peak_memory_bytes):
                self._deaths = 0
                self._keep(answers, peak_memory_bytes)
            case ChildDied():
                self._deaths += 1
                if self._deaths >= DEATHS:
                    log = self._options.output / "worker.log"
                    raise IncompleteError(
                        f"the worker on {self._options.device} {message} {DEATHS} times in a row; "
                        f"{log} has its last words. Every answer so far is kept"
                    )
                self._progress.note(f"the worker {message}; starting another")
                self._start_worker()
                self._send([question for _, question, _ in self._asked.values()])

    def _keep(self, answers: Sequence[Answer], peak_memory_bytes: int | None) -> None:
        by_job: dict[str, tuple[_Job, list[Prediction]]] = {}
        for answer in answers:
            job, question, digest = self._asked.pop(answer.id)
            id_ = question.id.partition("\t")[2]
            by_job.setdefault(job.benchmark.name, (job, []))[1].append(
                Prediction(
                    id=id_,
                    prompt_digest=digest,
                    text=answer.text,
                    tokens=answer.tokens,
                    ended=answer.ended,
                    error=answer.error,
                )
            )
        for job, predictions in by_job.values():
            job.began = job.began or self._idle_since
            job.journal.append(predictions)
            job.pending.difference_update(p.id for p in predictions)
            job.done += len(predictions)
            job.peak_memory_bytes = peak_memory_bytes
            self._progress.advanced(job.benchmark.name, job.done)
            self._move_on(job)
        self._idle_since = time.monotonic()
        self._mind_the_backlog()

    def _move_on(self, job: _Job) -> None:
        """Once every sample has its prediction: score, or stop there."""
        if not job.built:
            return
        if self._options.mode == "eval" and job.pending:
            self._settle(Failure(
                benchmark=job.benchmark.name,
                stage="predict",
                message=f"{len(job.pending)} of {len(job.chosen)} samples have no prediction",
                remedy="run with --mode all or infer first",
            ))  # fmt: skip
            return
        if job.pending:
            return
        if job.began is not None:
            elapsed = time.monotonic() - job.began
            job.seconds["predict"] = round(elapsed, 3)
            job.rate = round(job.asked / elapsed, 3)
        job.journal.finish(job.order)
        if self._options.mode == "infer":
            self._open.discard(job.benchmark.name)
            return
        self._progress.scoring(job.benchmark.name)
        self._scorer.submit(self._score, job)

    def _settle(self, outcome: Outcome) -> None:
        self._outcomes[outcome.benchmark] = outcome
        self._open.discard(outcome.benchmark)
        self._progress.finished(outcome)
        self._write_run(finished=False)

    def _failure(
        self, benchmark: Benchmark, stage: Literal["data", "score"], error: KitError
    ) -> Failure:
        return Failure(
            benchmark=benchmark.name,
            stage=stage,
            message=str(error),
            remedy=f"{self._source.kit.log} has the whole story",
        )

    def _start_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
        worker = Worker(
            WorkerSettings(
                directory=self._checkpoint.path,
                processor=self._checkpoint.processor_path,
                device=self._options.device,
                dtype=self._options.dtype,
                batch_size=self._options.batch_size,
                longest_edge=self._options.longest_edge,
                log=(self._options.output / "worker.log").absolute(),
            )
        )
        self._worker = worker
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def _write_run(self, *, finished: bool) -> Run:
        last = len(self._rank)
        outcomes = sorted(self._outcomes.values(), key=lambda o: self._rank.get(o.benchmark, last))
        run = Run(
            evalsuite=VERSION,
            command=self._options.command,
            started=self._started,
            finished=now() if finished else None,
            limit=str(self._options.limit) if self._options.limit else None,
            checkpoint=record(self._checkpoint),
            settings=self._options.settings,
            environment=self._environment,
            outcomes=tuple(outcomes),
        )
        write_run(self._where.run_json, run)
        return run


def now() -> str:
    """The time in UTC, as run.json writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
