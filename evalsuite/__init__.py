"""Evaluate SmolVLM checkpoints with VLMEvalKit's prompts and metrics.

>>> import evalsuite
>>> run = evalsuite.run("demo", limit=50)
>>> {score.benchmark: score.value for score in run.scores}
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalsuite.api import compare as compare
    from evalsuite.api import gate as gate
    from evalsuite.api import run as run
    from evalsuite.api import to_dataframe as to_dataframe
    from evalsuite.benchmarks.benchmark import Benchmark as Benchmark
    from evalsuite.checkpoint.checkpoint import Checkpoint as Checkpoint
    from evalsuite.comparison.comparison import Comparison as Comparison
    from evalsuite.comparison.gate import GateResult as GateResult
    from evalsuite.errors import EvalsuiteError as EvalsuiteError
    from evalsuite.runs.records import Failure as Failure
    from evalsuite.runs.records import Run as Run
    from evalsuite.runs.records import Score as Score
    from evalsuite.runs.storage import read_run as load_run  # noqa: F401 - its public name
    from evalsuite.system.environment import VERSION as __version__  # noqa: F401, N811 - public
    from evalsuite.vlmevalkit.adapter import register as register

# Loaded when first asked for: `import evalsuite` costs nothing, and `register` alone needs vlmeval.
_HOME = {
    "run": ("evalsuite.api", "run"),
    "compare": ("evalsuite.api", "compare"),
    "gate": ("evalsuite.api", "gate"),
    "to_dataframe": ("evalsuite.api", "to_dataframe"),
    "load_run": ("evalsuite.runs.storage", "read_run"),
    "register": ("evalsuite.vlmevalkit.adapter", "register"),
    "Benchmark": ("evalsuite.benchmarks.benchmark", "Benchmark"),
    "Checkpoint": ("evalsuite.checkpoint.checkpoint", "Checkpoint"),
    "Comparison": ("evalsuite.comparison.comparison", "Comparison"),
    "EvalsuiteError": ("evalsuite.errors", "EvalsuiteError"),
    "GateResult": ("evalsuite.comparison.gate", "GateResult"),
    "Failure": ("evalsuite.runs.records", "Failure"),
    "Run": ("evalsuite.runs.records", "Run"),
    "Score": ("evalsuite.runs.records", "Score"),
    "__version__": ("evalsuite.system.environment", "VERSION"),
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'evalsuite' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
