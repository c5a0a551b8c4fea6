"""Versions of evalsuite, Python and installed packages; none of them is imported."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("evalsuite")
except PackageNotFoundError:  # a source tree that is not installed
    VERSION = "0+unknown"

PACKAGES = (
    "ms-vlmeval", "torch", "torchvision", "transformers", "peft", "tokenizers", "pillow", "decord",
    "av", "numpy",
)  # fmt: skip
"""Packages that can change a prediction or a score. Every run records their versions."""


def versions() -> dict[str, str | None]:
    """Versions of Python, the system and `PACKAGES`; None for a package that is not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for name in PACKAGES:
        found[name] = installed(name)
    return found


def installed(name: str) -> str | None:
    """The version of package `name`; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
