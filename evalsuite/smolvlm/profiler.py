"""Measure a checkpoint on a device: memory, throughput by batch size, and the device's rates.

Each measurement runs in its own process, ``python -m evalsuite.smolvlm.profiler``, so that it
neither leaves memory allocated nor ends others when memory runs out. The parent imports no torch.

The setting is that of the SmolVLM paper: one image per question, and a batch starts when the
previous one is done. The images are generated, look like photos, and are decoded and cut as usual.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalsuite.sample import Image, Text
from evalsuite.smolvlm.prompts import build
from evalsuite.smolvlm.requests import Answer, EngineSettings, Question, add_seconds
from evalsuite.smolvlm.roofline import Shape, Work, Workload, minimum_work
from evalsuite.system.process import Child, ChildDied, serve, write_to
from evalsuite.system.scratch import scratch_directory
from evalsuite.system.text import one_line

if TYPE_CHECKING:
    from evalsuite.smolvlm.engine import Engine

BUSY_STAGES = ("vision", "prefill", "decode", "other")
"""Stages that use the device's time once the media are loaded."""
BYTES_PER_WEIGHT = {"float32": 4, "bfloat16": 2, "float16": 2}
"""By number format."""
MIN_BATCHES = 3
"""Minimum number of batches measured, unless they take very long."""
QUESTIONS = (
    "What is the person on the left side of the picture holding in the right hand?",
    "How many windows does the tall building behind the trees have on its front?",
    "Which of the colours in the lower half of this image appears most often?",
    "What would somebody standing next to the bench see when looking at the lake?",  # words: data
)
"""About 30 tokens each, including the prompt format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTask:
    """What to measure."""

    directory: Path
    settings: EngineSettings
    """Without a batch size, only the device's rates are measured."""
    image_size: tuple[int, int]
    """Width and height in pixels."""
    new_tokens: int
    """Maximum new tokens per answer."""
    log: Path
    """Receives the output of libraries."""
    seconds: float = 10.0
    """Minimum measuring time. After six times as long no further batch starts."""


@dataclass(frozen=True, slots=True)
class DeviceRates:
    """Measured rates of the device in the checkpoint's number format."""

    device: str
    """Its name."""
    matrix: float
    """Operations per second."""
    bandwidth: float
    """Bytes per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Measurement of one batch size."""

    batch_size: int
    batches: int
    workload: Workload
    seconds: Mapping[str, float]
    """By stage, as in `requests.Cost`."""
    wall_seconds: float
    """All batches, including media."""
    peak_memory_bytes: int
    """Allocated memory on a CUDA device, resident memory on the CPU."""
    host_memory_bytes: int
    splits: int
    """Number of times a batch was split because memory ran out."""
    shape: Shape
    weight_bytes: int
    """Bytes per weight."""

    @property
    def busy_seconds(self) -> float:
        """Seconds of all batches, without loading media."""
        return sum(self.seconds[stage] for stage in BUSY_STAGES)

    @property
    def examples_per_second(self) -> float:
        """Questions per second, without loading media."""
        return self.workload.prompts / self.busy_seconds

    @property
    def examples_per_second_with_media(self) -> float:
        """Questions per second, with images decoded and cut before each batch."""
        return self.workload.prompts / self.wall_seconds

    @property
    def work(self) -> dict[str, Work]:
        """Minimum work by stage."""
        return minimum_work(self.shape, self.workload, self.weight_bytes)


@dataclass(frozen=True, slots=True)
class MeasurementFailure:
    """Reason why a measurement failed."""

    batch_size: int | None
    reason: str


def measure(task: ProfileTask) -> Measurement | DeviceRates | MeasurementFailure:
    """Run `task` in a child process."""
    child = Child("evalsuite.smolvlm.profiler", {"OMP_WAIT_POLICY": "PASSIVE"})
    try:
        child.send(task)
        result: Measurement | DeviceRates | MeasurementFailure = child.receive()
    except ChildDied as death:
        return MeasurementFailure(task.settings.batch_size, f"the process {death}; see {task.log}")
    finally:
        child.kill()
    return result


# Functions of the child process


def _rates(task: ProfileTask) -> DeviceRates:
    import torch

    from evalsuite.smolvlm import device_rates

    device = torch.device(task.settings.device)
    on_cuda = device.type == "cuda"
    return DeviceRates(
        torch.cuda.get_device_name(device) if on_cuda else "cpu",
        device_rates.matrix_rate(device, getattr(torch, task.settings.dtype)),
        device_rates.bandwidth(device),
    )


def _measure(task: ProfileTask, images: Path) -> Measurement | MeasurementFailure:
    from evalsuite.smolvlm.engine import Engine

    settings = task.settings
    assert settings.batch_size is not None
    # A batch is never split because of its tiles.
    with Engine(task.directory, settings, tile_bytes=sys.maxsize) as engine:
        asked = questions(settings.batch_size, task.image_size, task.new_tokens, images)
        # On CUDA, torch chooses kernels in the first batch of a size. On CPU it does not.
        warm_up = asked if settings.device.startswith("cuda") else asked[:1]
        if error := _error(_answers(engine, warm_up)):
            return MeasurementFailure(settings.batch_size, error)
        return measure_batches(engine, asked, BYTES_PER_WEIGHT[settings.dtype], task.seconds)


