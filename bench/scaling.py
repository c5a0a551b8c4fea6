"""How a run scales with workers and with samples.

    python -m bench.scaling workers [--shape 256M] [--images 10] [--rounds 2] [--write]
    python -m bench.scaling samples [--images 200] [--rounds 1] [--write]

``workers``: one worker with one thread, then two with one thread each, on the same data, in
alternating order. Reports the seconds from the first built sample to the last line of the journal,
including loading, and from its first to its last line, which is not meaningful if a worker answers
everything in one batch. ``samples``: one worker on a number of images and on ten times as many,
with the peak memory of each process. Photo-like images with four questions each (`bench.photos`).
Run nothing else at the same time.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench import photos
from bench.results import rate, setting, write
from bench.side_by_side import Stopwatch, subject
from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.runner.config import RunConfig
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run import evaluate_all
from evalsuite.system.devices import resampling
from evalsuite.vlmevalkit.client import Kit

QUESTIONS = 4
PROCESSES = {"worker": b"evalsuite.runner.workers.worker", "kit": b"evalsuite.vlmevalkit.server"}


@dataclass(frozen=True, slots=True)
class RunCost:
    """Time and memory of one run."""

    samples: int
    first_to_last: float
    """Seconds from the first line of the journal to the last."""
    whole: float
    """Seconds from the first built sample to the last line."""
    memory: dict[str, int]
    """Peak resident bytes by kind of process."""


def run(
    checkpoint: Checkpoint, benchmark: Benchmark, workers: int, threads: int | None, new: Path
) -> RunCost:
    """Predict and score `benchmark` with empty caches."""
    watch = Stopwatch()
    options = ResolvedConfig(
        # No reruns: their number is constant and would distort the ratio.
        config=RunConfig(output_dir=new / "results", command="bench", noise=0),
        devices=("cpu",) * workers,
        dtype="float32",
        resampling=resampling(),
        threads=threads,
    )
    with (
        Kit(work=new / "kit", media=new / "media", log=new / "log") as kit,
        peak_memory() as memory,
    ):
        (done,) = evaluate_all([checkpoint], [benchmark], options, SampleSource(kit), watch)
    if done.failures:
        sys.exit(f"the run failed: {done.failures[0].message}")
    return RunCost(
        samples=done.scores[0].n,
        first_to_last=watch.last_at - watch.first_at,
        whole=watch.last_at - watch.planned_at,
        memory=memory,
    )


@contextmanager
def peak_memory() -> Iterator[dict[str, int]]:
    """Measure the memory of this process's children twice a second."""
    peaks = dict.fromkeys((*PROCESSES, "parent"), 0)
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(0.5):
            for kind, bytes_ in _memory():
                peaks[kind] = max(peaks[kind], bytes_)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def _memory() -> Iterator[tuple[str, int]]:
    """Yield kind and peak resident bytes of this process and its known children."""
    yield "parent", _peak(Path("/proc/self"))
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent != os.getpid():
                continue
            command = (process / "cmdline").read_bytes()
            for kind, module in PROCESSES.items():
                if module in command:
                    yield kind, _peak(process)
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process has just ended


def _peak(process: Path) -> int:
    lines = (process / "status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def workers(
    checkpoint: Checkpoint, benchmark: Benchmark, rounds: int, directory: Path
) -> list[tuple[RunCost, RunCost]]:
    """Return ``(one worker, two workers)`` for each round."""
    turns = []
    for number in range(rounds):
        pair = {}
        for count in (1, 2) if number % 2 == 0 else (2, 1):
            _log(f"round {number + 1}: {count} with one thread each ...")
            with tempfile.TemporaryDirectory(dir=directory) as new:
                pair[count] = run(checkpoint, benchmark, count, 1, Path(new))
        turns.append((pair[1], pair[2]))
    return turns


def workers_table(turns: Sequence[tuple[RunCost, RunCost]]) -> str:
    """All rounds as a markdown table."""
    return tabulate(
        [
            {
                "round": number,
                "samples": one.samples,
                "one worker, s": f"{one.whole:.1f}",
                "two workers, s": f"{two.whole:.1f}",
                "ratio": f"{one.whole / two.whole:.2f}",
                "first to last line, s": f"{one.first_to_last:.1f} / {two.first_to_last:.1f}",
            }
            for number, (one, two) in enumerate(turns, start=1)
        ],
        headers="keys",
        tablefmt="github",
        disable_numparse=True,
    )


def samples_table(turns: Sequence[RunCost]) -> str:
    """Runs of different sizes as a markdown table, with ratios to the first."""
    first = turns[0]
    return tabulate(
        [
            {
                "samples": cost.samples,
                "seconds": f"{cost.whole:.1f}",
                "ratio": f"{cost.whole / first.whole:.2f}",
                "samples/s": rate(cost.samples / cost.whole),
                **{
                    f"{kind}, MB": f"{bytes_ / 1e6:,.0f} ({bytes_ / first.memory[kind]:.2f})"
                    for kind, bytes_ in cost.memory.items()
                },
            }
            for cost in turns
        ],
        headers="keys",
        tablefmt="github",
        disable_numparse=True,
    )


def measure_sizes(
    checkpoint: Checkpoint, arguments: Namespace, directory: Path, size: tuple[int, int]
) -> list[RunCost]:
    """Run with `images` images and with ten times as many."""
    turns = []
    for images in (arguments.images, 10 * arguments.images):
        data = photos.make(
            directory / f"{images}-images", images, QUESTIONS, size, arguments.new_tokens
        )
        _log(f"{images} images ...")
        with tempfile.TemporaryDirectory(dir=directory) as new:
            turns.append(run(checkpoint, data, 1, None, Path(new)))
    return turns


def _log(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, and with ``--write`` update RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("workers", "samples"))
    parser.add_argument("--ckpt", default="demo")
    parser.add_argument("--shape", default="demo")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", default="320x240", help="image size, WIDTHxHEIGHT")
    parser.add_argument("--new-tokens", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the result to RESULTS.md")
    arguments = parser.parse_args()
    arguments.questions, arguments.benchmarks = QUESTIONS, ""
    width, _, height = arguments.size.partition("x")
    size = (int(width), int(height))
    with tempfile.TemporaryDirectory() as name, subject(arguments) as (checkpoint, chosen):
        if arguments.what == "workers":
            data = chosen[0] if arguments.shape != "demo" else photos.make(
                Path(name) / "photos", arguments.images, QUESTIONS, size, arguments.new_tokens
            )  # fmt: skip
            shown = workers_table(workers(checkpoint, data, arguments.rounds, Path(name)))
        else:
            shown = samples_table(measure_sizes(checkpoint, arguments, Path(name), size))
    command = shlex.join(["python", "-m", "bench.scaling", *sys.argv[1:]])
    report = f"{setting(command, 'no GPU, float32')}\n\n{shown}\n"
    print(report)
    if arguments.write:
        write(f"{arguments.what}: {arguments.shape}", report)


if __name__ == "__main__":
    main()
