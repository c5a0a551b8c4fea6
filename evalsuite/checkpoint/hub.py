"""Files of a model on the Hugging Face Hub: downloaded once, and quick without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.system.text import one_line

TIMEOUT_SECONDS = 5.0
"""Time limit of the Hub's answer; then the local cache is used. HF_HUB_ETAG_TIMEOUT lowers it."""

_ID = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*)(@(?P<revision>[\w.][\w./-]*))?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubId:
    """A model on the Hub: ``org/name`` or ``org/name@revision``."""

    repo: str
    revision: str | None = None

    @property
    def name(self) -> str:
        """The name without the organisation, with the revision unless that is ``main``."""
        name = self.repo.partition("/")[2]
        return name if self.revision in (None, "main") else f"{name}-{self.revision}"

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def parse_hub_id(source: str) -> HubId | None:
    """`source` as a Hub id; None if it does not have the form of one."""
    match = _ID.fullmatch(source)
    return HubId(repo=match["repo"], revision=match["revision"]) if match else None


def download(model: HubId, patterns: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """Download the top-level files of `model` that match `patterns`; return folder and warnings.

    Uses the cached files, with a warning, if the Hub cannot be reached. Raises `UsageError` if the
    model does not exist, is not accessible, or is neither reachable nor cached.
    """
    # Imported here because most commands need no Hub client.
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, XetDownloadError

    timeout = min(constants.HF_HUB_ETAG_TIMEOUT, TIMEOUT_SECONDS)
    problems = (OSError, _http_error(), XetDownloadError)
    unreachable: Exception | None = None
    try:
        # snapshot_download makes this request too, but without a time limit.
        HfApi().model_info(model.repo, revision=model.revision, timeout=timeout)
    except HFValidationError as error:
        raise UsageError(
            f"{model}: not a valid Hub id: {one_line(error, with_type=True)}"
        ) from error
    except problems as error:
        unreachable = error
    try:
        path = snapshot_download(
            model.repo,
            revision=model.revision,
            allow_patterns=list(patterns),
            ignore_patterns=["*/*"],
            etag_timeout=timeout,
            local_files_only=unreachable is not None,
        )
    except problems as error:
        raise UsageError(f"{model}: {_explain(model, unreachable or error)}") from error
    if unreachable is None or isinstance(unreachable, OfflineModeIsEnabled):
        return Path(path), ()
    reason = one_line(unreachable, with_type=True)
    warning = f"{model}: could not be checked on the Hub ({reason}); the cached copy is used"
    return Path(path), (warning,)


def _http_error() -> type[Exception]:
    """The error class of the Hub's HTTP client: httpx or httpx2, depending on its version."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__module__.startswith("httpx"))


def _explain(model: HubId, error: Exception) -> str:
    """Why the files are not available, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{model.repo}"
    if isinstance(error, GatedRepoError):
        return (
            f"gated on the Hub: accept the terms at {page} and log in with `hf auth login`, "
            "or set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "neither a local directory nor an accessible model on the Hub; check the spelling, "
            "or log in with `hf auth login` if the model is private"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the model has no revision '{model.revision}'; see {page}/commits"
    cache = f"not or only partly in the cache {constants.HF_HUB_CACHE}"
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"no local directory, {cache}, and HF_HUB_OFFLINE is set; unset it to download, "
            "or use a local directory"
        )
    reason = one_line(error, with_type=True)
    return (
        f"no local directory, {cache}, and the Hub could not be used ({reason}); check the "
        "network, HTTPS_PROXY and HF_ENDPOINT, or use a local directory (HF_HUB_OFFLINE=1 avoids "
        "requests to the Hub)"
    )
