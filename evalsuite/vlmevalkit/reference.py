"""Run VLMEvalKit's own ``SmolVLM`` classes and inference loops, for comparison.

Runs in its own process with an unmodified VLMEvalKit: no workaround is applied, and datasets and
everything between a row of data and a prediction are VLMEvalKit's. These settings are changed:

* A LoRA adapter, which its classes cannot load, is first merged into its base by PEFT and saved.
* Device (its constructors use ``cuda``), precision (float32), resolution (chosen from the path's
  spelling), token limit (2,048 for every question), and greedy decoding (the older class uses the
  checkpoint's generation config) are set by the task.
* Data location: its ``prepare_dataset`` uses the Hub cache or downloads, and downloads a table
  again if its MD5 differs from the published one.
* MLVU and TempCompass are made instantiable, see `workarounds.allow_concat_datasets`.
* Parts that only a judge can score are left out of ``evaluate``, which would call OpenAI.
* Frames are never split into tiles, and at most 64 are shown. VLMEvalKit does the same where its
  class has a video prompt. Without one (WorldSense, and any video under ``SmolVLM``) it would show
  all frames of an hour at full size, unless another video came before.
"""

from __future__ import annotations

import dataclasses
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.system import variables
from evalsuite.system.process import Child, serve, write_to
from evalsuite.system.text import one_line
from evalsuite.vlmevalkit import unpatched
from evalsuite.vlmevalkit.client import ENVIRONMENT
from evalsuite.vlmevalkit.unpatched import ProcessorInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTask:
    """What to run through VLMEvalKit's loop."""

    checkpoint: Checkpoint
    device: str = "cpu"
    dtype: str = "float32"
    benchmarks: tuple[Benchmark, ...]
    """With ``data`` set."""
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sample ids by benchmark; all samples if a benchmark is missing."""
    pixels: bool = False
    """Also hash the pixels shown. The time counts as VLMEvalKit's."""
    work: Path
    """A new directory for all of VLMEvalKit's files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceResult:
    """VLMEvalKit's result for one benchmark."""

    benchmark: str
    predictions: dict[str, str]
    """By sample id in data order; incomplete after an error."""
    asked: dict[str, ProcessorInput]
    """Processor inputs by sample id."""
    result: Any
    """Result of ``evaluate``, or None."""
    error: str | None
    """``load:``, ``predict:`` or ``evaluate:`` and the exception, or None."""
    seconds: float
    """From the first sample to the last prediction, without loading model and data."""
    first_prediction_seconds: float
    """From process start to this benchmark's first prediction."""
    peak_memory_bytes: int
    """Peak memory allocated on the CUDA device, or peak resident memory of the process."""


def run_reference(task: ReferenceTask) -> Iterator[ReferenceResult]:
    """Run VLMEvalKit's loop in a child process; yields each benchmark when it is done.

    Raises `ChildDied`. The child's output is in the file ``log`` of the work directory.
    """
    task = _absolute(task)
    task.work.mkdir(parents=True)
    child = Child(
        "evalsuite.vlmevalkit.reference",
        _environment(),
        inherited=variables.for_scoring(devices=True),
    )
    try:
        child.send(task)
        for _ in task.benchmarks:
            reference: ReferenceResult = child.receive()
            yield reference
    finally:
        child.kill()


def _absolute(task: ReferenceTask) -> ReferenceTask:
    """Return the task with absolute paths, since the child changes its directory."""
    benchmarks = (
        dataclasses.replace(b, data=str(Path(b.data or "").absolute())) for b in task.benchmarks
    )
    paths = {
        name: path.absolute()
        for name in ("path", "base_path", "processor_path")
        if (path := getattr(task.checkpoint, name)) is not None
    }
    return dataclasses.replace(
        task,
        checkpoint=dataclasses.replace(task.checkpoint, **paths),
        benchmarks=tuple(benchmarks),
        work=task.work.absolute(),
    )


