"""From a benchmark to data that is ready for use, or to the reason why there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from functools import partial
from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data import prepare
from evalsuite.benchmarks.data.checks import checked
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.progress import OnStep, no_progress
from evalsuite.runs.records import Failure
from evalsuite.system.hashing import file_digest


def locate(
    benchmark: Benchmark,
    data_dir: Path | None,
    *,
    allow_modified: bool = False,
    verify: bool = False,
    on_step: OnStep = no_progress,
) -> Benchmark | Failure:
    """`benchmark` with ``data`` an absolute path ready for use, or the reason why there is none.

    The path is the one in the benchmarks file, else it is in `data_dir`, else where `evalsuite
    fetch` and VLMEvalKit store data: ``$LMUData``, or the Hub cache for videos. A repository's
    files are prepared in evalsuite's cache. Tables must have their published MD5, unless
    `allow_modified` is true; then the returned benchmark is marked as modified. `verify` ignores
    remembered hashes. Raises `DiskError` if the cache cannot be written.
    """
    md5 = partial(file_digest, algorithm="md5", fresh=verify)
    try:
        with checked(benchmark, data_dir, md5) as found:
            error = found.modified or found.incomplete
            if error is not None and not allow_modified:
                raise error
            path, contents = found.path, found.contents
            if contents is not None and contents.ready:
                path = contents.root
            elif contents is not None:
                path = prepare.prepared_path(benchmark.dataset, path)
                prepare.prepare(contents, path, benchmark.name, on_step)
    except DataError as failure:
        return failure.of(benchmark.name)
    if path.parent == prepare.prepared_root():
        with contextlib.suppress(OSError):
            os.utime(path)  # the cache drops the least recently used entries first
    return dataclasses.replace(benchmark, data=str(path.resolve()), modified=error is not None)
