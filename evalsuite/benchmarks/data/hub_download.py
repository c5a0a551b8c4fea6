"""Dataset repositories on the Hub: their sizes, and downloads into the Hub cache.

``python -m evalsuite.benchmarks.data.hub_download`` downloads one. It is a separate process because
the Hub's client downloads in threads that continue after Ctrl-C, and prints its own progress. It
can be killed at any time; the next download continues.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch

from evalsuite.benchmarks.benchmark import Published
from evalsuite.benchmarks.data.errors import NO_NETWORK, DataError
from evalsuite.benchmarks.data.progress import OnStep, Step
from evalsuite.benchmarks.data.search_paths import hub_directory
from evalsuite.system.process import Child, ChildDied, serve
from evalsuite.system.text import one_line

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
    child = Child("evalsuite.benchmarks.data.hub_download")
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


def hub_error(repository: str, revision: str, error: BaseException) -> DataError:
    """The reason of an error of the Hub's client, and a remedy."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/datasets/{repository}"
    if isinstance(error.__cause__, HfHubHTTPError | OfflineModeIsEnabled):
        error = error.__cause__  # the client wraps the error in "not in the cache either"
    if isinstance(error, GatedRepoError):
        return DataError(
            "access to the dataset requires accepting its terms",
            f"accept them at {page} and log in with `hf auth login`, or set HF_TOKEN",
        )
    if isinstance(error, RepositoryNotFoundError):
        return DataError(
            "the Hub has no such dataset, or you have no access to it",
            "check 'repository' in the benchmarks file, or log in with `hf auth login`",
        )
    if isinstance(error, RevisionNotFoundError):
        return DataError(f"the Hub's dataset has no revision '{revision}'", f"see {page}/commits")
    if isinstance(error, OfflineModeIsEnabled):
        return DataError("HF_HUB_OFFLINE is set", "unset it to download")
    return DataError(one_line(error), NO_NETWORK)


def main() -> None:
    """Download the requested repository; send None, or why that failed."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    connection = serve()
    repository, revision, patterns = connection.recv()
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=list(patterns)
        )
        connection.send(None)
    except Exception as error:  # noqa: BLE001 - sent to the parent as text
        problem = hub_error(repository, revision, error)
        connection.send((problem.message, problem.remedy))


if __name__ == "__main__":
    main()
