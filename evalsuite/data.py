"""Where a benchmark's data lies, and its digest, without importing VLMEvalKit."""

from __future__ import annotations

import ast
import csv
import dataclasses
import hashlib
import os
import sys
from pathlib import Path

from evalsuite.benchmarks import Benchmark
from evalsuite.digests import file_digest
from evalsuite.results import Failure


def locate(benchmark: Benchmark, data_dir: Path | None) -> Benchmark | Failure:
    """`benchmark` with ``data`` an existing path, or why there is none.

    Data the benchmarks file names is where it says. Other data is in ``--data-dir``, or without it
    in VLMEvalKit's own ``$LMUData`` (``~/LMUData``): ``<dataset>.tsv`` for images, a directory for
    videos.
    """
    if benchmark.data is not None:
        path = Path(benchmark.data)
    else:
        name = benchmark.dataset + (".tsv" if benchmark.modality == "image" else "")
        lmu = Path(os.environ.get("LMUData", "~/LMUData")).expanduser()
        path = (data_dir or lmu) / name
    if path.exists():
        return dataclasses.replace(benchmark, data=str(path.resolve()))
    return Failure(
        benchmark=benchmark.name,
        stage="data",
        message=f"no data at {path}",
        remedy="put it there, or name its directory with --data-dir",
    )


def data_digest(benchmark: Benchmark) -> str:
    """SHA-256 over the content of the benchmark's files, in hex. Hashed once, then remembered.

    That is its table with the images it refers to, or a directory's tables, videos and subtitles;
    other files there (locks, archives) do not count.
    """
    root = Path(benchmark.data or "")
    if root.is_file():
        files = [root, *_referenced(root)]
        if len(files) == 1:
            return file_digest(root)
    else:
        files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in _COUNTED)
    digest = hashlib.sha256()
    for path in files:
        name = os.path.relpath(path, root.parent)
        digest.update(f"{name}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


_COUNTED = {
    *(".tsv", ".json", ".jsonl", ".csv", ".parquet", ".srt", ".vtt"),
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif", ".jpg", ".jpeg", ".png"),
}


def _referenced(table: Path) -> list[Path]:
    """The files an ``image_path`` column names where the table holds no images itself."""
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        csv.field_size_limit(sys.maxsize)
        rows = csv.reader(file, delimiter="\t")
        columns = next(rows, [])
        if "image_path" not in columns or "image" in columns:
            return []
        at = columns.index("image_path")
        cells = {row[at] for row in rows if len(row) > at}
    named = {name for cell in cells for name in _names(cell)}
    found = (table.parent / name for name in sorted(named))
    return [path for path in found if path.is_file()]


def _names(cell: str) -> list[str]:
    """The names in a cell: one, or a list of them as Python writes it."""
    if cell.startswith("["):
        try:
            return [str(name) for name in ast.literal_eval(cell)]
        except (SyntaxError, ValueError):
            return []
    return [cell]
