"""Multiple choice about videos, one question per row."""

from __future__ import annotations

import ast
import string
from collections.abc import Sequence
from typing import Any

from vlmeval.dataset.utils import mvbench, videomme, worldsense
from vlmeval.dataset.utils.multiple_choice import build_choices, extract_answer_from_item

from evalsuite.vlmevalkit import scoring_workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.rules.base import (
    Metric,
    Rule,
    RuleResult,
    ScoringContext,
    text_list,
    unknown_value,
)


def _letter_rule(module: Any, name: str) -> Rule:
    """Return the rule of Video-MME, which WorldSense uses too."""

    def rule(row: Row, text: str, context: ScoringContext) -> RuleResult:
        found = module.extract_characters_regex(text)
        if not found:
            found = module.extract_option(context.judge, row | {"prediction": text}, name)
        options = "ABCDEFGHIJ"[: len(ast.literal_eval(row["candidates"]))]
        return RuleResult(float(found == row["answer"]), bool(found) and found in options)

    return rule


def _read_score(result: Any, _: Sequence[Row]) -> float:
    return 100 * float(result["overall"]["overall"])


_NO_OPTIONS = "its candidates are not a list of options"


def _videomme_row_error(row: Row, module: Any = videomme) -> str | None:
    if not text_list(row["candidates"]):
        return _NO_OPTIONS
    return (
        unknown_value(row, "duration", module.DURATIONS)
        or unknown_value(row, "domain", module.DOMAINS)
        or unknown_value(row, "sub_category", module.SUB_CATEGORIES)
        or unknown_value(row, "task_type", module.TASK_CATEGORIES)
    )


def _worldsense_row_error(row: Row) -> str | None:
    if not text_list(row["candidates"]):
        return _NO_OPTIONS
    audio_classes = text_list(row.get("audio_class"))
    if audio_classes is None:
        return "its audio_class is not a list of texts"
    for name in audio_classes:
        if name not in worldsense.AUDIO_CLASSES:
            return unknown_value({"audio_class": name}, "audio_class", worldsense.AUDIO_CLASSES)
    return _videomme_row_error(row, worldsense) or unknown_value(
        row, "task_domain", worldsense.TASK_DOMAINS
    )


VIDEO_CHOICE = Metric(
    rule=_letter_rule(videomme, "Video-MME"),
    read_score=_read_score,
    row_error=_videomme_row_error,
    rounding=0.05,
    uses_judge=True,
)
WORLDSENSE = Metric(
    rule=_letter_rule(worldsense, "WorldSense"),
    read_score=_read_score,
    row_error=_worldsense_row_error,
    rounding=0.05,
    uses_judge=True,
    index_is_position=True,
)


def expected_option(row: Row) -> str:
    """Return the correct option as ``(B) down``, as ``mvbench.py:403`` and ``mlvu.py:243`` do."""
    at = -1
    for number, option in enumerate(ast.literal_eval(row["candidates"])):
        if option == row["answer"]:
            at = number
    return f"({chr(ord('A') + at)}) {row['answer']}"


def with_options(row: Row, text: str) -> Row:
    """Return the row with options A, B, … as in ``mvbench.py:408``."""
    item = row | {"prediction": text}
    for number, option in enumerate(ast.literal_eval(row["candidates"])):
        item[chr(ord("A") + number)] = option
        if option == item["answer"]:
            item["answer"] = chr(ord("A") + number)
    return item


def match_option(row: Row, text: str, context: ScoringContext) -> tuple[bool, bool]:
    """Return whether the option named by `text` is correct, and whether it names one."""
    item = with_options(row, text)
    found = extract_answer_from_item(context.judge, item, context.dataset)["opt"]
    return found == item["answer"], found in build_choices(item)


def _mvbench(row: Row, text: str, context: ScoringContext) -> RuleResult:
    if scoring_workarounds.is_failure_text(text):
        return RuleResult(0.0, False, 1.0, scoring_workarounds.FAILURE_IS_WRONG)
    item = with_options(row, text)
    vlmevalkit_value = mvbench.check_ans_with_model(
        text, expected_option(row), context.judge, item, context.dataset
    )
    if scoring_workarounds.starts_with_punctuation(text):
        right, parsed = match_option(row, text, context)
        deviation = scoring_workarounds.PUNCTUATION_IS_WRONG
        return RuleResult(float(right), parsed, float(vlmevalkit_value), deviation)
    first = text.lower().strip().split(" ")[0].strip("().,:")
    letters = string.ascii_lowercase[: len(ast.literal_eval(row["candidates"]))]
    named = len(first) == 1 and first in letters
    return RuleResult(
        float(vlmevalkit_value),
        bool(vlmevalkit_value) or named or match_option(row, text, context)[1],
    )


def options_error(row: Row) -> str | None:
    """Return an error if the answer is not one of the options."""
    options = text_list(row["candidates"])
    if not options:
        return _NO_OPTIONS
    if not row["answer"].strip():
        return "its answer is blank"
    if row["answer"] not in options:
        return f"its answer '{row['answer']}' is not one of its candidates: {', '.join(options)}"
    return None


def _mvbench_score(result: Any, _: Sequence[Row]) -> float:
    right, n, _percent = result["overall"]
    return 100 * float(right) / int(n)


MVBENCH = Metric(
    rule=_mvbench,
    read_score=_mvbench_score,
    row_error=options_error,
    uses_judge=True,
    index_is_position=True,
    task_column="task_type",
)
