"""VLMEvalKit's own SmolVLM2 class and loop beside ours: same data, same checkpoint, one run.

    python -m bench.side_by_side [--ckpt demo] [--rounds 2] [--benchmarks A,B] [--write]

The two take turns, each in fresh processes with cold caches. Samples a second are counted from the
first sample to the last prediction: building prompts, writing and reading images, and everything
the model does are inside, reading the data is outside. Loading the model is outside for VLMEvalKit;
ours is charged whatever of it is not over when the data has been read. Both get the same thread
settings. Time to the first prediction counts from the start of the process. Nothing else should be
running.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tabulate import tabulate

from evalsuite import benchmarks as catalogue
from evalsuite import checkpoint as checkpoints
from evalsuite.benchmarks import Benchmark
from evalsuite.checkpoint import Checkpoint
from evalsuite.data import locate
from evalsuite.report.progress import Silent
from evalsuite.results import Run, read_samples
from evalsuite.runner.device import resampling
from evalsuite.runner.options import Options
from evalsuite.runner.plan import place
from evalsuite.runner.progress import Planned
from evalsuite.runner.run import evaluate
from evalsuite.runner.source import SampleSource
from evalsuite.vlmevalkit.kit import Kit
from evalsuite.vlmevalkit.reference import Assignment, run_reference

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- side-by-side -->", "<!-- /side-by-side -->"


@dataclass(frozen=True, slots=True)
class Measured:
    """One side's work on all benchmarks."""

    seconds: float
    """From the first sample to the last prediction."""
    first: float
    """From the start of the process to the first prediction."""
    peak_memory_bytes: int
    """Of the process that holds the model."""
    predictions: dict[tuple[str, str], str]


class Stopwatch(Silent):
    """Notes when work begins, when the first prediction comes and when the last one does."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.planned_at = self.first_at = self.last_at = 0.0

    def planned(self, checkpoint: Checkpoint, place: Path, plan: Sequence[Planned]) -> None:
        """Data is read; the first sample is about to be built."""
        self.planned_at = time.monotonic()

    def advanced(self, benchmark: str, done: int) -> None:
        """A batch of predictions is on disk."""
        self.last_at = time.monotonic()
        self.first_at = self.first_at or self.last_at


def ours(checkpoint: Checkpoint, chosen: Sequence[Benchmark], directory: Path) -> Measured:
    """Our road, from nothing: kit process, worker, journal, scoring."""
    watch = Stopwatch()
    options = Options(
        output=directory / "results",
        device="cpu",
        dtype="float32",
        resampling=resampling(),
        command="bench",
    )
    with Kit(work=directory / "kit", media=directory / "media", log=directory / "log") as kit:
        run = evaluate(checkpoint, chosen, options, SampleSource(kit), watch)
    assert isinstance(run, Run)
    where = place(options.output, checkpoint, options.settings, None)
    return Measured(
        seconds=watch.last_at - watch.planned_at,
        first=watch.first_at - watch.started,
        peak_memory_bytes=max(score.peak_memory_bytes or 0 for score in run.scores),
        predictions={
            (b.name, row.id): row.prediction
            for b in chosen
            for row in read_samples(where.samples(b.name))
        },
    )


def theirs(checkpoint: Checkpoint, chosen: Sequence[Benchmark], directory: Path) -> Measured:
    """VLMEvalKit's road, with fresh model and dataset objects for each benchmark."""
    assignment = Assignment(
        checkpoint=checkpoint.path,
        tile_size=checkpoint.tile_size,
        benchmarks=tuple(chosen),
        work=directory / "reference",
    )
    results = list(run_reference(assignment))
    return Measured(
        seconds=sum(result.seconds for result in results),
        first=results[0].first_prediction_seconds,
        peak_memory_bytes=max(result.peak_memory_bytes for result in results),
        predictions={
            (result.benchmark, id_): text
            for result in results
            for id_, text in result.predictions.items()
        },
    )


def measure(
    checkpoint: Checkpoint, chosen: Sequence[Benchmark], rounds: int
) -> list[tuple[Measured, Measured]]:
    """Let the two take turns; ``(theirs, ours)`` for each round."""
    turns = []
    for turn in range(rounds):
        pair = {}
        # Who goes first alternates, so that neither always finds the warmer machine.
        for side in (theirs, ours) if turn % 2 == 0 else (ours, theirs):
            with tempfile.TemporaryDirectory() as name:
                print(f"round {turn + 1}: {side.__name__} ...", file=sys.stderr, flush=True)
                pair[side.__name__] = side(checkpoint, chosen, Path(name))
        turns.append((pair["theirs"], pair["ours"]))
    return turns


def table(turns: Sequence[tuple[Measured, Measured]]) -> str:
    """All rounds as a markdown table."""
    rows = []
    for number, (their, our) in enumerate(turns, start=1):
        n = len(our.predictions)
        same = sum(our.predictions[key] == text for key, text in their.predictions.items())
        rows.append(
            {
                "round": number,
                "samples": n,
                "VLMEvalKit, samples/s": f"{n / their.seconds:.1f}",
                "evalsuite, samples/s": f"{n / our.seconds:.1f}",
                "ratio": f"{their.seconds / our.seconds:.1f}",
                "same predictions": f"{same} of {len(their.predictions)}",
                "first prediction, s": f"{their.first:.1f} / {our.first:.1f}",
                "peak memory, MB": f"{their.peak_memory_bytes / 1e6:.0f} / "
                f"{our.peak_memory_bytes / 1e6:.0f}",
            }
        )
    return tabulate(rows, headers="keys", tablefmt="github")


def setting(command: str) -> str:
    """Where and with what this was measured."""
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("torch", "torchvision", "transformers", "ms-vlmeval", "evalsuite")
    )
    return (
        f"`{command}`\n\n{os.cpu_count()} CPU cores ({_cpu()}), no GPU, float32 on both sides; "
        f"Python {platform.python_version()}, {versions}; {time.strftime('%Y-%m-%d')}."
    )


def _cpu() -> str:
    shown = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    names = [line.partition(":")[2].strip() for line in shown.splitlines() if "Model name" in line]
    return names[0] if names else platform.machine()


def main() -> None:
    """Measure, print, and with ``--write`` put it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ckpt", default="demo")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--benchmarks", default="")
    parser.add_argument("--write", action="store_true", help="put the result into RESULTS.md")
    arguments = parser.parse_args()
    known = catalogue.load()
    names = [name for name in arguments.benchmarks.split(",") if name]
    wanted = known.select(names) if names else known.suite("demo")
    chosen = [b for b in (locate(b, None) for b in wanted) if isinstance(b, Benchmark)]
    turns = measure(checkpoints.read(arguments.ckpt), chosen, arguments.rounds)
    command = shlex.join(["python", "-m", "bench.side_by_side", *sys.argv[1:]])
    report = f"{setting(command)}\n\n{table(turns)}\n"
    print(report)
    if any(their.predictions != our.predictions for their, our in turns):
        sys.exit("the predictions differ: speeds of different work are no comparison")
    if arguments.write:
        before, _, rest = RESULTS.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        RESULTS.write_text(f"{before}{BEGIN}\n{report}{END}{after}")


if __name__ == "__main__":
    main()
