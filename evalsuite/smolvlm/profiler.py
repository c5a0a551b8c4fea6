"""Measure a checkpoint on a device: memory and throughput at a batch size, and the device's rates.

Each measurement runs in a process of its own, ``python -m evalsuite.smolvlm.profiler``, so that one
leaves no memory behind for the next and running out of it ends nothing else. The parent's side
imports no torch.

The setting is that of SmolVLM's paper: one image a question, a batch begun when the one before is
done. Images are made here, photo-like, and read and cut like any other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalsuite.sample import Image, Text
from evalsuite.smolvlm.prompts import build
from evalsuite.smolvlm.requests import Answer, Question, add_seconds
from evalsuite.smolvlm.roofline import Counted, Shape, Work, work
from evalsuite.system.process import Child, ChildDied, serve, write_to

if TYPE_CHECKING:
    from evalsuite.smolvlm.engine import Engine

ON_DEVICE = ("vision", "prefill", "decode")
"""Stages that have a floor."""
BUSY = (*ON_DEVICE, "other")
"""Stages that take the device's time once the media are ready."""
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes a weight."""
ROUNDS = 3
"""So many batches are measured, unless they take very long."""
QUESTIONS = (
    "What is the person on the left side of the picture holding in the right hand?",
    "How many windows does the tall building behind the trees have on its front?",
    "Which of the colours in the lower half of this image appears most often?",
    "What would somebody standing next to the bench see when looking at the lake?",
)
"""About 30 tokens each with the words around them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to measure."""

    directory: Path
    base: Path | None = None
    """What to merge `directory` into, if that is an adapter."""
    processor: Path | None
    device: str
    dtype: str
    width: int
    """Of the images, in pixels."""
    height: int
    new_tokens: int
    """The most an answer may have."""
    log: Path
    """Gets what libraries print."""
    batch_size: int | None = None
    """None: measure the device alone."""
    seconds: float = 10.0
    """Batches are measured for so long at the least; after six times that no more are begun."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What the device can do, as measured in the checkpoint's number format."""

    device: str
    """Its name."""
    matrix: float
    """Operations a second."""
    bandwidth: float
    """Bytes a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One batch size, measured."""

    batch_size: int
    batches: int
    counted: Counted
    seconds: Mapping[str, float]
    """By stage, as in `questions.Stats`."""
    wall_seconds: float
    """All batches, media included."""
    peak_memory_bytes: int
    """Allocated on a CUDA device, resident on the CPU."""
    host_memory_bytes: int
    splits: int
    """How often memory ran out and a batch was made smaller."""
    shape: Shape
    width: int
    """Bytes a weight."""

    @property
    def busy_seconds(self) -> float:
        """What the batches took once their media were ready."""
        return sum(self.seconds[stage] for stage in BUSY)

    @property
    def examples_per_second(self) -> float:
        """Questions answered a second, media ready."""
        return self.counted.prompts / self.busy_seconds

    @property
    def examples_per_second_with_media(self) -> float:
        """The same with images read and cut before each batch, nothing overlapping."""
        return self.counted.prompts / self.wall_seconds

    @property
    def work(self) -> dict[str, Work]:
        """The least it takes, by stage."""
        return work(self.shape, self.counted, self.width)


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Why there is no figure."""

    batch_size: int | None
    reason: str


def measure(task: Task) -> Measured | Rates | Unmeasured:
    """Do `task` in a child process."""
    child = Child("evalsuite.smolvlm.profiler", {"OMP_WAIT_POLICY": "PASSIVE"})
    try:
        child.send(task)
        result: Measured | Rates | Unmeasured = child.receive()
    except ChildDied as death:
        return Unmeasured(task.batch_size, f"the process {death}; {task.log} has its last words")
    finally:
        child.kill()
    return result


# The child's side


def _rates(task: Task) -> Rates:
    import torch

    from evalsuite.smolvlm import device_rates as rates

    device = torch.device(task.device)
    on_cuda = device.type == "cuda"
    return Rates(
        torch.cuda.get_device_name(device) if on_cuda else "cpu",
        rates.matrix_rate(device, getattr(torch, task.dtype)),
        rates.bandwidth(device),
    )


def _measure(task: Task, images: Path) -> Measured | Unmeasured:
    from evalsuite.smolvlm.engine import Engine

    assert task.batch_size is not None
    with Engine(
        task.directory,
        device=task.device,
        dtype=task.dtype,
        batch_size=task.batch_size,
        base=task.base,
        processor=task.processor,
        tile_bytes=sys.maxsize,  # a batch is never cut for the sake of its tiles
    ) as engine:
        asked = questions(task.batch_size, (task.width, task.height), task.new_tokens, images)
        # On CUDA a batch of this size makes torch choose its kernels; a CPU has no such choice.
        warm = asked if task.device.startswith("cuda") else asked[:1]
        if error := _error(_answers(engine, warm)):
            return Unmeasured(task.batch_size, error)
        return measured(engine, asked, WIDTHS[task.dtype], task.seconds)


def measured(
    engine: Engine, asked: Sequence[Question], width: int, enough_seconds: float
) -> Measured | Unmeasured:
    """Have `asked` answered as one batch, again and again until it has been timed well enough."""
    batch_size = len(asked)
    answers: list[Answer] = []
    batches, started, wall = 0, time.perf_counter(), 0.0
    while not batches or wall < enough_seconds or (batches < ROUNDS and wall < 6 * enough_seconds):
        answers += _answers(engine, asked)
        batches, wall = batches + 1, time.perf_counter() - started
    if error := _error(answers):
        return Unmeasured(batch_size, error)
    seconds: dict[str, float] = {}
    for answer in answers:
        add_seconds(seconds, answer.cost.seconds)
    return Measured(
        batch_size=batch_size,
        batches=batches,
        counted=counted(answers, batches),
        seconds=seconds,
        wall_seconds=wall,
        peak_memory_bytes=engine.stats.peak_memory_bytes,
        host_memory_bytes=engine.stats.host_memory_bytes,
        splits=engine.stats.splits,
        shape=engine.shape,
        width=width,
    )


def counted(answers: Sequence[Answer], batches: int) -> Counted:
    """Count what `answers` took; the token that ended an answer was generated too."""
    return Counted(
        prompts=len(answers),
        tiles=sum(answer.cost.tiles for answer in answers),
        prompt_tokens=sum(answer.cost.prompt_tokens for answer in answers),
        read_tokens=sum(answer.cost.read_tokens for answer in answers),
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
    """Make `count` questions, each about an image of its own of `size`: width, height."""
    paths = [photo(directory / f"{number}.jpg", size, number) for number in range(count)]
    asked = []
    for number, path in enumerate(paths):
        medium = Image(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
        words = Text(QUESTIONS[number % len(QUESTIONS)])
        asked.append(Question(str(number), build("default", [medium, words]), new_tokens))
    return asked


def photo(path: Path, size: tuple[int, int], seed: int) -> Path:
    """Write a JPEG of `size` with large and small shapes, and as many bytes as a photo has."""
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
    """Serve one task: the child's side."""
    connection = serve()
    task: Task = connection.recv()
    write_to(task.log)
    try:
        if task.batch_size is None:
            connection.send(_rates(task))
            return
        with tempfile.TemporaryDirectory(prefix="evalsuite-profile-") as name:
            connection.send(_measure(task, Path(name)))
    except Exception as error:  # noqa: BLE001 - libraries raise what they like; out of memory is a row
        import traceback

        traceback.print_exc()
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        connection.send(Unmeasured(task.batch_size, f"{type(error).__name__}: {reason}"))


