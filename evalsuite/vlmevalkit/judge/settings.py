"""Judge settings: model and address from options, key from the environment."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from evalsuite.errors import UsageError
from evalsuite.runs.comparable import JudgeId

DEFAULT_BASE_URL = "https://api.openai.com/v1"
KEY_VARIABLES = ("EVALSUITE_JUDGE_KEY", "OPENAI_API_KEY")
"""Environment variables for the key; the first that is set is used. ``-`` means no key."""


def read_settings(model: str, base_url: str | None) -> JudgeId:
    """Validate the options; raises `UsageError`. No message contains an address with a key."""
    model = model.strip()
    if not model:
        raise UsageError("--judge: empty name; use the endpoint's name of the model")
    address = DEFAULT_BASE_URL if base_url is None else base_url.strip().rstrip("/")
    if "@" in address or "?" in address or "#" in address:
        raise UsageError(
            "--judge-base-url: contains more than host and path; remove user, password and query, "
            f"and put the key into {KEY_VARIABLES[0]}"
        )
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not re.fullmatch(r"[0-9a-z_:-]+(\.[0-9a-z_-]+)*\.?", host) or re.search(r"\s", address):
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise UsageError(
            f"--judge-base-url: '{address}' is not a complete address; "
            "use the form http://localhost:8000/v1"
        )
    if parts.path.endswith("/completions"):
        raise UsageError(
            f"--judge-base-url: {address} is the address of one service; "
            f"use {address.removesuffix('/completions').removesuffix('/chat')}"
        )
    return JudgeId(model=model, base_url=address)


def read_key() -> tuple[str, str]:
    """Return the name of the variable with the key, and the key; both empty if there is none."""
    for variable in KEY_VARIABLES:
        key = os.environ.get(variable, "").strip()
        if key and not re.fullmatch(r"[!-~]+", key):
            raise UsageError(
                f"{variable}: contains characters that are invalid in a key; set it again"
            )
        if key:
            return (variable, key) if key != "-" else ("", "")
    return "", ""
