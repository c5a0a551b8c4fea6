"""Multiple choice and yes or no, about images."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vlmeval.dataset.utils.multiple_choice import build_choices, extract_answer_from_item
from vlmeval.dataset.utils.yorn import YOrN_auxeval, YOrN_Extraction

from evalsuite.vlmevalkit import workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.rules.base import Metric, Reader, Verdict, hole


def _choice(row: Row, text: str, reader: Reader) -> Verdict:
    item = row | {"prediction": text}
    found = extract_answer_from_item(reader.judge, item, reader.dataset)["opt"]
    return Verdict(float(found == row["answer"]), found in build_choices(row))


def _headline(result: Any, rows: Sequence[Row]) -> float:
    accuracy = dict(zip(map(str, result["split"]), result["Overall"], strict=True))
    sizes = Counter(row.get("split", workarounds.UNLABELLED) for row in rows)
    return 100 * float(sum(accuracy[split] * n for split, n in sizes.items())) / len(rows)


def _complaint(row: Row) -> str | None:
    options = build_choices(row)
    if row["answer"] in options:
        return None
    return f"its answer '{row['answer']}' is not one of its options {', '.join(options)}"


CHOICE = Metric(
    rule=_choice,
    headline=_headline,
    complaint=_complaint,
    other_keys="(?i:mmbench|ccbench|circular|mmcr)|MMMU|MMT|MMSci|^MMVP$|LEGO",
    uses_judge=True,
)


def _closed(row: Row) -> Row:
    """Turn an open question into a choice as ``multiple_choice.py:MMMU_preproc`` does."""
    if not hole(row["A"]):
        return row
    letter = row["answer"] if row["answer"] in string.ascii_uppercase else "A"
    return row | {"A": row["answer"], "B": "Other Answers", "answer": letter}


def _mmmu(row: Row, text: str, reader: Reader) -> Verdict:
    return _choice(_closed(row), text, reader)


def _mmmu_complaint(row: Row) -> str | None:
    if not hole(row["A"]):
        return _complaint(row)
    if not row["answer"].strip():
        return "it is an open question, and its answer is blank"
    if row["answer"] in string.ascii_uppercase:
        return f"it is an open question, and its answer '{row['answer']}' reads like an option's"
    return None


MMMU = Metric(
    rule=_mmmu,
    headline=_headline,
    complaint=_mmmu_complaint,
    keys=("MMMU",),
    other_keys="(?i:mmbench|ccbench|circular|mmcr)|MMT|MMSci|LEGO",
    uses_judge=True,
)


def _yes_no(row: Row, text: str, reader: Reader) -> Verdict:
    found = YOrN_Extraction(text)
    if found == "Unknown" and reader.judge:
        found = YOrN_auxeval(reader.judge, row | {"prediction": text})
    return Verdict(float(found == row["answer"]), found != "Unknown")


def _yes_no_complaint(row: Row) -> str | None:
    if row["answer"] in ("Yes", "No"):
        return None
    return f"its answer is '{row['answer']}', not 'Yes' or 'No'"


YES_NO = Metric(
    rule=_yes_no,
    headline=lambda result, _: float(result["Overall"].item()),
    complaint=_yes_no_complaint,
    other_keys="MME|Hallusion|POPE|AMBER|VSR-zeroshot",
    uses_judge=True,
)
