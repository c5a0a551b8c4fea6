"""The other road: VLMEvalKit's own ``SmolVLM2`` class and inference loop, for comparison.

Runs in a process of its own, with VLMEvalKit as it comes: no mend is applied, the datasets are
VLMEvalKit's, and so is every line between a row of data and a prediction. Three things are set
that its constructor would get wrong here: the device (it says ``cuda``), the resolution (it goes
by the path's spelling) and the token limit (2,048, whatever the question).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.benchmarks import Benchmark
from evalsuite.process import Child, serve, write_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What to run through VLMEvalKit's loop."""

    checkpoint: Path
    tile_size: int
    benchmarks: tuple[Benchmark, ...]
    """With ``data`` located."""
    work: Path
    """A fresh directory for everything VLMEvalKit writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What VLMEvalKit made of one benchmark."""

    benchmark: str
    predictions: dict[str, str]
    """By sample id."""
    result: Any
    """What ``evaluate`` returned."""
    seconds: float
    """From the first sample to the last prediction: loading model and data not counted."""
    first_prediction_seconds: float
    """From the start of the process to the first prediction of this benchmark."""
    peak_memory_bytes: int


def run_reference(assignment: Assignment) -> Iterator[Reference]:
    """Run VLMEvalKit's loop in a child process; yields each benchmark when it is done."""
    assignment.work.mkdir(parents=True)
    child = Child("evalsuite.vlmevalkit.reference", _environment(assignment.work))
    try:
        child.send(assignment)
        for _ in assignment.benchmarks:
            reference: Reference = child.receive()
            yield reference
    finally:
        child.kill()


def _environment(work: Path) -> dict[str, str]:
    (work / "LMUData").mkdir()
    return {
        "LMUData": str(work / "LMUData"),
        "PRED_FORMAT": "tsv",
        "VLMEVALKIT_USE_MODELSCOPE": "0",
        "HF_HUB_OFFLINE": "1",
        # As our own worker's, so that the two are compared under the same conditions.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }


def _smolvlm2(assignment: Assignment) -> Any:
    """VLMEvalKit's model object, built as its constructor would with another device and size."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from vlmeval.vlm.smolvlm import SmolVLM2

    model = SmolVLM2.__new__(SmolVLM2)
    model.sampling_frames = 64
    model.resolution = assignment.tile_size
    model.processor = AutoProcessor.from_pretrained(assignment.checkpoint)
    model.model = AutoModelForImageTextToText.from_pretrained(
        assignment.checkpoint, dtype=torch.float32
    )
    model.kwargs = {"do_sample": False, "use_cache": True}
    return model


def _dataset(benchmark: Benchmark) -> Any:
    """VLMEvalKit's dataset object over the benchmark's own file."""
    import vlmeval.dataset

    kind = next(
        kind for kind in vlmeval.dataset.DATASET_CLASSES if kind.__name__ == benchmark.dataset_class
    )
    data = Path(benchmark.data or "")
    if benchmark.modality == "image":
        link = Path(os.environ["LMUData"]) / f"{benchmark.dataset}.tsv"
        if not link.exists():
            link.symlink_to(data)
        return kind(dataset=benchmark.dataset)
    # Copied, because VLMEvalKit leaves a lock file beside every video it reads.
    root = Path(os.environ["LMUData"]) / benchmark.name
    shutil.copytree(data, root, dirs_exist_ok=True)
    paths = {"root": str(root), "data_file": str(root / f"{benchmark.dataset}.tsv")}
    located = type(kind.__name__, (kind,), {"prepare_dataset": lambda *_: paths})
    assert benchmark.frames is not None
    return located(
        dataset=benchmark.dataset,
        fps=benchmark.frames.per_second or -1,
        nframe=benchmark.frames.count or 0,
    )


def _predict(
    model: Any, benchmark: Benchmark, assignment: Assignment, process_started: float
) -> Reference:
    import resource

    from vlmeval.inference import infer_data_job
    from vlmeval.inference_video import infer_data_job_video
    from vlmeval.smp import get_pred_file_path

    dataset = _dataset(benchmark)
    model.kwargs["max_new_tokens"] = benchmark.max_new_tokens
    name = f"reference-{benchmark.name}"
    work = str(assignment.work)
    result_file = get_pred_file_path(work, name, benchmark.dataset, use_env_format=True)
    # Taken down as they are said: read back from VLMEvalKit's own file, the answer 061 is 61.
    said: list[str] = []
    first: list[float] = []
    answer = model.generate_inner

    def watched(*args: Any, **kwargs: Any) -> Any:
        said.append(answer(*args, **kwargs))
        if not first:
            first.append(time.time() - process_started)
        return said[-1]

    model.generate_inner = watched
    started = time.monotonic()
    if benchmark.modality == "image":
        infer_data_job(model, work_dir=work, model_name=name, dataset=dataset)
    else:
        infer_data_job_video(
            model, work_dir=work, model_name=name, dataset=dataset, result_file=result_file
        )
    seconds = time.monotonic() - started
    return Reference(
        benchmark=benchmark.name,
        predictions=dict(zip(map(str, dataset.data["index"]), said, strict=True)),
        result=dataset.evaluate(result_file, model="exact_matching", nproc=1),
        seconds=seconds,
        first_prediction_seconds=first[0],
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def main() -> None:
    """Serve one assignment: the child's side."""
    process_started = time.time()
    connection = serve()
    assignment: Assignment = connection.recv()
    write_to(assignment.work / "log")
    for benchmark in assignment.benchmarks:
        # Fresh for each: a video leaves the class's processor changed for whatever comes after.
        model = _smolvlm2(assignment)
        connection.send(_predict(model, benchmark, assignment, process_started))


if __name__ == "__main__":
    # By its own name, or what is sent back would be a class of `__main__`.
    from evalsuite.vlmevalkit import reference

    reference.main()
