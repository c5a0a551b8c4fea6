"""Reports for programs: runs as JSON, numbers as they are in run.json."""

from __future__ import annotations

import json
from collections.abc import Sequence

from evalsuite.results import Run, run_to_plain


def to_json(runs: Sequence[Run]) -> str:
    """Render runs as a list, each with the keys of run.json."""
    # ASCII only, so that any terminal or locale can take it.
    return json.dumps([run_to_plain(run) for run in runs], indent=2, ensure_ascii=True) + "\n"
