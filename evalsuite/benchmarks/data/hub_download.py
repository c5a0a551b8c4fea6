"""Dataset repositories of the Hub: how large they are, and getting them into the Hub's cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from evalsuite.benchmarks.catalogue import Published
from evalsuite.benchmarks.data.errors import DataError
from evalsuite.benchmarks.data.progress import Say, Step
from evalsuite.benchmarks.data.search_paths import hub_folder
from evalsuite.system.process import Child, ChildDied

_LOOK_SECONDS = 1.0


def repository_size(repository: str, revision: str, patterns: Sequence[str], timeout: float) -> int:
    """Bytes of the files that match `patterns`. Raises what the Hub's client raises."""
    from huggingface_hub import HfApi

    info = HfApi().dataset_info(repository, revision=revision, timeout=timeout, files_metadata=True)
    return sum(
        entry.size or 0
        for entry in info.siblings or ()
        if any(fnmatch(entry.rfilename, pattern) for pattern in patterns)
    )


def loaded_bytes(repository: str) -> int:
    """Bytes of the repository in the Hub's cache, those of unfinished files too."""
    total = 0
    try:
        for entry in os.scandir(hub_folder(repository) / "blobs"):
            # Blocks, because an unfinished file may already have its full length.
            stat = entry.stat()
            total += min(stat.st_size, stat.st_blocks * 512)
    except OSError:
        pass
    return total


def download_repository(
    published: Published, patterns: Sequence[str], benchmark: str, total: int | None, say: Say
) -> Path:
    """Get the repository's files into the Hub's cache; returns the snapshot. Raises `DataError`."""
    assert published.repository is not None
    before = loaded_bytes(published.repository)
    child = Child("evalsuite.benchmarks.data.hub_worker")
    try:
        child.send((published.repository, published.revision, tuple(patterns)))
        while not child.connection.poll(_LOOK_SECONDS):
            # Of another process's download at the same time we see the bytes too; never mind.
            done = max(loaded_bytes(published.repository) - before, 0)
            say(Step(benchmark, "downloading", done if total is None else min(done, total), total))
        outcome, first, second = child.receive()
    except ChildDied as error:
        raise DataError(
            f"{published.repository}: the download {error}", "run the same command again"
        ) from error
    finally:
        child.kill()
    if outcome != "ok":
        raise DataError(f"{published.repository}: {first}", second)
    return Path(first)
