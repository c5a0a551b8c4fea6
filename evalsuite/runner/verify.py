"""Compare this engine with VLMEvalKit's own model class and loop: ``evalsuite verify``.

Both use the same checkpoint, data, device and dtype. They run one after the other in separate
processes and share no cache.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint.processor import read_processor
from evalsuite.errors import IncompleteError
from evalsuite.runner.config import RunConfig
from evalsuite.runner.events import Event, Note, OnEvent, RunPlanned, SamplesPredicted
from evalsuite.runner.session import Prepared, evaluate_prepared, prepare
from evalsuite.runs.records import Prediction, SampleScore
from evalsuite.runs.storage import read_samples
from evalsuite.system.scratch import scratch_directory
from evalsuite.vlmevalkit.client import Kit
from evalsuite.vlmevalkit.reference import ReferenceResult, ReferenceTask, run_reference


@dataclass(frozen=True, slots=True)
class Difference:
    """A sample with different predictions."""

    id: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkAgreement:
    """The comparison of one benchmark."""

    benchmark: str
    n: int
    differences: tuple[Difference, ...]
    score: float | None
    """None if there is no sample to compare."""
    their_score: float | None
    """Score of VLMEvalKit's predictions, computed in the same way."""
    stopped: str | None = None
    """The error that ended VLMEvalKit's loop before its last sample."""

    @property
    def same(self) -> int:
        """Samples with the same prediction."""
        return self.n - len(self.differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The comparison of all benchmarks."""

    checkpoint: str
    device: str
    dtype: str
    benchmarks: tuple[BenchmarkAgreement, ...]
    seconds: float
    """Time of this engine from the first sample to the last prediction. It includes the part of
    loading the model that takes longer than reading the data."""
    their_seconds: float
    """Time of VLMEvalKit from the first sample to the last prediction of each benchmark, without
    loading model and data."""

    @property
    def n(self) -> int:
        """Number of samples."""
        return sum(compared.n for compared in self.benchmarks)

    @property
    def identical(self) -> bool:
        """Whether all predictions that both made are the same."""
        return all(not compared.differences for compared in self.benchmarks)

    @property
    def complete(self) -> bool:
        """Whether every benchmark has samples to compare."""
        return all(compared.n for compared in self.benchmarks)


def verify(config: RunConfig, emit: OnEvent) -> Verification:
    """Evaluate the checkpoint and benchmarks of `config` with both implementations.

    Raises the errors of `evalsuite.runner.session.run_all`, and `IncompleteError` if one fails.
    """
    config = dataclasses.replace(
        # VLMEvalKit's loop is one process and repeats nothing.
        config,
        prompts="vlmevalkit",
        mode="all",
        fresh=False,
        workers="1",
        shard=None,
        noise=0,
    )
    with scratch_directory() as root:
        prepared = prepare(dataclasses.replace(config, output_dir=root / "results"), emit)
        (checkpoint,) = prepared.checkpoints
        times: list[float] = []

        def watch(event: Event) -> None:
            if isinstance(event, RunPlanned | SamplesPredicted):
                times.append(time.monotonic())
            emit(event)

        (run,) = evaluate_prepared(prepared, watch, media=root / "media")
        if run.failures:
            failed = "; ".join(f"{f.benchmark}: {f.message}" for f in run.failures)
            raise IncompleteError(f"nothing to compare: {failed}")
        where = prepared.paths(checkpoint)
        ours = {b.name: read_samples(where.samples(b.name)) for b in prepared.benchmarks}
        emit(Note("running VLMEvalKit's own class and loop, one sample at a time"))
        theirs = {r.benchmark: r for r in _run_reference(prepared, ours, root / "theirs")}
        with Kit(work=root / "kit", media=root / "media", log=root / "kit.log") as kit:
            compared = tuple(
                _compare(kit, b, ours[b.name], theirs[b.name], root) for b in prepared.benchmarks
            )
    return Verification(
        checkpoint=checkpoint.name,
        device=prepared.options.device,
        dtype=prepared.options.dtype,
        benchmarks=compared,
        seconds=times[-1] - times[0],
        their_seconds=sum(reference.seconds for reference in theirs.values()),
    )


def _run_reference(
    prepared: Prepared, ours: dict[str, list[SampleScore]], work: Path
) -> Iterator[ReferenceResult]:
    (checkpoint,) = prepared.checkpoints
    if checkpoint.processor_path != checkpoint.tokenizer_path:
        # VLMEvalKit reads all files from one directory.
        processor = work.with_name("processor")
        processor.mkdir(parents=True)
        files = read_processor(checkpoint.processor_path, checkpoint.tokenizer_path).files
        for name, path in {path.name: path for path in reversed(files)}.items():
            (processor / name).symlink_to(path.absolute())
        checkpoint = dataclasses.replace(checkpoint, processor_path=processor)
    return run_reference(
        ReferenceTask(
            checkpoint=checkpoint,
            device=prepared.options.device,
            dtype=prepared.options.dtype,
            benchmarks=tuple(prepared.benchmarks),
            # A sample with unreadable media fails here, but would end VLMEvalKit's loop.
            ids={
                name: tuple(row.id for row in rows if row.ended != "error")
                for name, rows in ours.items()
            },
            work=work,
        )
    )


def _compare(
    kit: Kit, benchmark: Benchmark, ours: Sequence[SampleScore], theirs: ReferenceResult, root: Path
) -> BenchmarkAgreement:
    answered = [row for row in ours if row.ended != "error" and row.id in theirs.predictions]
    ids = [row.id for row in answered]
    # That VLMEvalKit cannot score its predictions (MathVista without a judge) does not matter.
    ended = theirs.error if theirs.error and not theirs.error.startswith("evaluate:") else None

    def score(texts: Mapping[str, str]) -> float | None:
        made = {
            id_: Prediction(id=id_, prompt_digest="", text=text, tokens=0, ended="stop")
            for id_, text in texts.items()
        }
        return kit.score(benchmark, ids, made, root / "evidence").score if made else None

    return BenchmarkAgreement(
        benchmark=benchmark.name,
        n=len(ids),
        differences=tuple(
            Difference(row.id, row.prediction, theirs.predictions[row.id])
            for row in answered
            if row.prediction != theirs.predictions[row.id]
        ),
        score=score({row.id: row.prediction for row in answered}),
        their_score=score({id_: theirs.predictions[id_] for id_ in ids}),
        stopped=ended,
    )
