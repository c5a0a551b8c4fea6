"""Requests to the VLMEvalKit process, each in a thread that posts the result as an event."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner import batch_sensitivity
from evalsuite.runner.job import (
    Built,
    Defect,
    Event,
    Job,
    LookedAgain,
    Piece,
    Scored,
    Unbuilt,
    Unscored,
)
from evalsuite.runner.scoring import cost_of, make_score, score_samples
from evalsuite.runner.source import SampleSource
from evalsuite.runs.layout import RunPaths
from evalsuite.runs.records import Failure, Prediction
from evalsuite.runs.storage import write_samples
from evalsuite.vlmevalkit.client import KitError


class Requests:
    """Requests for samples and for scores, in one thread each."""

    def __init__(self, source: SampleSource, post: Callable[[Event], None]) -> None:
        self._source = source
        self._post = post
        self._builder = ThreadPoolExecutor(max_workers=1)
        self._scorer = ThreadPoolExecutor(max_workers=1)

    def build(self, job: Job, piece: Piece) -> None:
        """Build the samples of `piece`; posts `Built` or `Unbuilt`."""
        self._builder.submit(
            self._do,
            lambda: self._built(job, piece),
            lambda error: Unbuilt(job, self.failure(job.benchmark, error)),
        )

    def score(self, job: Job, where: RunPaths) -> None:
        """Score `job`; posts `Scored` or `Unscored`."""
        self._scorer.submit(
            self._do,
            lambda: self._scored(job, where),
            lambda error: Unscored(job, self.failure(job.benchmark, error)),
        )

    def look_again(self, job: Job, where: RunPaths) -> None:
        """Compare the reruns of `job` with its predictions; posts `LookedAgain`."""
        again = _again(job)
        remark = f"{job.benchmark.name}: the reruns at batch size 1 cannot be scored"
        self._scorer.submit(
            self._do,
            lambda: self._looked_again(job, where, again),
            # The score itself is not affected.
            lambda error: LookedAgain(job, len(again), f"{remark}: {error}"),
        )

    def failure(self, benchmark: Benchmark, error: KitError) -> Failure:
        """The failure of `benchmark` for an error of the VLMEvalKit process."""
        log = self._source.kit.log
        remedy = f"see {log}" if error.logged else "fix it and run again"
        return Failure(
            benchmark=benchmark.name, stage=error.stage, message=str(error), remedy=remedy
        )

    def close(self) -> None:
        """Cancel waiting requests; running ones end with the VLMEvalKit process."""
        for executor in (self._builder, self._scorer):
            executor.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Callable[[], Event], failed: Callable[[KitError], Event]) -> None:
        try:
            self._post(work())
        except KitError as error:
            self._post(failed(error))
        except BaseException as error:  # noqa: BLE001 - an error of a thread must reach the main thread
            self._post(Defect(error))

    def _built(self, job: Job, piece: Piece) -> Built:
        started = time.monotonic()
        samples = self._source.samples(job.benchmark, job.conditions.data_digest, piece.ids)
        return Built(job, piece, samples, time.monotonic() - started)

    def _scored(self, job: Job, where: RunPaths) -> Scored:
        started = time.monotonic()
        name = job.benchmark.name
        scored, rows = score_samples(
            self._source.kit,
            job.benchmark,
            [job.samples[id_] for id_ in job.order],
            job.journal.predictions,
            where.evidence(name),
        )
        write_samples(where.samples(name), rows)
        where.batch_sensitivity(name).unlink(missing_ok=True)  # that of an earlier score
        cost = cost_of(job, time.monotonic() - started)
        score = make_score(
            job.benchmark, job.conditions, scored, rows, unscored=job.left_out, cost=cost
        )
        return Scored(job, score, rows)

    def _looked_again(
        self, job: Job, where: RunPaths, again: Mapping[str, Prediction]
    ) -> LookedAgain:
        found = batch_sensitivity.score_reruns(
            self._source.kit, job.benchmark, job.rows, job.journal.predictions, again
        )
        batch_sensitivity.write(where.batch_sensitivity(job.benchmark.name), found)
        return LookedAgain(job, len(again))


def _again(job: Job) -> dict[str, Prediction]:
    """The predictions of reruns at batch size 1."""
    known = {} if job.again is None else job.again.predictions
    return {id_: known[id_] for id_ in job.wanted_again if id_ in known}
