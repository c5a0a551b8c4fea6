"""``python -m evalsuite.benchmarks.data.hub_worker``: download one dataset repository of the Hub.

It is a separate process because the Hub's client downloads in threads that continue after Ctrl-C,
and prints its own progress. It can be killed at any time; the next download continues.
"""

from __future__ import annotations

import os

from evalsuite.benchmarks.data.errors import NO_NETWORK, DataError
from evalsuite.system.process import serve
from evalsuite.system.text import one_line


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
