"""Reports for programs: runs as JSON, numbers as they are in run.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from evalsuite.results import Failure, Outcome, Run


def to_json(runs: Sequence[Run]) -> str:
    """Render runs as a list, each with the keys of run.json."""
    # ASCII only, so that any terminal or locale can take it.
    return json.dumps([_run(run) for run in runs], indent=2, ensure_ascii=True) + "\n"


def _run(run: Run) -> dict[str, Any]:
    return {**dataclasses.asdict(run), "outcomes": [_outcome(o) for o in run.outcomes]}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    plain = dataclasses.asdict(outcome)
    if isinstance(outcome, Failure):
        return {"benchmark": plain.pop("benchmark"), "failure": plain}
    return plain
