"""What a run was made with, found out without importing any of it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("evalsuite")
except PackageNotFoundError:  # running from a source tree that was never installed
    VERSION = "0+unknown"

PACKAGES = (
    "ms-vlmeval", "torch", "torchvision", "transformers", "peft", "tokenizers", "pillow", "decord",
    "numpy",
)  # fmt: skip
"""Those that can change a prediction or a score."""


def versions() -> dict[str, str | None]:
    """The versions of Python, the system and `PACKAGES`; None for one that is not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for name in PACKAGES:
        found[name] = installed(name)
    return found


def installed(name: str) -> str | None:
    """The version of package `name`, None if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
