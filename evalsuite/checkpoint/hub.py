"""Files of a model on the Hugging Face Hub: downloaded once, and no long wait without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import UsageError

PATIENCE_SECONDS = 5.0
"""How long the Hub may take to answer before the local cache is used (or HF_HUB_ETAG_TIMEOUT)."""

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
        """The part after the organisation, and the revision if it is not the default one."""
        name = self.repo.partition("/")[2]
        return name if self.revision in (None, "main") else f"{name}-{self.revision}"

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A model's files as they lie in the local Hub cache."""

    path: Path
    warnings: tuple[str, ...] = ()


def parse_hub_id(source: str) -> HubId | None:
    """`source` as a Hub id, or None if it does not read like one."""
    match = _ID.fullmatch(source)
    return HubId(repo=match["repo"], revision=match["revision"]) if match else None


def download(model: HubId, patterns: Sequence[str]) -> Snapshot:
    """Get the top-level files of `model` that match `patterns`, cached ones if the Hub is away.

    Raises `UsageError` in one line if there is no such model, no access, or neither network nor
    cached files. ``trust_remote_code`` plays no part: no code is fetched.
    """
    # Imported here: most commands work on local directories and need no Hub client.
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, XetDownloadError

    patience = min(constants.HF_HUB_ETAG_TIMEOUT, PATIENCE_SECONDS)
    problems = (OSError, _http_error(), XetDownloadError)
    unreachable: Exception | None = None
    try:
        # snapshot_download asks this too, but with no limit on how long it waits.
        HfApi().model_info(model.repo, revision=model.revision, timeout=patience)
    except HFValidationError as error:
        raise UsageError(f"{model}: not a Hub id: {_first_line(error)}") from error
    except problems as error:
        unreachable = error
    try:
        path = snapshot_download(
            model.repo,
            revision=model.revision,
            allow_patterns=list(patterns),
            ignore_patterns=["*/*"],
            etag_timeout=patience,
            local_files_only=unreachable is not None,
        )
    except problems as error:
        raise UsageError(f"{model}: {_explain(model, unreachable or error)}") from error
    if unreachable is None or isinstance(unreachable, OfflineModeIsEnabled):
        return Snapshot(path=Path(path))
    reason = _first_line(unreachable)
    return Snapshot(
        path=Path(path),
        warnings=(f"{model}: the Hub did not give it ({reason}); the cached copy was used",),
    )


def _http_error() -> type[Exception]:
    """Name what the Hub's HTTP client raises: httpx or httpx2, by huggingface_hub's version."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__mro__ if base.__module__.startswith("httpx"))


def _explain(model: HubId, error: Exception) -> str:
    """Why there are no files, and what to do."""
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
            f"gated on the Hub: accept its terms at {page} and log in with `hf auth login`, "
            "or set HF_TOKEN"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            "neither a directory here nor a model on the Hub that you may read; check the "
            "spelling, or log in with `hf auth login` if it is private"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the model has no revision '{model.revision}'; see {page}/commits"
    cache = f"it is not (wholly) in the local cache {constants.HF_HUB_CACHE}"
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"no directory here, {cache}, and HF_HUB_OFFLINE is set; unset it to download, "
            "or give a local directory"
        )
    return (
        f"no directory here, {cache}, and the Hub could not be used ({_first_line(error)}); check "
        "the network, HTTPS_PROXY and HF_ENDPOINT, or give a local directory (HF_HUB_OFFLINE=1 "
        "never asks the Hub)"
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
