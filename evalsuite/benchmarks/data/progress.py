"""What is being done to data, told while it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """How far one piece of work is, in bytes."""

    benchmark: str
    doing: str
    """``downloading``, ``unpacking``, ``checking``."""
    done: int
    total: int | None
    """None where nobody knows."""


Say = Callable[[Step], None]


def silent(step: Step) -> None:
    """Tell nobody."""
