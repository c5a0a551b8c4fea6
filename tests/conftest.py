"""Shared by the tests that run whole benchmarks: one kit process, one uninterrupted demo run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from evalsuite.benchmarks import catalogue as benchmarks
from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.locate import locate
from evalsuite.checkpoint import checkpoint
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.runner.config import Mode, RunConfig
from evalsuite.runner.events import (
    BenchmarkFinished,
    BenchmarkPlan,
    Event,
    Note,
    RunPlanned,
    SamplesPredicted,
    SamplesRerun,
)
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run import evaluate_all
from evalsuite.runner.workers.pool import StartWorker
from evalsuite.runner.workers.worker import Worker
from evalsuite.runs.layout import read_limit, run_paths
from evalsuite.runs.records import Outcome, Run
from evalsuite.system.devices import resampling
from evalsuite.system.hashing import cache_directory
from evalsuite.vlmevalkit.client import Kit
from tests.fakes.workers import Kept

# The background jobs of a shell ignore SIGINT, and so would all processes that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read when torch is first imported: its threads then wait without spinning, as in a worker.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


INTEGRATION_FIXTURES = {"bench", "kit", "reference", "vlmeval"}
"""A test that needs one of these starts VLMEvalKit or a worker."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that start VLMEvalKit or a worker."""
    if INTEGRATION_FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_marker("integration")


@pytest.fixture(scope="session", autouse=True)
def private_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither find nor leave anything in the user's cache, nor beside pytest's own folders.

    A process that is killed, as many here are, cannot tidy up.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALSUITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        scratch = str(tmp_path_factory.mktemp("scratch"))
        patch.setenv("TMPDIR", scratch)
        patch.setattr(tempfile, "tempdir", scratch)
        yield


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test neither reads the user's caches nor asks the network; it runs in `tmp_path`."""
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)


@dataclass
class Watched:
    """Keeps the events of a run."""

    plans: list[tuple[BenchmarkPlan, ...]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    finished: list[tuple[str, str]] = field(default_factory=list)
    """The run and the benchmark of each outcome."""
    notes: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    reruns: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        match event:
            case RunPlanned():
                self.plans.append(tuple(event.benchmarks))
            case SamplesPredicted(run, benchmark, done):
                self.advanced(f"{run} {benchmark}".strip(), done)
            case BenchmarkFinished(run, outcome):
                self.outcomes.append(outcome)
                self.finished.append((run, outcome.benchmark))
            case SamplesRerun(_, done, total):
                self.reruns.append((done, total))
            case Note(text):
                self.notes.append(text)

    def advanced(self, name: str, done: int) -> None:
        self.done[name] = done


@dataclass
class Bench:
    """Runs benchmarks in this process with one kit process for all tests.

    A run's worker is one of those `kept`, if it keeps any; several, or one that is to answer in
    batches of a certain size, are its own.
    """

    source: SampleSource
    checkpoint: Checkpoint
    kept: Kept | None = None

    def run(
        self,
        output: Path,
        chosen: Sequence[Benchmark],
        *,
        progress: Watched | None = None,
        batch_size: int | None = None,
        limit: str | None = None,
        mode: Mode = "all",
        fresh: bool = False,
        workers: int = 1,
        noise: int | None = None,
    ) -> Run:
        options = self.options(output, batch_size, limit, mode, fresh, workers, noise)
        plain = workers == 1 and batch_size is None
        shown, start_worker = progress or Watched(), self.start_worker if plain else Worker
        return self.evaluate(chosen, options, shown, start_worker=start_worker)

    def evaluate(
        self,
        chosen: Sequence[Benchmark],
        options: ResolvedConfig,
        progress: Watched | None = None,
        *,
        start_worker: StartWorker = Worker,
    ) -> Run:
        (run,) = evaluate_all(
            [self.checkpoint],
            chosen,
            options,
            self.source,
            progress or Watched(),
            start_worker=start_worker,
        )  # fmt: skip
        return run

    @property
    def start_worker(self) -> StartWorker:
        """Where a run's worker may come from."""
        return Worker if self.kept is None else self.kept.start_worker

    def of(self, checkpoint: Checkpoint) -> Bench:
        """The same for another checkpoint."""
        return dataclasses.replace(self, checkpoint=checkpoint)

    def options(
        self,
        output: Path,
        batch_size: int | None = None,
        limit: str | None = None,
        mode: Mode = "all",
        fresh: bool = False,
        workers: int = 1,
        noise: int | None = None,
    ) -> ResolvedConfig:
        return ResolvedConfig(
            config=RunConfig(
                output_dir=output, command="test", mode=mode, fresh=fresh, noise=noise
            ),
            devices=("cpu",) * workers,
            dtype="float32",
            resampling=resampling(),
            limit=read_limit(limit),
            batch_size=batch_size,
            threads=1 if workers > 1 else None,
        )

    def directory(self, output: Path) -> Path:
        options = self.options(output)
        return run_paths(output, self.checkpoint, options.settings, None).directory


def demo(*names: str) -> list[Benchmark]:
    """The demo's benchmarks, located; all of them if none is named."""
    catalogue = benchmarks.load()
    chosen = catalogue.select(list(names)) if names else catalogue.suite("demo")
    located = [locate(benchmark, None) for benchmark in chosen]
    return [benchmark for benchmark in located if isinstance(benchmark, Benchmark)]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    root = tmp_path_factory.mktemp("kit")
    with (
        Kit(work=root / "work", media=cache_directory() / "media", log=root / "kit.log") as kit,
        contextlib.closing(Kept()) as kept,
    ):
        kit.start()
        yield Bench(SampleSource(kit), checkpoint.read("demo"), kept)


@pytest.fixture(scope="session")
def kit() -> Kit:
    from tests.builders import kit_data as made_data  # cv2: not every test needs it

    return made_data.kit()


@pytest.fixture(scope="session")
def vlmeval() -> Any:
    from tests.builders import kit_data as made_data

    return made_data.vlmevalkit()


@dataclass(frozen=True)
class Reference:
    """The demo suite, run once without interruption."""

    output: Path
    directory: Path
    run: Run

    def journal(self, benchmark: str) -> Path:
        return self.directory / benchmark / "predictions.jsonl"

    def predictions(self, benchmark: str) -> bytes:
        return self.journal(benchmark).read_bytes()

    def samples(self, benchmark: str) -> bytes:
        return (self.directory / benchmark / "samples.jsonl").read_bytes()


@pytest.fixture(scope="session")
def reference(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    output = tmp_path_factory.mktemp("reference")
    run = bench.run(output, demo())
    assert not run.failures, run.failures
    return Reference(output, bench.directory(output), run)
