"""Compare the speed of VLMEvalKit's SmolVLM2 class and loop with evalsuite.

    python -m bench.side_by_side [--ckpt demo] [--rounds 2] [--benchmarks A,B] [--write]
    python -m bench.side_by_side --shape 256M|500M|2.2B [--images 2] [--questions 4]
                                 [--device cpu|cuda] [--dtype float32|bfloat16|default]
    python -m bench.side_by_side --video --shape 256M          (see bench.prefixes)

Both run in alternating order, each in new processes with empty caches and with the same thread
settings. Samples per second are measured from the first sample to the last prediction. This
includes building prompts, writing and reading images, and the model; it excludes reading the data.
Loading the model is excluded for VLMEvalKit; for evalsuite it counts unless it ends before the data
has been read. The time to the first prediction starts with the process. Run nothing else at the
same time.

A shape is a checkpoint with random weights and the dimensions of SmolVLM2 (`bench.shapes`), with
photo-like images (`bench.photos`). ``--dtype default`` uses each side's default: float32 in
VLMEvalKit's class, bfloat16 for evalsuite on CUDA. The minimum time is computed from our operations
and bytes and the device's measured rates (`evalsuite.smolvlm.roofline`).
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from bench import photos, shapes
from bench.results import rate, setting, write
from evalsuite.benchmarks import catalogue as catalogue
from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.locate import locate
from evalsuite.checkpoint import checkpoint as checkpoints
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.runner.config import RunConfig
from evalsuite.runner.events import Event, RunPlanned, SamplesPredicted
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run import evaluate_all
from evalsuite.runs.layout import run_paths
from evalsuite.runs.records import Run
from evalsuite.runs.storage import read_samples
from evalsuite.smolvlm.profiler import BYTES_PER_WEIGHT, DeviceRates, ProfileTask
from evalsuite.smolvlm.profiler import measure as measure_device
from evalsuite.smolvlm.requests import EngineSettings
from evalsuite.smolvlm.roofline import Workload, minimum_work, shape_of
from evalsuite.system.devices import resampling, resolve
from evalsuite.vlmevalkit.client import Kit
from evalsuite.vlmevalkit.reference import ReferenceTask, run_reference


@dataclass(frozen=True, slots=True)
class DeviceSetting:
    """Device and number formats of both sides."""

    device: str
    dtype: str
    """evalsuite's number format."""
    vlmevalkit_dtype: str

    @property
    def comparable(self) -> bool:
        """Whether predictions must be equal."""
        return self.dtype == self.vlmevalkit_dtype == "float32"


def setting_of(device: str, dtype: str) -> DeviceSetting:
    """Resolve ``--device`` and ``--dtype``; raises `UsageError`."""
    device, ours_unasked = resolve(device, "auto")
    if dtype == "default":
        return DeviceSetting(device, ours_unasked, "float32")
    return DeviceSetting(device, *[resolve(device, dtype)[1]] * 2)


@dataclass(frozen=True, slots=True)
class LoopResult:
    """Result of one side for all benchmarks."""

    seconds: float
    """From the first sample to the last prediction."""
    first: float
    """From process start to the first prediction."""
    peak_memory_bytes: int
    """Of the process with the model."""
    predictions: dict[tuple[str, str], str]
    workload: Workload | None = None
    """Known for evalsuite only."""


