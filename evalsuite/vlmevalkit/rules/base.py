"""What every metric is made of."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.judge_adapter import Model


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a prediction, and under which of VLMEvalKit's dataset keys."""

    dataset: str
    judge: Model | None = None
    """None: rules alone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a prediction is worth."""

    value: float
    """0 (wrong) to 1 (right)."""
    parsed: bool
    """Whether an answer was found in the text."""
    theirs: float | None = None
    """What VLMEvalKit counts instead of `value`, where a mend sets the two apart."""
    mend: str = ""
    """That mend's name."""

    @property
    def counted(self) -> float:
        """What VLMEvalKit counts."""
        return self.value if self.theirs is None else self.theirs


Rule = Callable[[Row, str, Reader], Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """How predictions of one kind of benchmark are scored."""

    rule: Rule
    """A sample's row and the text, to what it is worth."""
    headline: Callable[[Any, Sequence[Row]], float]
    """VLMEvalKit's number, 0 to 100, in what ``evaluate`` returns for these rows."""
    complaint: Callable[[Row], str | None]
    """Why a row could never be scored, if so."""
    rounding: float = 0.0
    """By how many points VLMEvalKit rounds its number."""
    keys: tuple[str, ...] = ()
    """Words of which one must be in a dataset's key for VLMEvalKit to take this rule."""
    other_keys: str = ""
    """A pattern: what in a dataset's key makes VLMEvalKit take another rule."""
    uses_judge: bool = False
    """Whether a judge, if there is one, reads what the rules cannot."""
    from_zero: bool = False
    """Whether VLMEvalKit takes a row's index for its position: `rule_mends.rows_count_from_zero`"""
    counts: Callable[[Row], bool] = lambda _: True
    """Whether the benchmark's score is about a row."""
    tasks: str | None = None
    """The column of a row's task, where a mean over tasks is usual as well."""
    aside: tuple[str, float, Callable[[Any], float]] | None = None
    """VLMEvalKit's mean of the rows that do not count: its name, its scale, and where in what
    ``evaluate`` returns it is."""
    without_judge: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    """What must hold while ``evaluate`` runs by rules alone."""

    def key(self, dataset: str) -> str:
        """Return a dataset key by which VLMEvalKit takes this rule: `dataset`, if it will."""
        return dataset if not self.keys or any(k in dataset for k in self.keys) else self.keys[0]


def texts(cell: Any) -> list[str] | None:
    """Return the texts that `cell` lists, or None if it is anything else."""
    try:
        several = ast.literal_eval(cell)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    listed = isinstance(several, list) and all(isinstance(text, str) for text in several)
    return several if listed else None


def unknown(row: Row, column: str, known: Sequence[str]) -> str | None:
    """Complain of a word VLMEvalKit does not know."""
    if row.get(column) in known:
        return None
    return f"its {column} is '{row.get(column)}'; VLMEvalKit knows: {', '.join(known)}"


def hole(cell: Any) -> bool:
    """Whether a table's cell is empty."""
    return cell is None or cell != cell
