"""Common types of the scoring rules."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.judge_adapter import JudgeModel


@dataclass(frozen=True, slots=True)
class ScoringContext:
    """VLMEvalKit's dataset key, and the judge if there is one."""

    dataset: str
    judge: JudgeModel | None = None
    """None: rules only."""
    custom: bool = False
    """Whether VLMEvalKit does not have the dataset, so that docs/how-to/own-benchmarks.md defines
    the metric."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Result of a rule for one prediction."""

    value: float
    """0 (wrong) to 1 (right)."""
    parsed: bool
    """Whether an answer was found in the text."""
    vlmevalkit_value: float | None = None
    """VLMEvalKit's value, where a workaround makes `value` differ."""
    deviation: str = ""
    """Name of that deviation."""

    @property
    def vlmevalkit_counts(self) -> float:
        """VLMEvalKit's value."""
        return self.value if self.vlmevalkit_value is None else self.vlmevalkit_value


Rule = Callable[[Row, str, ScoringContext], RuleResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """How predictions of one kind of benchmark are scored."""

    rule: Rule
    """Maps a sample's row and a text to a result."""
    read_score: Callable[[Any, Sequence[Row]], float]
    """Reads VLMEvalKit's score, 0 to 100, from the result of ``evaluate``."""
    row_error: Callable[[Row], str | None]
    """Reason why a row can never be scored, or None."""
    rounding: float = 0.0
    """Maximum rounding error of VLMEvalKit's score in points."""
    keys: tuple[str, ...] = ()
    """VLMEvalKit uses this rule if a dataset key contains one of these texts."""
    excluded_keys: str = ""
    """Pattern of dataset keys for which VLMEvalKit uses another rule."""
    uses_judge: bool = False
    """Whether a judge, if any, reads what the rules cannot."""
    index_is_position: bool = False
    """VLMEvalKit uses a row's index as its position: `scoring_workarounds.renumber_rows`."""
    counts: Callable[[Row], bool] = lambda _: True
    """Whether a row is part of the benchmark's score."""
    task_column: str | None = None
    """Column of a row's task, if a mean over tasks is usually reported too."""
    secondary_score: tuple[str, float, Callable[[Any], float]] | None = None
    """VLMEvalKit's mean of the rows that do not count: its name, its scale, and a function that
    reads it from the result of ``evaluate``."""
    without_judge: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    """Context for ``evaluate`` without a judge."""

    def key(self, dataset: str) -> str:
        """Return `dataset`, or another key for which VLMEvalKit uses this rule."""
        return dataset if not self.keys or any(k in dataset for k in self.keys) else self.keys[0]


def parse_list(cell: Any) -> list[Any] | None:
    """Return the items of a Python list literal, or None if `cell` is not one."""
    try:
        items = ast.literal_eval(cell)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def text_list(cell: Any) -> list[str] | None:
    """Return the texts listed in `cell`, or None if it is not a list of texts."""
    items = parse_list(cell)
    return items if items is not None and all(isinstance(text, str) for text in items) else None


def share(
    result: Any, column: str, name: str, counts: tuple[str, str] = ("success", "overall")
) -> float:
    """Return the share of right answers, 0 to 1, in the row `name` of VLMEvalKit's result."""
    row = result[result[column] == name]
    right, total = counts
    return float(row[right].item()) / float(row[total].item())


def unknown_value(row: Row, column: str, known: Sequence[str]) -> str | None:
    """Return an error if the column has a value unknown to VLMEvalKit."""
    if row.get(column) in known:
        return None
    return f"its {column} is '{row.get(column)}'; expected one of {', '.join(known)}"