def to_plain(measured: Measured, rates: Rates) -> dict[str, object]:
    """All figures of `measured`, those that follow from others too, for JSON."""
    plain = dataclasses.asdict(measured)
    floors = {s: w.seconds(rates.matrix, rates.bandwidth) for s, w in measured.work.items()}
    return plain | {
        "examples_per_second": measured.examples_per_second,
        "examples_per_second_with_media": measured.examples_per_second_with_media,
        "work": {stage: dataclasses.asdict(w) for stage, w in measured.work.items()},
        "floor_seconds": floors,
        "floor_examples_per_second": measured.counted.prompts / sum(floors.values()),
        "share_of_matrix_rate": share_of_matrix_rate(measured, rates),
        "share_of_bandwidth": share_of_bandwidth(measured, rates),
    }


def share_of_matrix_rate(measured: Measured, rates: Rates) -> float:
    """Operations over time, as a share of the measured rate."""
    done = sum(work.operations for work in measured.work.values())
    return done / measured.busy_seconds / rates.matrix


def share_of_bandwidth(measured: Measured, rates: Rates) -> float:
    """Bytes that had to come from memory over time, as a share of the measured bandwidth."""
    moved = sum(work.bytes for work in measured.work.values())
    return moved / measured.busy_seconds / rates.bandwidth


def floor_seconds(measured: Measured, rates: Rates) -> float:
    """The least the measured batches can take on this device."""
    return sum(w.seconds(rates.matrix, rates.bandwidth) for w in measured.work.values())


if __name__ == "__main__":
    # By its own name, or what is sent back would be a class of `__main__`.
    from evalsuite.smolvlm import profiler as module

    module.main()
