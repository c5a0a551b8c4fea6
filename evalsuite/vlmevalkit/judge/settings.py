"""What a user says about a judge: its name and address as options, its key in the environment."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from evalsuite.errors import UsageError
from evalsuite.runs.comparable import JudgeId

DEFAULT_BASE_URL = "https://api.openai.com/v1"
KEY_VARIABLES = ("EVALSUITE_JUDGE_KEY", "OPENAI_API_KEY")
"""Where the key is looked for: the first that is set. A value of ``-`` stands for no key."""


def read_settings(model: str, base_url: str | None) -> JudgeId:
    """Check what was typed; raises `UsageError`. No message repeats an address that holds a key."""
    model = model.strip()
    if not model:
        raise UsageError("--judge: an empty name; give the model as its endpoint calls it")
    address = DEFAULT_BASE_URL if base_url is None else base_url.strip().rstrip("/")
    if "@" in address or "?" in address or "#" in address:
        raise UsageError(
            "--judge-base-url: holds more than a host and a path; leave out user, password and "
            f"query, and put the key into {KEY_VARIABLES[0]}"
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
            f"--judge-base-url: '{address}' is no whole address; "
            "give one like http://localhost:8000/v1"
        )
    if parts.path.endswith("/completions"):
        raise UsageError(
            f"--judge-base-url: {address} names one service; "
            f"give {address.removesuffix('/completions').removesuffix('/chat')}"
        )
    return JudgeId(model=model, base_url=address)


def read_key() -> tuple[str, str]:
    """The variable that holds the key and the key itself; both empty if there is none."""
    for variable in KEY_VARIABLES:
        key = os.environ.get(variable, "").strip()
        if key and not re.fullmatch(r"[!-~]+", key):
            raise UsageError(f"{variable}: holds characters that no key has; set it again")
        if key:
            return (variable, key) if key != "-" else ("", "")
    return "", ""
