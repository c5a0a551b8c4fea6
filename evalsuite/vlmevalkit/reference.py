"""The other road: VLMEvalKit's own ``SmolVLM`` classes and inference loops, for comparison.

Runs in a process of its own, with VLMEvalKit as it comes: no mend is applied, the datasets are
VLMEvalKit's, and so is every line between a row of data and a prediction. What is set, and why:

* an adapter, which its classes cannot load, is merged into its base by PEFT and saved first;
* the device (its constructors say ``cuda``), the precision (they say float32), the resolution (it
  goes by the path's spelling), the token limit (2,048, whatever the question), and greedy answers
  (the older class leaves them to the checkpoint's generation config);
* where data lie: its own ``prepare_dataset`` finds them in the Hub's cache or downloads them, and a
  table whose MD5 is not the published one is downloaded anew;
* MLVU and TempCompass can be built (`mends.sets_of_datasets_can_be_built` says why they cannot);
* parts that only a judge can score are left out of ``evaluate``, which calls OpenAI for them;
* frames are never cut into tiles, and at most 64 are shown. VLMEvalKit does the same wherever its
  class has a prompt for videos. Where it has none (WorldSense, and any video under ``SmolVLM``)
  all frames of an hour would be shown at full size, unless another video came before.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.system.process import Child, serve, write_to
from evalsuite.vlmevalkit import unpatched
from evalsuite.vlmevalkit.unpatched import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What to run through VLMEvalKit's loop."""

    checkpoint: Path
    base: Path | None = None
    """What `checkpoint`, if it is an adapter, is merged into, by PEFT."""
    processor: Path | None = None
    """Where the processor's files are, if not beside the weights."""
    family: str = "smolvlm"
    tile_size: int
    device: str = "cpu"
    dtype: str = "float32"
    benchmarks: tuple[Benchmark, ...]
    """With ``data`` located."""
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The samples to ask, by benchmark; of one that is not here, all."""
    pixels: bool = False
    """Also digest the pixels shown. It takes time, which then counts as VLMEvalKit's."""
    work: Path
    """A fresh directory for everything VLMEvalKit writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What VLMEvalKit made of one benchmark."""

    benchmark: str
    predictions: dict[str, str]
    """By sample id, in the order of the data; up to the one that raised, if any did."""
    asked: dict[str, Asked]
    """By sample id."""
    result: Any
    """What ``evaluate`` returned, or None."""
    error: str | None
    """Why there is no result: ``load:``, ``predict:`` or ``evaluate:``, and what was raised."""
    seconds: float
    """From the first sample to the last prediction: loading model and data not counted."""
    first_prediction_seconds: float
    """From the start of the process to the first prediction of this benchmark."""
    peak_memory_bytes: int
    """Most memory allocated on the CUDA device, or most resident memory of the process."""


def run_reference(assignment: Assignment) -> Iterator[Reference]:
    """Run VLMEvalKit's loop in a child process; yields each benchmark when it is done.

    Raises `ChildDied`; what the child printed is in the file ``log`` of the work directory.
    """
    assignment = _absolute(assignment)
    assignment.work.mkdir(parents=True)
    child = Child("evalsuite.vlmevalkit.reference", _environment())
    try:
        child.send(assignment)
        for _ in assignment.benchmarks:
            reference: Reference = child.receive()
            yield reference
    finally:
        child.kill()


def _absolute(assignment: Assignment) -> Assignment:
    """The same with absolute paths: the child works in a directory of its own."""
    benchmarks = [
        dataclasses.replace(b, data=str(Path(b.data or "").absolute()))
        for b in assignment.benchmarks
    ]
    return dataclasses.replace(
        assignment,
        checkpoint=assignment.checkpoint.absolute(),
        base=assignment.base and assignment.base.absolute(),
        processor=assignment.processor and assignment.processor.absolute(),
        benchmarks=tuple(benchmarks),
        work=assignment.work.absolute(),
    )


