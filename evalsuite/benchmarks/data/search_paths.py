"""The paths at which a benchmark's data is searched for."""

from __future__ import annotations

import os
from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.inspect_tree import has_dataset
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.errors import UsageError


def lmu_directory() -> Path:
    """VLMEvalKit's data directory: ``$LMUData``, or ``~/LMUData``."""
    return Path(os.environ.get("LMUData") or "~/LMUData").expanduser()


def check_data_dir(path: Path | None) -> None:
    """Raise `UsageError` if ``--data-dir`` is not a directory."""
    if path is not None and not path.is_dir():
        raise UsageError(f"--data-dir {path}: no such directory; set it to the data")


def is_video_tree(benchmark: Benchmark) -> bool:
    """Whether the data is a directory tree of a video dataset in `LAYOUTS`.

    The `data` of a benchmark is one if it has no tables yet, like the files of a repository.
    """
    if benchmark.modality != "video" or benchmark.dataset not in LAYOUTS:
        return False
    if benchmark.data is None:
        return True
    root = Path(benchmark.data)
    tables = (root / f"{table}.tsv" for table in LAYOUTS[benchmark.dataset].tables)
    return root.is_dir() and not any(table.exists() for table in tables)


def data_path(benchmark: Benchmark, data_dir: Path | None) -> Path:
    """The path of the data; if there is none, the path at which it is expected."""
    if benchmark.data is not None:
        return Path(benchmark.data)
    candidates = _candidates(benchmark, data_dir)
    if is_video_tree(benchmark):
        # MVBench is the name of one benchmark and the dataset key of another.
        likely = [path for path in candidates if has_dataset(benchmark.dataset, path)]
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
    """The benchmark's repository in the Hub cache, perhaps incomplete; None if it is not cached."""
    if benchmark.published is None or benchmark.published.repository is None:
        return None
    folder = hub_directory(benchmark.published.repository)
    try:
        commit = (folder / "refs" / benchmark.published.revision).read_text().strip()
    except OSError:
        commit = benchmark.published.revision
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def hub_directory(repository: str) -> Path:
    """The directory of a dataset repository in the Hub cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}"