class Stopwatch:
    """Records when planning ends and when the first and last predictions arrive."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.planned_at = self.first_at = self.last_at = 0.0

    def __call__(self, event: Event) -> None:
        """Record the time of `event`."""
        match event:
            case RunPlanned():  # the first sample is about to be built
                self.planned_at = time.monotonic()
            case SamplesPredicted():  # a batch of predictions is on disk
                self.last_at = time.monotonic()
                self.first_at = self.first_at or self.last_at


def run_evalsuite(
    checkpoint: Checkpoint, chosen: Sequence[Benchmark], on: DeviceSetting, directory: Path
) -> LoopResult:
    """Run evalsuite: kit process, worker, journal, scoring."""
    watch = Stopwatch()
    options = ResolvedConfig(
        # No reruns: VLMEvalKit's loop asks each question once.
        config=RunConfig(output_dir=directory / "results", command="bench", noise=0),
        devices=(on.device,),
        dtype=on.dtype,
        resampling=resampling(),
    )
    with Kit(work=directory / "kit", media=directory / "media", log=directory / "log") as kit:
        (run,) = evaluate_all([checkpoint], chosen, options, SampleSource(kit), watch)
    if run.failures:
        sys.exit(f"evalsuite failed: {run.failures[0].message}")
    where = run_paths(options.config.output_dir, checkpoint, options.settings, None)
    return LoopResult(
        seconds=watch.last_at - watch.planned_at,
        first=watch.first_at - watch.started,
        peak_memory_bytes=max(score.cost.peak_memory_bytes or 0 for score in run.scores),
        predictions={
            (b.name, row.id): row.prediction
            for b in chosen
            for row in read_samples(where.samples(b.name))
        },
        workload=_workload_of(run),
    )


def _workload_of(run: Run) -> Workload:
    """Return the work of all benchmarks; weights count once."""
    tokens = {
        kind: sum(score.cost.tokens[kind] for score in run.scores)
        for kind in ("tiles", "prompt", "read", "generated")
    }
    return Workload(
        prompts=sum(score.n for score in run.scores),
        tiles=tokens["tiles"],
        prompt_tokens=tokens["prompt"],
        prefill_tokens=tokens["read"],
        generated=tokens["generated"],
    )


def run_vlmevalkit(
    checkpoint: Checkpoint, chosen: Sequence[Benchmark], on: DeviceSetting, directory: Path
) -> LoopResult:
    """Run VLMEvalKit's loop, with new model and dataset objects for each benchmark."""
    task = ReferenceTask(
        checkpoint=checkpoint,
        device=on.device,
        dtype=on.vlmevalkit_dtype,
        benchmarks=tuple(chosen),
        work=directory / "reference",
    )
    results = list(run_reference(task))
    if failed := [r.error for r in results if r.error and not r.error.startswith("evaluate:")]:
        sys.exit(f"VLMEvalKit's loop failed: {failed[0]}")
    return LoopResult(
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
    checkpoint: Checkpoint, chosen: Sequence[Benchmark], on: DeviceSetting, rounds: int
) -> list[tuple[LoopResult, LoopResult]]:
    """Run both in alternating order; return ``(VLMEvalKit, evalsuite)`` for each round."""
    turns = []
    for turn in range(rounds):
        pair = {}
        # The order alternates, so that neither side always runs on the warmer machine.
        for side in (
            (run_vlmevalkit, run_evalsuite) if turn % 2 == 0 else (run_evalsuite, run_vlmevalkit)
        ):
            with tempfile.TemporaryDirectory() as name:
                print(f"round {turn + 1}: {side.__name__} ...", file=sys.stderr, flush=True)
                pair[side.__name__] = side(checkpoint, chosen, on, Path(name))
        turns.append((pair["run_vlmevalkit"], pair["run_evalsuite"]))
    return turns


def table(turns: Sequence[tuple[LoopResult, LoopResult]]) -> str:
    """All rounds as a markdown table."""
    rows = []
    for number, (their, our) in enumerate(turns, start=1):
        n = len(our.predictions)
        same = sum(our.predictions[key] == text for key, text in their.predictions.items())
        rows.append(
            {
                "round": number,
                "samples": n,
                "VLMEvalKit, samples/s": rate(n / their.seconds),
                "evalsuite, samples/s": rate(n / our.seconds),
                "ratio": f"{their.seconds / our.seconds:.1f}",
                "same predictions": f"{same} of {len(their.predictions)}",
                "first prediction, s": f"{their.first:.1f} / {our.first:.1f}",
                "peak memory, MB": f"{their.peak_memory_bytes / 1e6:.0f} / "
                f"{our.peak_memory_bytes / 1e6:.0f}",
            }
        )
    return tabulate(rows, headers="keys", tablefmt="github")


def roofline_summary(
    checkpoint: Checkpoint, on: DeviceSetting, turns: Sequence[tuple[LoopResult, LoopResult]]
) -> str:
    """Compare our best round with the minimum time of the hardware."""
    from transformers import AutoConfig

    rates = rates_of(checkpoint, on)
    best = min((our for _, our in turns), key=lambda our: our.seconds)
    assert best.workload is not None
    shape = shape_of(AutoConfig.from_pretrained(checkpoint.base_path or checkpoint.path))
    needed = minimum_work(shape, best.workload, BYTES_PER_WEIGHT[on.dtype])
    stages = {name: w.seconds(rates.matrix, rates.bandwidth) for name, w in needed.items()}
    minimum = sum(stages.values())
    operations = sum(w.operations for w in needed.values())
    return (
        f"Minimum time: {minimum:.3g} s for evalsuite's work ("
        + ", ".join(f"{name} {seconds:.3g}" for name, seconds in stages.items())
        + f"). The best round took {best.seconds:.3g} s, "
        f"{best.seconds / minimum:.1f} times as long. "
        f"{operations / 1e12:.3g} TFLOP: {best.workload.tiles:,} tiles, "
        f"{best.workload.prefill_tokens:,} of {best.workload.prompt_tokens:,} prompt tokens "
        "processed, "
        f"{best.workload.generated:,} generated; at {rates.matrix / 1e12:.3g} TFLOP/s and "
        f"{rates.bandwidth / 1e9:.3g} GB/s as measured on {rates.device} in {on.dtype}, "
        f"{operations / best.seconds / rates.matrix:.0%} of the matrix rate."
    )


