"""Dataset repositories on the Hub: their sizes, and downloads into the Hub cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch

from evalsuite.benchmarks.benchmark import Published
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.hub_worker import hub_error
from evalsuite.benchmarks.data.progress import OnStep, Step
from evalsuite.benchmarks.data.search_paths import hub_directory
from evalsuite.system.process import Child, ChildDied

_LOOK_SECONDS = 1.0


def repository_size(published: Published, patterns: Sequence[str], timeout: float) -> int:
    """Bytes of the files that match `patterns`. Raises `DataError`."""
    from huggingface_hub import HfApi

    assert published.repository is not None
    try:
        info = HfApi().dataset_info(
            published.repository,
            revision=published.revision,
            timeout=timeout,
            files_metadata=True,
        )
    except Exception as error:
        raise hub_error(published.repository, published.revision, error) from error
    return sum(
        entry.size or 0
        for entry in info.siblings or ()
        if any(fnmatch(entry.rfilename, pattern) for pattern in patterns)
    )


def loaded_bytes(repository: str) -> int:
    """Bytes of the repository in the Hub cache, including partly downloaded files."""
    total = 0
    try:
        for entry in os.scandir(hub_directory(repository) / "blobs"):
            # Blocks are counted because an unfinished file can have its final length.
            stat = entry.stat()
            total += min(stat.st_size, stat.st_blocks * 512)
    except OSError:
        pass
    return total


def download_repository(
    published: Published,
    patterns: Sequence[str],
    benchmark: str,
    total: int,
    on_step: OnStep,
) -> None:
    """Download the files to the Hub cache. Raises `DataError`."""
    assert published.repository is not None
    before = loaded_bytes(published.repository)
    child = Child("evalsuite.benchmarks.data.hub_worker")
    try:
        child.send((published.repository, published.revision, tuple(patterns)))
        while not child.connection.poll(_LOOK_SECONDS):
            # This includes the bytes of another process that downloads the same repository.
            done = max(loaded_bytes(published.repository) - before, 0)
            on_step(Step(benchmark, "downloading", min(done, total), total))
        problem: tuple[str, str] | None = child.receive()
    except ChildDied as error:
        raise DataError(
            f"{published.repository}: the download process {error}", "rerun the same command"
        ) from error
    finally:
        child.kill()
    if problem is not None:
        message, remedy = problem
        raise DataError(f"{published.repository}: {message}", remedy)
