"""Open questions about images, whose answers are compared as text. They need no judge."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from vlmeval.dataset.utils.vqa_eval import hit_calculate, process_line

from evalsuite.vlmevalkit import scoring_workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.rules.base import (
    Metric,
    Rule,
    RuleResult,
    ScoringContext,
    parse_list,
    text_list,
    unknown_value,
)


def _vqa_rule(method: str, key: str | None = None) -> Rule:
    """Return the rule `method` of ``vqa_eval.py:process_line`` for dataset `key`."""

    def rule(row: Row, text: str, context: ScoringContext) -> RuleResult:
        line = {"answer": row["answer"], "prediction": text}
        (value,) = hit_calculate([process_line(line, method=method)], key or context.dataset)
        return RuleResult(float(value), bool(text.strip()))

    return rule


def _for_custom_data(rule: Rule, same: Callable[[str, str], bool]) -> Rule:
    """Return `rule`, whose value for custom data is whether the text is the `same` as an answer."""

    def custom(row: Row, text: str, context: ScoringContext) -> RuleResult:
        found = rule(row, text, context)
        if not context.custom:
            return found
        value = any(same(str(answer), text) for answer in _answers(row))
        return replace(
            found,
            value=float(value),
            vlmevalkit_value=found.value,
            deviation=scoring_workarounds.DOCUMENTED_METRIC,
        )

    return custom


def same_text(answer: str, text: str) -> bool:
    """Whether two texts are equal, ignoring case, and quotes and punctuation around them."""
    texts = [_AROUND.sub("", each).casefold() for each in (answer, text)]
    if not texts[0]:  # nothing but punctuation
        return answer.strip() == text.strip()
    return texts[0] == texts[1]


_QUOTES = re.escape("\"'`“”‘’«»()[]{}*")
_AROUND = re.compile(rf"^[\s{_QUOTES}]+|[\s{_QUOTES}.,;:!?…]+$")


def same_number_or_text(answer: str, text: str) -> bool:
    """Whether two numbers differ by at most 5 % of `answer`, or two texts only by case."""
    target, found = _number(answer), _number(text)
    if target is None or found is None:
        return answer.strip().casefold() == text.strip().casefold()
    return abs(found - target) <= 0.05 * abs(target)


_NUMBER = re.compile(r"([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?)(?<=\d)(%?)\.?")


def _number(text: str) -> float | None:
    if (match := _NUMBER.fullmatch(text.strip())) is None:
        return None
    number = float(match[1].replace(",", ""))
    return number / 100 if match[2] else number


def _overall(result: Any, _: Sequence[Row]) -> float:
    return float(result["Overall"].item())


def _answers(row: Row) -> list[Any]:
    items = parse_list(row["answer"])
    return [row["answer"]] if items is None else items


def _vqa_row_error(row: Row) -> str | None:
    answers = text_list(row["answer"])
    if answers is not None and len(answers) > 1:
        return None
    return "its answer is not a list of several annotators' answers, which VQA accuracy needs"


def _answer_row_error(row: Row) -> str | None:
    answers = _answers(row)
    if answers and all(isinstance(answer, str) for answer in answers):
        return None
    return f"its answer {row['answer']} is not a list of texts"


def _number_row_error(row: Row) -> str | None:
    # Numbers are compared by value, and no number is within 5 % of nan.
    answers = _answers(row)
    if any(_relaxed(row, str(answer), _CHARTQA_CONTEXT).value for answer in answers):
        return None
    return f"its answer '{row['answer']}' does not match itself"


_CHARTQA_CONTEXT = ScoringContext("ChartQA")
_relaxed = _vqa_rule("relaxed_accuracy")
_VQA_KEYS = ("TextVQA", "ChartQA", "OCRVQA", "GQA", "DocVQA", "InfoVQA")


def _vqa_metric(rule: Rule, row_error: Callable[[Row], str | None], *keys: str) -> Metric:
    """Return a metric of ``ImageVQADataset`` for dataset keys that contain one of `keys`."""
    excluded = "|".join(key for key in _VQA_KEYS if key not in keys)
    return Metric(
        rule=rule, read_score=_overall, row_error=row_error, keys=keys, excluded_keys=excluded
    )


VQA_ACCURACY = replace(
    _vqa_metric(_vqa_rule("vqa_score", "TextVQA"), _vqa_row_error, "TextVQA"), keys=()
)
RELAXED_ACCURACY = _vqa_metric(
    _for_custom_data(_relaxed, same_number_or_text), _number_row_error, "ChartQA"
)
ANLS = _vqa_metric(_vqa_rule("anls"), _answer_row_error, "DocVQA", "InfoVQA")
EXACT_MATCH = _vqa_metric(
    _for_custom_data(_vqa_rule("accuracy"), same_text), _answer_row_error, "OCRVQA", "GQA"
)


HANDWRITTEN = "Handwritten Mathematical Expression Recognition"
OCR_CATEGORIES = (
    "Regular Text Recognition",
    "Irregular Text Recognition",
    "Artistic Text Recognition",
    "Handwriting Recognition",
    "Digit String Recognition",
    "Non-Semantic Text Recognition",
    "Scene Text-centric VQA",
    "Doc-oriented VQA",
    "Key Information Extraction",
    HANDWRITTEN,
)


def _ocr(row: Row, text: str, _: ScoringContext) -> RuleResult:
    """Score as ``OCRBench.evaluate`` (``image_vqa.py:531``), which has no separate function."""

    def normalised(text: str) -> str:
        if row["category"] == HANDWRITTEN:
            return text.strip().replace("\n", " ").replace(" ", "")
        return text.lower().strip().replace("\n", " ")

    prediction = normalised(text)
    hit = any(normalised(answer) in prediction for answer in ast.literal_eval(row["answer"]))
    return RuleResult(float(hit), bool(text.strip()))


def _ocr_score(result: Any, rows: Sequence[Row]) -> float:
    # VLMEvalKit's 'Final Score Norm' divides by ten for any number of samples.
    return 100 * float(result["Final Score"]) / len(rows)


def _ocr_row_error(row: Row) -> str | None:
    if not text_list(row["answer"]):
        return "its answer is not a list of texts"
    return unknown_value(row, "category", OCR_CATEGORIES)


OCR_CONTAINS = Metric(rule=_ocr, read_score=_ocr_score, row_error=_ocr_row_error)
