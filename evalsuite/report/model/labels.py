"""Labels of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evalsuite.report.format import short
from evalsuite.report.model.notes import is_blind
from evalsuite.runs.records import Run


def labels(runs: Sequence[Run]) -> list[str]:
    """Return the checkpoints' names, extended where they are equal."""
    more: tuple[Callable[[Run], str], ...] = (
        lambda run: short(run.checkpoint.digest),
        lambda run: str(run.settings.get("dtype")),
        lambda run: f"@{run.limit}" if run.limit else "",
        lambda run: run.started,
    )
    found = [run.checkpoint.name + (" (blind)" if is_blind(run) else "") for run in runs]
    for part in more:
        shared = [found.count(label) > 1 for label in found]
        parts = [part(run) for run in runs]
        found = [
            f"{label} {extra}".strip() if same and _tells_apart(label, found, parts) else label
            for label, same, extra in zip(found, shared, parts, strict=True)
        ]
    return found


def _tells_apart(label: str, found: Sequence[str], parts: Sequence[str]) -> bool:
    return len({part for known, part in zip(found, parts, strict=True) if known == label}) > 1
