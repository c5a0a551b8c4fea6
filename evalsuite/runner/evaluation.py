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
from typing import Any

from evalsuite.benchmarks import Benchmark
from evalsuite.checkpoint import Checkpoint, record
from evalsuite.errors import InterruptedRun, UsageError
from evalsuite.files import remove_scratch
from evalsuite.journal import Journal, answered
from evalsuite.results import Failure, Outcome, Prediction, Run, Score, write_run
from evalsuite.runner.environment import versions
from evalsuite.runner.job import AllBuilt, Built, Defect, Event, Job, Settled
from evalsuite.runner.local import LocalWorker, Said
from evalsuite.runner.options import Options
from evalsuite.runner.plan import Place, choose_scorable, in_data_order
from evalsuite.runner.progress import Planned, Progress
from evalsuite.runner.score import score_benchmark
from evalsuite.runner.source import SampleSource
from evalsuite.runner.state import State, header
from evalsuite.runner.work import Answered, Ready, Unfit, WorkerSettings
from evalsuite.samples import Sample, prompt_digest
from evalsuite.smolvlm import prompts
from evalsuite.smolvlm.questions import Answer, Question, add_seconds
from evalsuite.version import VERSION
from evalsuite.vlmevalkit.kit import BrokenSample, KitError

CHUNK = {"image": 128, "video": 16}
"""Samples the kit process builds in one request; requests for scores go in between. A video takes
as long to decode as many images to write."""
OUTSTANDING = 4096
"""Questions sent to the worker and not yet answered: bounds the memory of both processes."""


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
        self._style = prompts.Style(options.prompts, checkpoint.family, checkpoint.chat_template)
        self._rank = {b.name: i for i, b in enumerate(benchmarks)}
        previous = state.previous
        redone = {b.name for b in state.todo}
        kept = previous.outcomes if previous else ()
        self._outcomes: dict[str, Outcome] = {
            o.benchmark: o for o in kept if o.benchmark not in redone
        }
        self._before = {s.benchmark: s for s in previous.scores} if previous else {}
        self._started = previous.started if previous else now()
        self._environment: dict[str, Any] = {**(previous.environment if previous else {})}
        self._environment.update(versions())

        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._hungry = threading.Event()
        self._hungry.set()
        self._stopping = False
        self._scorer = ThreadPoolExecutor(max_workers=1)
        self._worker: LocalWorker | None = None
        self._idle_since = time.monotonic()
        """When the worker last finished a batch, or could have begun its first."""
        self._asked: dict[str, tuple[Job, str]] = {}
        """Job and prompt digest of every question without an answer, by the question's id."""
        self._jobs: list[Job] = []
        self._open: set[str] = set()
        """Benchmarks still at work."""

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._hungry.set()
        if self._worker is not None:
            self._worker.close()
        self._scorer.shutdown(wait=False, cancel_futures=True)
        for job in self._jobs:
            job.journal.close()

    def work(self) -> Run:
        """Do all there is to do; returns the run."""
        try:
            remove_scratch(self._where.directory)
            if self._state.todo:
                self._begin()
            else:  # killed between the last score and the finished record
                self._progress.planned(
                    self._checkpoint, self._where.directory, self._state.standing
                )
            while self._open:
                self._handle(self._events.get())
            return self._write_run(finished=all(name in self._outcomes for name in self._rank))
        except KeyboardInterrupt:
            again = (
                "the same command without --fresh" if self._options.fresh else "the same command"
            )
            raise InterruptedRun(
                f"interrupted; every answer so far is in {self._where.directory}. "
                f"Run {again} again to continue"
            ) from None

    def _begin(self) -> None:
        if self._options.mode != "infer":
            # Before anything is spent on what it could then not score.
            self._source.kit.check_judge()
        device, dtype = self._options.device, self._options.dtype
        self._progress.note(f"on {device} in {dtype}; VLMEvalKit takes some seconds to start")
        self._source.kit.warm()
        if self._options.mode != "eval":
            self._worker = self._hired()
        opened = [self._open_job(benchmark) for benchmark in self._state.todo]
        self._jobs = [job for job in opened if isinstance(job, Job)]
        plan = [Planned(j.benchmark, len(j.chosen), j.done) for j in self._jobs]
        plan = [*self._state.standing, *plan]
        self._progress.planned(self._checkpoint, self._where.directory, plan)
        self._open = {job.benchmark.name for job in self._jobs}
        self._write_run(finished=False)
        for failure in opened:
            if isinstance(failure, Failure):
                self._settle(failure)
        threading.Thread(target=self._feed, daemon=True).start()

    def _hired(self) -> LocalWorker:
        settings = WorkerSettings(
            directory=self._checkpoint.path,
            base=self._checkpoint.base_path,
            processor=self._checkpoint.processor_path,
            device=self._options.device,
            dtype=self._options.dtype,
            batch_size=self._options.batch_size,
            longest_edge=self._options.longest_edge,
            log=(self._options.output / "worker.log").absolute(),
        )
        return LocalWorker(settings, self._events.put, self._progress.note)

    def _open_job(self, benchmark: Benchmark) -> Job | Failure:
        digest = self._digests[benchmark.name]
        try:
            outline = self._source.outline(benchmark, digest)
        except KitError as error:
            return self._failure(benchmark, error)
        choice = choose_scorable(
            benchmark, outline, self._options.limit, all_parts=self._options.mode == "infer"
        )
        chosen = choice.asked
        if not chosen:
            return Failure(
                benchmark=benchmark.name,
                stage="score",
                message=f"only a judge can score the {choice.left_out} samples chosen",
                remedy="name one with --judge, or raise --limit",
            )
        journal = Journal(self._where.journal(benchmark.name), header(benchmark, digest))
        # With --mode eval, --fresh means scoring afresh.
        if self._options.fresh and self._options.mode != "eval":
            journal.forget(chosen)
        return Job(
            benchmark=benchmark,
            digest=digest,
            chosen=chosen,
            order=in_data_order(outline, chosen),
            left_out=choice.left_out,
            journal=journal,
            before=self._before.get(benchmark.name),
            done=sum(answered(journal.predictions, id_) for id_ in chosen),
        )

    # Threads: these only post events.

    def _feed(self) -> None:
        try:
            for job in self._jobs:
                try:
                    for ids in _chunks(job.chosen, CHUNK[job.benchmark.modality]):
                        self._hungry.wait()
                        if self._stopping:
                            return
                        started = time.monotonic()
                        samples = self._source.samples(job.benchmark, job.digest, ids)
                        self._events.put(Built(job, samples, time.monotonic() - started))
                    self._events.put(AllBuilt(job))
                except KitError as error:
                    self._events.put(Settled(self._failure(job.benchmark, error)))
        except BaseException as error:  # noqa: BLE001 - a thread's defect must reach the main one
            self._events.put(Defect(error))

    def _score(self, job: Job) -> None:
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
            score = dataclasses.replace(score, profile=self._options.prompts, unscored=job.left_out)
            seconds = {"score": round(time.monotonic() - started, 3)}
            self._events.put(Settled(_with_figures(score, job, seconds)))
        except KitError as error:
            self._events.put(Settled(self._failure(job.benchmark, error)))
        except BaseException as error:  # noqa: BLE001 - a thread's defect must reach the main one
            self._events.put(Defect(error))

    def _failure(self, benchmark: Benchmark, error: KitError) -> Failure:
        log = self._source.kit.log
        remedy = f"{log} has the whole story" if error.logged else "mend that and run again"
        return Failure(
            benchmark=benchmark.name, stage=error.stage, message=str(error), remedy=remedy
        )

    # The loop: everything below runs in the main thread.

    def _handle(self, event: Event) -> None:
        match event:
            case Built(job, samples, seconds):
                add_seconds(job.spent, {"build": seconds})
                self._take_in(job, samples)
            case AllBuilt(job):
                job.built = True
                self._move_on(job)
            case Said():
                self._hear(event)
            case Settled(outcome):
                self._settle(outcome)
            case Defect(error):
                raise error

    def _take_in(self, job: Job, samples: Iterable[Sample | BrokenSample]) -> None:
        """Ask what has no prediction yet; what cannot be asked is a failed sample."""
        questions, broken = [], []
        for sample in samples:
            job.samples[sample.id] = sample
            if isinstance(sample, BrokenSample):
                broken.append(_failed_prediction(sample))
                continue
            wanted = job.benchmark.prompt_of(sample.part)
            prompt = prompts.build(wanted, sample.messages, self._style)
            digest = prompt_digest(prompt.text, prompt.media)
            known = job.journal.predictions
            if answered(known, sample.id) and known[sample.id].prompt_digest == digest:
                continue
            job.pending.add(sample.id)
            question = Question(
                f"{job.benchmark.name}\t{sample.id}", prompt, job.benchmark.max_new_tokens
            )
            self._asked[question.id] = (job, digest)
            questions.append(question)
        self._write_down(job, broken)
        if self._worker is None:
            self._asked.clear()
        elif questions:
            job.asked += len(questions)
            if not self._worker.owed:
                self._idle_since = time.monotonic()
            self._worker.ask(questions)
        self._mind_the_backlog()

    def _mind_the_backlog(self) -> None:
        if len(self._asked) < OUTSTANDING:
            self._hungry.set()
        else:
            self._hungry.clear()

    def _hear(self, said: Said) -> None:
        assert self._worker is not None
        match self._worker.hear(said):
            case Ready(environment):
                self._environment.update(environment)
                self._idle_since = time.monotonic()
                self._write_run(finished=False)
            case Unfit(reason):
                raise UsageError(f"{self._checkpoint.source}: cannot be loaded: {reason}")
            case answers:
                message = said.message
                self._keep(
                    answers, message if isinstance(message, Answered) else Answered((), None)
                )

    def _keep(self, answers: Sequence[Answer], said: Answered) -> None:
        by_job: dict[str, tuple[Job, list[Prediction]]] = {}
        for answer in answers:
            job, digest = self._asked.pop(answer.id)
            _charge(job, answer)
            _, predictions = by_job.setdefault(job.benchmark.name, (job, []))
            predictions.append(_prediction(answer, digest))
        for job, predictions in by_job.values():
            job.began = job.began or self._idle_since
            job.peak_memory_bytes = said.peak_memory_bytes or job.peak_memory_bytes
            job.host_memory_bytes = said.host_memory_bytes or job.host_memory_bytes
            job.pending.difference_update(p.id for p in predictions)
            self._write_down(job, predictions)
            self._move_on(job)
        if answers:
            self._idle_since = time.monotonic()
        self._mind_the_backlog()

    def _write_down(self, job: Job, predictions: Sequence[Prediction]) -> None:
        if not predictions:
            return
        job.journal.append(predictions)
        job.done += len(predictions)
        # A benchmark that failed in the meantime keeps its answers, and no longer has a display.
        if job.benchmark.name in self._open:
            self._progress.advanced(job.benchmark.name, min(job.done, len(job.chosen)))

    def _move_on(self, job: Job) -> None:
        """Once every sample has its prediction: score, or stop there."""
        name = job.benchmark.name
        if not job.built or name not in self._open:
            return
        if self._worker is None and job.pending:
            self._settle(
                Failure(
                    benchmark=name,
                    stage="predict",
                    message=f"{len(job.pending)} of {len(job.chosen)} samples have no prediction",
                    remedy="run with --mode all or infer first",
                )
            )
        elif not job.pending:
            if job.began is not None:
                job.seconds = time.monotonic() - job.began
            job.journal.finish(job.order)
            if self._options.mode == "infer":
                self._open.discard(name)
            else:
                self._progress.scoring(name)
                self._scorer.submit(self._score, job)

    def _settle(self, outcome: Outcome) -> None:
        self._outcomes[outcome.benchmark] = outcome
        self._open.discard(outcome.benchmark)
        self._progress.finished(outcome)
        self._write_run(finished=False)

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


