"""Requests to the kit process for samples and scores. Threads post the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner import batch_sensitivity
from evalsuite.runner.job import Job, Piece
from evalsuite.runner.scoring import cost_of, make_score, score_samples
from evalsuite.runs.layout import RunPaths
from evalsuite.runs.records import Failure, SampleScore, Score
from evalsuite.runs.storage import write_samples
from evalsuite.sample import Sample
from evalsuite.vlmevalkit.client import Kit, KitError, SampleOutline


class SampleSource:
    """Outlines and samples of the kit process. Each is built once for all checkpoints."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._outlines: dict[tuple[str, str], list[SampleOutline]] = {}
        self._samples: dict[tuple[str, str], dict[str, Sample]] = {}

    def outline(self, benchmark: Benchmark, digest: str) -> list[SampleOutline]:
        """Ids and clusters of all samples of the data with this digest. Raises `KitError`."""
        key = (benchmark.name, digest)
        if key not in self._outlines:
            self._outlines[key] = self.kit.outline(benchmark)
        return self._outlines[key]

    def samples(self, benchmark: Benchmark, digest: str, ids: Sequence[str]) -> list[Sample]:
        """The samples with these ids. Raises `KitError`."""
        built = self._samples.setdefault((benchmark.name, digest), {})
        missing = [id_ for id_ in ids if id_ not in built]
        if missing:
            built.update((s.id, s) for s in self.kit.samples(benchmark, missing))
        return [built[id_] for id_ in ids]


@dataclass(frozen=True, slots=True)
class SamplesBuilt:
    """A piece of a job is built."""

    job: Job
    piece: Piece
    samples: list[Sample]
    seconds: float
    """Building time."""


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The samples of a job cannot be built."""

    job: Job
    failure: Failure


@dataclass(frozen=True, slots=True)
class Scored:
    """A job has its score."""

    job: Job
    score: Score
    rows: list[SampleScore]
    """The scored samples."""


@dataclass(frozen=True, slots=True)
class ScoringFailed:
    """A job cannot be scored."""

    job: Job
    failure: Failure


@dataclass(frozen=True, slots=True)
class RerunsScored:
    """The reruns of a scored job are written to disk."""

    job: Job
    score: Score
    reruns: int
    problem: str = ""
    """Why they are not."""


@dataclass(frozen=True, slots=True)
class ThreadFailed:
    """A thread ended by an unexpected exception."""

    error: BaseException


KitEvent = SamplesBuilt | BuildFailed | Scored | ScoringFailed | RerunsScored | ThreadFailed


class KitRequests:
    """One thread for samples and one for scores, so that neither waits for the other."""

    def __init__(self, source: SampleSource, post: Callable[[KitEvent], None]) -> None:
        self._source = source
        self._post = post
        self._builder = ThreadPoolExecutor(max_workers=1)
        self._scorer = ThreadPoolExecutor(max_workers=1)

    def build(self, job: Job, piece: Piece) -> None:
        """Build the samples of `piece`; posts `SamplesBuilt` or `BuildFailed`."""
        self._builder.submit(
            self._run,
            lambda: self._build(job, piece),
            lambda error: BuildFailed(job, self.failure(job.benchmark, error)),
        )

    def score(self, job: Job, where: RunPaths) -> None:
        """Score `job`; posts `Scored` or `ScoringFailed`."""
        self._scorer.submit(
            self._run,
            lambda: self._score(job, where),
            lambda error: ScoringFailed(job, self.failure(job.benchmark, error)),
        )

    def score_reruns(
        self, job: Job, where: RunPaths, score: Score, rows: Sequence[SampleScore]
    ) -> None:
        """Compare the reruns of `job` with its scored samples `rows`; posts `RerunsScored`."""
        reruns = job.reruns.predictions

        def compare() -> RerunsScored:
            found = batch_sensitivity.score_reruns(
                self._source.kit, job.benchmark, rows, job.journal.predictions, reruns
            )
            batch_sensitivity.write(where.batch_sensitivity(job.name), found)
            return RerunsScored(job, score, len(reruns))

        problem = f"{job.name}: the changes at batch size 1 cannot be scored"
        self._scorer.submit(
            self._run,
            compare,
            # The score itself is correct.
            lambda error: RerunsScored(job, score, len(reruns), f"{problem}: {error}"),
        )

    def failure(self, benchmark: Benchmark, error: KitError) -> Failure:
        """The failure of `benchmark` after `error`."""
        remedy = f"see {self._source.kit.log}" if error.logged else "fix it and run again"
        return Failure(
            benchmark=benchmark.name, stage=error.stage, message=str(error), remedy=remedy
        )

    def close(self) -> None:
        """Make no more requests. A running one ends with the kit process."""
        for executor in (self._builder, self._scorer):
            executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], KitEvent], on_error: Callable[[KitError], KitEvent]) -> None:
        try:
            self._post(work())
        except KitError as error:
            self._post(on_error(error))
        except BaseException as error:  # noqa: BLE001 - every error must reach the main thread
            self._post(ThreadFailed(error))

    def _build(self, job: Job, piece: Piece) -> SamplesBuilt:
        started = time.monotonic()
        samples = self._source.samples(job.benchmark, job.conditions.data_digest, piece.ids)
        return SamplesBuilt(job, piece, samples, time.monotonic() - started)

    def _score(self, job: Job, where: RunPaths) -> Scored:
        started = time.monotonic()
        scored, rows = score_samples(
            self._source.kit,
            job.benchmark,
            [job.samples[id_] for id_ in job.order],
            job.journal.predictions,
            where.evidence(job.name),
        )
        write_samples(where.samples(job.name), rows)
        where.batch_sensitivity(job.name).unlink(missing_ok=True)  # of an earlier score
        cost = cost_of(job.cost, job.before, time.monotonic() - started)
        score = make_score(
            job.benchmark, job.conditions, scored, rows, unscored=job.choice.left_out, cost=cost
        )
        return Scored(job, score, rows)