def measure_batches(
    engine: Engine, asked: Sequence[Question], weight_bytes: int, min_seconds: float
) -> Measurement | MeasurementFailure:
    """Answer `asked` as one batch, repeatedly, until the time is measured well enough."""
    batch_size = len(asked)
    answers: list[Answer] = []
    batches, started, wall = 0, time.perf_counter(), 0.0
    while not batches or wall < min_seconds or (batches < MIN_BATCHES and wall < 6 * min_seconds):
        answers += _answers(engine, asked)
        batches, wall = batches + 1, time.perf_counter() - started
    if error := _error(answers):
        return MeasurementFailure(batch_size, error)
    seconds: dict[str, float] = {}
    for answer in answers:
        add_seconds(seconds, answer.cost.seconds)
    return Measurement(
        batch_size=batch_size,
        batches=batches,
        workload=_workload(answers, batches),
        seconds=seconds,
        wall_seconds=wall,
        peak_memory_bytes=engine.stats.peak_memory_bytes,
        host_memory_bytes=engine.stats.host_memory_bytes,
        splits=engine.stats.splits,
        shape=engine.shape,
        weight_bytes=weight_bytes,
    )


def _workload(answers: Sequence[Answer], batches: int) -> Workload:
    return Workload(
        prompts=len(answers),
        tiles=sum(answer.cost.tiles for answer in answers),
        prompt_tokens=sum(answer.cost.prompt_tokens for answer in answers),
        prefill_tokens=sum(answer.cost.prefill_tokens for answer in answers),
        generated=sum(answer.tokens + (answer.ended == "stop") for answer in answers),
        batches=batches,
    )


def _answers(engine: Engine, asked: Iterable[Question]) -> list[Answer]:
    return [answer for batch in engine.answer(asked) for answer in batch]


def _error(answers: Iterable[Answer]) -> str | None:
    return next((answer.error for answer in answers if answer.error), None)


def questions(
    count: int, size: tuple[int, int], new_tokens: int, directory: Path
) -> list[Question]:
    """Make `count` questions, each with its own image of `size` (width, height)."""
    paths = [photo(directory / f"{number}.jpg", size, number) for number in range(count)]
    asked = []
    for number, path in enumerate(paths):
        medium = Image(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
        words = Text(QUESTIONS[number % len(QUESTIONS)])
        asked.append(Question(str(number), build("default", [medium, words]), new_tokens))
    return asked


def photo(path: Path, size: tuple[int, int], seed: int) -> Path:
    """Write a JPEG of `size` with large and small shapes and the file size of a photo."""
    import numpy as np
    import PIL.Image

    rng = np.random.default_rng(seed)
    width, height = size
    whole = np.zeros((height, width, 3), np.float32)
    for cell, weight in ((max(size) // 4, 0.6), (max(size) // 32, 0.3), (2, 0.1)):
        cell = max(1, cell)
        coarse = rng.integers(0, 256, (-(-height // cell), -(-width // cell), 3), np.uint8)
        fine = PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)
        whole += weight * np.asarray(fine, np.float32)
    PIL.Image.fromarray(whole.astype(np.uint8)).save(path, quality=90)
    return path


def main() -> None:
    """Entry point of the child: runs one task."""
    connection = serve()
    task: ProfileTask = connection.recv()
    write_to(task.log)
    try:
        if task.settings.batch_size is None:
            connection.send(_rates(task))
            return
        with scratch_directory() as scratch:
            connection.send(_measure(task, scratch))
    except Exception as error:  # noqa: BLE001 - libraries raise anything; out of memory is a result
        traceback.print_exc()
        reason = one_line(error, with_type=True)
        connection.send(MeasurementFailure(task.settings.batch_size, reason))


def measurement_to_plain(measured: Measurement, rates: DeviceRates) -> dict[str, object]:
    """Return all figures of `measured` for JSON, including derived ones."""
    plain = dataclasses.asdict(measured)
    minimum = {s: w.seconds(rates.matrix, rates.bandwidth) for s, w in measured.work.items()}
    return plain | {
        "examples_per_second": measured.examples_per_second,
        "examples_per_second_with_media": measured.examples_per_second_with_media,
        "work": {stage: dataclasses.asdict(w) for stage, w in measured.work.items()},
        "minimum_seconds": minimum,
        "maximum_examples_per_second": measured.workload.prompts / sum(minimum.values()),
        "share_of_matrix_rate": share_of_matrix_rate(measured, rates),
        "share_of_bandwidth": share_of_bandwidth(measured, rates),
    }


def share_of_matrix_rate(measured: Measurement, rates: DeviceRates) -> float:
    """Return operations per second as a share of the measured rate."""
    done = sum(work.operations for work in measured.work.values())
    return done / measured.busy_seconds / rates.matrix


def share_of_bandwidth(measured: Measurement, rates: DeviceRates) -> float:
    """Return minimum bytes per second as a share of the measured bandwidth."""
    moved = sum(work.bytes for work in measured.work.values())
    return moved / measured.busy_seconds / rates.bandwidth


def minimum_seconds(measured: Measurement, rates: DeviceRates) -> float:
    """Return the minimum time of the measured batches on this device."""
    return sum(w.seconds(rates.matrix, rates.bandwidth) for w in measured.work.values())


if __name__ == "__main__":
    # Import by name, so that the pickled result is not a class of `__main__`.
    from evalsuite.smolvlm import profiler as module

    module.main()