def _prediction(answer: Answer, digest: str) -> Prediction:
    return Prediction(
        id=answer.id.partition("\t")[2],
        prompt_digest=digest,
        text=answer.text,
        tokens=answer.tokens,
        ended=answer.ended,
        error=answer.error,
    )


def _failed_prediction(sample: BrokenSample) -> Prediction:
    return Prediction(
        id=sample.id, prompt_digest="", text="", tokens=0, ended="error", error=sample.reason
    )


def _charge(job: Job, answer: Answer) -> None:
    """Add what `answer` cost to its job's figures."""
    cost = answer.cost
    add_seconds(job.spent, cost.seconds)
    counted = {
        "prompt": cost.prompt_tokens,
        "read": cost.read_tokens,
        "generated": answer.tokens,
        "tiles": cost.tiles,
    }
    for kind, count in counted.items():
        job.tokens[kind] = job.tokens.get(kind, 0) + count


def _with_figures(score: Score, job: Job, seconds: Mapping[str, float]) -> Score:
    """`score` with what it took; predicting figures are an earlier session's if none was done."""
    if job.seconds is not None:
        figures: dict[str, Any] = {
            "seconds": {"predict": round(job.seconds, 3), **_rounded(job.spent), **seconds},
            "samples_per_second": round(job.asked / job.seconds, 3),
            "tokens": job.tokens,
            "peak_memory_bytes": job.peak_memory_bytes,
            "host_memory_bytes": job.host_memory_bytes,
        }
    elif job.before is not None:
        figures = {
            "seconds": {**job.before.seconds, **seconds},
            "samples_per_second": job.before.samples_per_second,
            "tokens": job.before.tokens,
            "peak_memory_bytes": job.before.peak_memory_bytes,
            "host_memory_bytes": job.before.host_memory_bytes,
        }
    else:
        figures = {"seconds": seconds}
    return dataclasses.replace(score, data_digest=job.digest, **figures)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(spent, 3) for stage, spent in seconds.items()}


def _chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
