"""Multiple choice and yes/no questions about images."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vlmeval.dataset.utils.multiple_choice import build_choices, extract_answer_from_item
from vlmeval.dataset.utils.yorn import YOrN_auxeval, YOrN_Extraction

from evalsuite.vlmevalkit import workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.rules.base import Metric, RuleResult, ScoringContext
from evalsuite.vlmevalkit.tsv import is_missing


def _choice(row: Row, text: str, context: ScoringContext) -> RuleResult:
    item = row | {"prediction": text}
    found = extract_answer_from_item(context.judge, item, context.dataset)["opt"]
    return RuleResult(float(found == row["answer"]), found in build_choices(row))


def _read_score(result: Any, rows: Sequence[Row]) -> float:
    accuracy = dict(zip(map(str, result["split"]), result["Overall"], strict=True))
    sizes = Counter(row.get("split", workarounds.MISSING_LABEL) for row in rows)
    return 100 * float(sum(accuracy[split] * n for split, n in sizes.items())) / len(rows)


def _row_error(row: Row) -> str | None:
    options = build_choices(row)
    if row["answer"] in options:
        return None
    return f"its answer '{row['answer']}' is not one of its options {', '.join(options)}"


CHOICE = Metric(
    rule=_choice,
    read_score=_read_score,
    row_error=_row_error,
    excluded_keys="(?i:mmbench|ccbench|circular|mmcr)|MMMU|MMT|MMSci|^MMVP$|LEGO",
    uses_judge=True,
)


def _as_choice(row: Row) -> Row:
    """Turn an open question into a choice, as ``multiple_choice.py:MMMU_preproc`` does."""
    if not is_missing(row["A"]):
        return row
    letter = row["answer"] if row["answer"] in string.ascii_uppercase else "A"
    return row | {"A": row["answer"], "B": "Other Answers", "answer": letter}


def _mmmu(row: Row, text: str, context: ScoringContext) -> RuleResult:
    return _choice(_as_choice(row), text, context)


def _mmmu_row_error(row: Row) -> str | None:
    if not is_missing(row["A"]):
        return _row_error(row)
    if not row["answer"].strip():
        return "it is an open question with a blank answer"
    if row["answer"] in string.ascii_uppercase:
        return f"it is an open question, but its answer '{row['answer']}' looks like an option"
    return None


MMMU = Metric(
    rule=_mmmu,
    read_score=_read_score,
    row_error=_mmmu_row_error,
    keys=("MMMU",),
    excluded_keys="(?i:mmbench|ccbench|circular|mmcr)|MMT|MMSci|LEGO",
    uses_judge=True,
)


def _yes_no(row: Row, text: str, context: ScoringContext) -> RuleResult:
    found = YOrN_Extraction(text)
    if found == "Unknown" and context.judge:
        found = YOrN_auxeval(context.judge, row | {"prediction": text})
    return RuleResult(float(found == row["answer"]), found != "Unknown")


def _yes_no_row_error(row: Row) -> str | None:
    if row["answer"] in ("Yes", "No"):
        return None
    return f"its answer is '{row['answer']}', not 'Yes' or 'No'"


YES_NO = Metric(
    rule=_yes_no,
    read_score=lambda result, _: float(result["Overall"].item()),
    row_error=_yes_no_row_error,
    excluded_keys="MME|Hallusion|POPE|AMBER|VSR-zeroshot",
    uses_judge=True,
)