def _environment() -> dict[str, str]:
    return {
        "PRED_FORMAT": "tsv",
        "EVAL_FORMAT": "csv",
        "VLMEVALKIT_USE_MODELSCOPE": "0",
        "HF_HUB_OFFLINE": "1",
        # Some rules call a judge without being told to: there is none at this address.
        "OPENAI_API_BASE": "http://127.0.0.1:9/none",
        "OPENAI_API_KEY": "",
        # As our own worker's, so that the two are compared under the same conditions.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }


# --------------------------------------------------------------------------------------------------
# The child's side
# --------------------------------------------------------------------------------------------------


def _run(
    assignment: Assignment, loaded: Any, benchmark: Benchmark, process_started: float
) -> Reference:
    """Run one benchmark; what VLMEvalKit raises becomes the reference's `error`."""
    said: list[str] = []
    asked: list[Asked] = []
    ids: list[str] = []
    first: list[float] = []
    stage, error, result, seconds = "load", None, None, 0.0
    try:
        dataset = unpatched.dataset(benchmark, Path("LMUData", benchmark.name).absolute())
        _keep(dataset, assignment.ids.get(benchmark.name))
        ids += map(str, dataset.data["index"])
        model = unpatched.model(
            loaded,
            assignment.processor or assignment.checkpoint,
            assignment.family,
            assignment.tile_size,
            benchmark,
            asked,
            pixels=assignment.pixels,
        )
        answer = model.generate_inner

        def watched(*arguments: Any, **given: Any) -> Any:
            said.append(answer(*arguments, **given))
            if not first:
                first.append(time.time() - process_started)
            return said[-1]

        # Taken down as they are said: read back from VLMEvalKit's own file, the answer 061 is 61.
        model.generate_inner = watched
        stage, started = "predict", time.monotonic()
        file = _infer(model, benchmark, dataset)
        seconds = time.monotonic() - started
        stage = "evaluate"
        result = _evaluate(benchmark, dataset, file)
    except Exception as raised:  # noqa: BLE001 - what VLMEvalKit cannot do is a finding, not a crash
        import traceback

        traceback.print_exc()
        lines = str(raised).strip().splitlines() or [""]
        error = f"{stage}: {type(raised).__name__}: {lines[0]}"
    return Reference(
        benchmark=benchmark.name,
        predictions=dict(zip(ids, said, strict=False)),
        asked=dict(zip(ids, asked, strict=False)),
        result=result,
        error=error,
        seconds=seconds,
        first_prediction_seconds=first[0] if first else 0.0,
        peak_memory_bytes=unpatched.peak_memory_bytes(assignment.device),
    )


def _keep(dataset: Any, chosen: tuple[str, ...] | None) -> None:
    """Leave only the samples `chosen` in `dataset`, in its order."""
    if chosen is not None:
        wanted = set(chosen)
        dataset.data = dataset.data[[str(id) in wanted for id in dataset.data["index"]]].copy()


def _infer(model: Any, benchmark: Benchmark, dataset: Any) -> str:
    """Run VLMEvalKit's loop; returns the file it wrote."""
    from vlmeval.inference import infer_data_job
    from vlmeval.inference_video import infer_data_job_video
    from vlmeval.smp import get_pred_file_path

    # By relative names: VLMEvalKit makes names of files by replacing a dataset's key in a path.
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
    # Those that insist on a judge need not wait long to learn that there is none.
    return dataset.evaluate(file, model="exact_matching", nproc=1, retry=1, wait=0)


def main() -> None:
    """Serve one assignment: the child's side."""
    process_started = time.time()
    connection = serve()
    assignment: Assignment = connection.recv()
    write_to(assignment.work / "log")
    os.chdir(assignment.work)
    # VLMEvalKit replaces a data folder that does not exist by its own.
    Path("LMUData").mkdir()
    os.environ["LMUData"] = str(Path("LMUData").absolute())
    checkpoint = assignment.checkpoint
    if assignment.base is not None:
        checkpoint = unpatched.merged(checkpoint, assignment.base, Path("merged").absolute())
    loaded = unpatched.weights(checkpoint, assignment.family, assignment.dtype, assignment.device)
    for benchmark in assignment.benchmarks:
        connection.send(_run(assignment, loaded, benchmark, process_started))


if __name__ == "__main__":
    # By its own name, or what is sent back would be a class of `__main__`.
    from evalsuite.vlmevalkit import reference

    reference.main()
