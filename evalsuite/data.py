"""Where a benchmark's data lies, and its digest, without importing VLMEvalKit."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

from evalsuite.benchmarks import Benchmark
from evalsuite.digests import file_digest
from evalsuite.results import Failure


def locate(benchmark: Benchmark, data_dir: Path | None) -> Benchmark | Failure:
    """`benchmark` with ``data`` an existing path, or why there is none.

    Data named by the benchmarks file comes first, then ``--data-dir``, then VLMEvalKit's own
    ``$LMUData`` (``~/LMUData``): ``<dataset>.tsv`` for images, a directory for videos.
    """
    if benchmark.data is not None:
        candidates = [Path(benchmark.data)]
    else:
        name = benchmark.dataset + (".tsv" if benchmark.modality == "image" else "")
        lmu = Path(os.environ.get("LMUData", "~/LMUData")).expanduser()
        candidates = [root / name for root in (data_dir, lmu) if root is not None]
    for candidate in candidates:
        if candidate.exists():
            return dataclasses.replace(benchmark, data=str(candidate.resolve()))
    looked = " or ".join(str(c) for c in candidates)
    return Failure(
        benchmark=benchmark.name,
        stage="data",
        message=f"no data at {looked}",
        remedy="put it there, or name its directory with --data-dir",
    )


def data_digest(benchmark: Benchmark) -> str:
    """SHA-256 over the content of the benchmark's files, in hex. Hashed once, then remembered."""
    root = Path(benchmark.data or "")
    if root.is_file():
        return file_digest(root)
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(root).as_posix()}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()
