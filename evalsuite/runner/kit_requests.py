"""Requests to the kit process for samples and scores, in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner import batch_sensitivity
from evalsuite.runner.job import Job, Piece
from evalsuite.runner.scoring import cost_of, make_score, score_samples
from evalsuite.runs.layout import RunPaths
from evalsuite.runs.records import Failure, SampleScore, Score
from evalsuite.runs.storage import write_samples
from evalsuite.sample import Sample
from evalsuite.vlmevalkit.client import Kit, KitError, SampleOutline

T = TypeVar("T")
Built = tuple[list[Sample], float]
"""Samples, and the seconds that building them took."""
Scored = tuple[Score, list[SampleScore]]


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

    def failure(self, benchmark: Benchmark, error: KitError) -> Failure:
        """The failure of `benchmark` after `error`."""
        remedy = f"see {self.kit.log}" if error.logged else "fix it and run again"
        return Failure(
            benchmark=benchmark.name, stage=error.stage, message=str(error), remedy=remedy
        )


class KitRequests:
    """One thread for samples and one for scores, so that neither waits for the other.

    The loop calls the functions `then` with the results, which may raise `KitError`.
    """

    def __init__(self, source: SampleSource, post: Callable[[Callable[[], None]], None]) -> None:
        """`post` passes a function to the loop, which calls it."""
        self._source = source
        self._post = post
        self._builder = ThreadPoolExecutor(max_workers=1)
        self._scorer = ThreadPoolExecutor(max_workers=1)

    def build(self, job: Job, piece: Piece, then: Callable[[Future[Built]], None]) -> None:
        """Build the samples of `piece`."""

        def build() -> Built:
            started = time.monotonic()
            samples = self._source.samples(job.benchmark, job.conditions.data_digest, piece.ids)
            return samples, time.monotonic() - started

        self._submit(self._builder, build, then)

    def score(self, job: Job, where: RunPaths, then: Callable[[Future[Scored]], None]) -> None:
        """Score `job`."""
        self._submit(self._scorer, lambda: self._score(job, where), then)

    def score_reruns(
        self,
        job: Job,
        where: RunPaths,
        rows: Sequence[SampleScore],
        then: Callable[[Future[None]], None],
    ) -> None:
        """Compare the reruns of `job` with its scored samples `rows`, and write the result."""
        reruns = job.reruns.predictions

        def compare() -> None:
            found = batch_sensitivity.score_reruns(
                self._source.kit, job.benchmark, rows, job.journal.predictions, reruns
            )
            batch_sensitivity.write(where.batch_sensitivity(job.name), found)

        self._submit(self._scorer, compare, then)

    def close(self) -> None:
        """Make no more requests. A running one ends with the kit process."""
        for executor in (self._builder, self._scorer):
            executor.shutdown(wait=False, cancel_futures=True)

    def _submit(
        self, thread: ThreadPoolExecutor, work: Callable[[], T], then: Callable[[Future[T]], None]
    ) -> None:
        thread.submit(work).add_done_callback(lambda done: self._post(lambda: then(done)))

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
        return score, rows
