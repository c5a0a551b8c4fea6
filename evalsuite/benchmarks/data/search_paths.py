"""Where the data of a benchmark is to be looked for."""

from __future__ import annotations

import os
from pathlib import Path

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.benchmarks.data.inspect_tree import looks_like
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.errors import UsageError


def lmu_directory() -> Path:
    """VLMEvalKit's own place for data: ``$LMUData``, or ``~/LMUData``."""
    return Path(os.environ.get("LMUData") or "~/LMUData").expanduser()


def check_data_dir(path: Path | None) -> None:
    """Raise `UsageError` if ``--data-dir`` names no directory."""
    if path is not None and not path.is_dir():
        raise UsageError(f"--data-dir {path}: no such directory; name the one with data")


def is_video_tree(benchmark: Benchmark) -> bool:
    """Whether its data is a dataset of videos with a layout of its own."""
    return benchmark.data is None and benchmark.modality == "video" and benchmark.dataset in LAYOUTS


def place_of(benchmark: Benchmark, data_dir: Path | None) -> Path:
    """Where the data is, or where it would be if it were there."""
    if benchmark.data is not None:
        return Path(benchmark.data)
    candidates = _candidates(benchmark, data_dir)
    if is_video_tree(benchmark):
        # Names overlap: MVBench is a benchmark of one dataset and the key of another.
        likely = [path for path in candidates if looks_like(benchmark.dataset, path)]
        return (likely or [path for path in candidates if path.exists()] or candidates)[0]
    return next((path for path in candidates if path.exists()), candidates[0])


def _candidates(benchmark: Benchmark, data_dir: Path | None) -> list[Path]:
    if benchmark.modality == "image":
        return [(data_dir or lmu_directory()) / f"{benchmark.dataset}.tsv"]
    names = dict.fromkeys((benchmark.dataset, benchmark.name))
    if data_dir is not None:
        return [data_dir / name for name in names]
    snapshot = hub_snapshot(benchmark)
    local = [lmu_directory() / benchmark.dataset]
    return local if snapshot is None else [snapshot, *local]


def hub_snapshot(benchmark: Benchmark) -> Path | None:
    """The Hub cache's copy of the benchmark's repository, whole or not; None if there is none."""
    if benchmark.published is None or benchmark.published.repository is None:
        return None
    folder = hub_folder(benchmark.published.repository)
    try:
        commit = (folder / "refs" / benchmark.published.revision).read_text().strip()
    except OSError:
        commit = benchmark.published.revision
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def hub_folder(repository: str) -> Path:
    """Where the Hub's client keeps a dataset repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}"