def _environment() -> dict[str, str]:
    return {
        **ENVIRONMENT,
        # Some rules call a judge unasked; this address has none.
        "OPENAI_API_BASE": "http://127.0.0.1:9/none",
        "OPENAI_API_KEY": "",
        # The same as in our workers, for a fair comparison.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }


# Functions of the child process


def _run(
    task: ReferenceTask, loaded: Any, benchmark: Benchmark, process_started: float
) -> ReferenceResult:
    """Run one benchmark; an exception of VLMEvalKit becomes the result's `error`."""
    from evalsuite.smolvlm import memory

    texts: list[str] = []
    asked: list[ProcessorInput] = []
    ids: list[str] = []
    first: list[float] = []
    stage, error, result, seconds = "load", None, None, 0.0
    try:
        dataset = unpatched.dataset(benchmark, Path("LMUData", benchmark.name).absolute())
        if benchmark.name in task.ids:
            chosen = set(task.ids[benchmark.name])
            dataset.data = dataset.data[[str(id) in chosen for id in dataset.data["index"]]].copy()
        ids += map(str, dataset.data["index"])
        model = unpatched.model(loaded, task.checkpoint, benchmark, asked, pixels=task.pixels)
        generate = model.generate_inner

        def recorded(*arguments: Any, **given: Any) -> Any:
            texts.append(generate(*arguments, **given))
            if not first:
                first.append(time.time() - process_started)
            return texts[-1]

        # Recorded here, because VLMEvalKit's file turns the answer 061 into 61.
        model.generate_inner = recorded
        stage, started = "predict", time.monotonic()
        file = _infer(model, benchmark, dataset)
        seconds = time.monotonic() - started
        stage = "evaluate"
        result = _evaluate(benchmark, dataset, file)
    except Exception as raised:  # noqa: BLE001 - a failure of VLMEvalKit is a result
        traceback.print_exc()
        error = f"{stage}: {one_line(raised, with_type=True)}"
    return ReferenceResult(
        benchmark=benchmark.name,
        predictions=dict(zip(ids, texts, strict=False)),
        asked=dict(zip(ids, asked, strict=False)),
        result=result,
        error=error,
        seconds=seconds,
        first_prediction_seconds=first[0] if first else 0.0,
        peak_memory_bytes=memory.peak_bytes(loaded.device),
    )


def _infer(model: Any, benchmark: Benchmark, dataset: Any) -> str:
    from vlmeval.inference import infer_data_job
    from vlmeval.inference_video import infer_data_job_video
    from vlmeval.smp import get_pred_file_path

    # Relative names, because VLMEvalKit replaces the dataset key anywhere in a path.
    name = f"reference-{benchmark.name}"
    file = str(get_pred_file_path(".", name, benchmark.dataset, use_env_format=True))
    if benchmark.modality == "image":
        infer_data_job(model, work_dir=".", model_name=name, dataset=dataset)
    else:
        infer_data_job_video(
            model, work_dir=".", model_name=name, dataset=dataset, result_file=file
        )
    return file


def _evaluate(benchmark: Benchmark, dataset: Any, file: str) -> Any:
    if benchmark.judged_parts:
        dataset.datasets = [p for p in dataset.datasets if p not in benchmark.judged_parts]
    # Do not wait for a judge that does not exist.
    return dataset.evaluate(file, model="exact_matching", nproc=1, retry=1, wait=0)


def main() -> None:
    """Entry point of the child: runs one task."""
    process_started = time.time()
    connection = serve()
    task: ReferenceTask = connection.recv()
    write_to(task.work / "log")
    os.chdir(task.work)
    # VLMEvalKit replaces a missing data folder by its default.
    Path("LMUData").mkdir()
    os.environ["LMUData"] = str(Path("LMUData").absolute())
    weights, base = task.checkpoint.path, task.checkpoint.base_path
    if base is not None:
        weights = unpatched.merged(weights, base, Path("merged").absolute())
    loaded = unpatched.weights(weights, task.checkpoint.family, task.dtype, task.device)
    for benchmark in task.benchmarks:
        connection.send(_run(task, loaded, benchmark, process_started))


if __name__ == "__main__":
    # Import by name, so that the pickled result is not a class of `__main__`.
    from evalsuite.vlmevalkit import reference

    reference.main()
