"""Draw the plots in docs/pictures: ``python -m tools.pictures [RESULTS]``, or ``make pictures``.

Memory, intervals and categories show the demo's real runs in RESULTS. The demo has no training
steps, so the learning curves show simulated answers and are labelled accordingly.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from evalsuite.errors import EvalsuiteError
from evalsuite.report.plots import draw
from evalsuite.runs.find import find_all
from tests.builders.sweeps import checkpoint

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
_STEPS = (250, 500, 750, 1000, 1250, 1500, 1750, 2000)
_LEARNT = {
    "made-up-2e-5": (0.22, 0.36, 0.46, 0.53, 0.58, 0.62, 0.64, 0.65),
    "made-up-1e-4": (0.30, 0.46, 0.55, 0.60, 0.61, 0.59, 0.57, 0.56),
}
_EASE = {"DocVQA": 1.1, "ChartQA": 0.95, "MMStar": 0.7, "Video-MME": 0.8}


def main(results: Path) -> None:
    """Draw all plots; raises `EvalsuiteError` if the demo has not been run."""
    demos = [f for f in find_all(results) if f.run.checkpoint.source in ("demo", "demo:early")]
    draw(demos, PICTURES, ["memory", "intervals", "categories"], print)
    with tempfile.TemporaryDirectory() as scratch:
        made = [
            checkpoint(Path(scratch), name, step, {b: skill * e for b, e in _EASE.items()})
            for name, skills in _LEARNT.items()
            for step, skill in zip(_STEPS, skills, strict=True)
        ]
        draw(made, PICTURES, ["steps"], print)
    for path in PICTURES.glob("plot-categories-*"):
        if "DemoVideo" not in path.name:  # one is enough
            path.unlink()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
    except EvalsuiteError as error:
        sys.exit(f"{error}; 'make demo' runs it")