def rates_of(checkpoint: Checkpoint, on: DeviceSetting) -> DeviceRates:
    """Measure the device's rates in our number format."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        rates = measure_device(
            ProfileTask(
                directory=checkpoint.path,
                settings=EngineSettings(device=on.device, dtype=on.dtype),
                image_size=(0, 0), new_tokens=0, log=Path(log.name),
            )
        )  # fmt: skip
    assert isinstance(rates, DeviceRates), rates
    return rates


def _dtypes(on: DeviceSetting) -> str:
    if on.dtype == on.vlmevalkit_dtype:
        return f"{on.dtype} on both sides"
    return f"VLMEvalKit in {on.vlmevalkit_dtype}, evalsuite in {on.dtype}: each one's default"


def _gpu(on: DeviceSetting) -> str:
    if on.device == "cpu":
        return "no GPU"
    shown = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    return shown.strip().splitlines()[0] if shown.strip() else on.device


@contextmanager
def subject(arguments: argparse.Namespace) -> Iterator[tuple[Checkpoint, list[Benchmark]]]:
    """Yield the checkpoint and the benchmarks."""
    if arguments.shape == "demo":
        known = catalogue.load()
        names = [name for name in arguments.benchmarks.split(",") if name]
        wanted = known.select(names) if names else known.suite("demo")
        chosen = [b for b in (locate(b, None) for b in wanted) if isinstance(b, Benchmark)]
        yield checkpoints.read(arguments.ckpt), chosen
        return
    with tempfile.TemporaryDirectory(prefix="evalsuite-bench-") as name:
        print(f"making a checkpoint of shape {arguments.shape} ...", file=sys.stderr, flush=True)
        made = shapes.make(shapes.SIZES[arguments.shape], Path(name) / f"random-{arguments.shape}")
        width, _, height = arguments.size.partition("x")
        benchmark = photos.make(
            Path(name) / "photos",
            arguments.images,
            arguments.questions,
            (int(width), int(height)),
            arguments.new_tokens,
        )
        yield checkpoints.read(str(made)), [benchmark]


def compare(arguments: argparse.Namespace, on: DeviceSetting) -> tuple[str, bool]:
    """Run both; return the report, and whether predictions are equal where they must be."""
    with subject(arguments) as (checkpoint, chosen):
        turns = measure(checkpoint, chosen, on, arguments.rounds)
        report = f"{table(turns)}\n\n{roofline_summary(checkpoint, on, turns)}"
    same = all(their.predictions == our.predictions for their, our in turns)
    return report, same or not on.comparable


def compare_prefixes(arguments: argparse.Namespace, on: DeviceSetting) -> tuple[str, bool]:
    """Compare shared prefixes with complete processing, for one video."""
    from bench import prefixes  # imports torch, which otherwise only child processes do

    with subject(arguments) as (checkpoint, _), tempfile.TemporaryDirectory() as name:
        asked = prefixes.video(
            Path(name), arguments.frames, arguments.questions, arguments.new_tokens
        )
        turns = prefixes.measure(checkpoint.path, on.device, on.dtype, asked, arguments.rounds)
    same = all(whole.texts == shared.texts for whole, shared in turns)
    return prefixes.table(turns), same or on.dtype != "float32"


def section_of(arguments: argparse.Namespace, on: DeviceSetting) -> str:
    """Return the section name in RESULTS.md; the demo's name has no details."""
    kind = "shared prefixes" if arguments.video else "side-by-side"
    if arguments.shape == "demo" and on == DeviceSetting("cpu", "float32", "float32"):
        return kind
    questions = "" if arguments.video else f", {arguments.questions} questions an image"
    return f"{kind}: {arguments.shape}, {on.device}, {arguments.dtype}{questions}"


def main() -> None:
    """Measure, print, and with ``--write`` update RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ckpt", default="demo")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--benchmarks", default="")
    parser.add_argument("--write", action="store_true", help="write the result to RESULTS.md")
    parser.add_argument("--shape", default="demo", choices=("demo", *shapes.SIZES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "default"))
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--questions", type=int, help="questions per image [4] or per video [8]")
    parser.add_argument("--size", default="1024x768", help="image size, WIDTHxHEIGHT")
    parser.add_argument("--new-tokens", type=int, default=8)
    parser.add_argument("--video", action="store_true", help="measure prefix sharing")
    parser.add_argument("--frames", type=int, default=64)
    arguments = parser.parse_args()
    arguments.questions = arguments.questions or (8 if arguments.video else 4)
    on = setting_of(arguments.device, arguments.dtype)
    run: Callable[[argparse.Namespace, DeviceSetting], tuple[str, bool]]
    run = compare_prefixes if arguments.video else compare
    tables, equal = run(arguments, on)
    command = shlex.join(["python", "-m", "bench.side_by_side", *sys.argv[1:]])
    report = f"{setting(command, f'{_gpu(on)}, {_dtypes(on)}')}\n\n{tables}\n"
    print(report)
    if not equal:
        sys.exit("the predictions differ, so the speeds are not comparable")
    if arguments.write:
        write(section_of(arguments, on), report)


if __name__ == "__main__":
    main()
