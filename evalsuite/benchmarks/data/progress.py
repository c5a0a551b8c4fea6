"""Progress of downloads and unpacking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of one task, in bytes."""

    benchmark: str
    doing: str
    """``downloading``, ``unpacking``, ``checking``."""
    done: int
    total: int | None
    """None if unknown."""


OnStep = Callable[[Step], None]


def no_progress(step: Step) -> None:
    """Ignore `step`."""
