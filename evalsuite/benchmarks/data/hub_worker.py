"""``python -m evalsuite.benchmarks.data.hub_worker``: download one dataset repository of the Hub.

A process of its own: the Hub's client downloads in threads that would outlive Ctrl-C, and shows
progress of its own. Killed at any moment it continues where it was.
"""

from __future__ import annotations

import os

from evalsuite.benchmarks.data.errors import NO_NETWORK
from evalsuite.system.process import serve
from evalsuite.system.text import one_line


def explain(repository: str, revision: str, error: BaseException) -> tuple[str, str]:
    """What went wrong with the Hub, and what to do."""
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
        error = error.__cause__  # the client wraps what it was into "not in the cache either"
    if isinstance(error, GatedRepoError):
        return (
            "the Hub gives it only to those who accept its terms",
            f"accept them at {page} and log in with `hf auth login`, or set HF_TOKEN",
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "the Hub has no such dataset, or none that you may read",
            "check 'repository' in the benchmarks file, or log in with `hf auth login`",
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the Hub's dataset has no revision '{revision}'", f"see {page}/commits"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set", "unset it to download"
    return one_line(error), NO_NETWORK


def main() -> None:
    """Download what the parent asks for, and say where it is or what went wrong."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    connection = serve()
    repository, revision, patterns = connection.recv()
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=list(patterns)
        )
        connection.send(("ok", str(path), ""))
    except Exception as error:  # noqa: BLE001 - the process boundary: it is told as text
        connection.send(("failed", *explain(repository, revision, error)))


if __name__ == "__main__":
    main()
