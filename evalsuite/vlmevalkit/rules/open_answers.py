"""Open questions about images, whose answers are compared word by word. No judge reads them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from vlmeval.dataset.utils.vqa_eval import hit_calculate, process_line

from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.rules.base import Metric, Reader, Rule, Verdict, texts, unknown


def _by(method: str, key: str | None = None) -> Rule:
    """Return the rule that ``vqa_eval.py:process_line`` calls `method`, as for dataset `key`."""

    def rule(row: Row, text: str, reader: Reader) -> Verdict:
        line = {"answer": row["answer"], "prediction": text}
        (value,) = hit_calculate([process_line(line, method=method)], key or reader.dataset)
        return Verdict(float(value), bool(text.strip()))

    return rule


def _overall(result: Any, _: Sequence[Row]) -> float:
    return float(result["Overall"].item())


def _answers(row: Row) -> list[Any]:
    """Return a row's answers: what its cell lists, or the cell itself."""
    try:
        several = ast.literal_eval(row["answer"])
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return [row["answer"]]
    return several if isinstance(several, list) else [row["answer"]]


def _people_complaint(row: Row) -> str | None:
    answers = texts(row["answer"])
    if answers is not None and len(answers) > 1:
        return None
    return "its answer is no list of several people's answers, which VQA accuracy compares"


def _answer_complaint(row: Row) -> str | None:
    answers = _answers(row)
    if answers and all(isinstance(answer, str) for answer in answers):
        return None
    return f"its answer {row['answer']} is no list of texts"


def _number_complaint(row: Row) -> str | None:
    # Numbers are compared by value, and nothing is within 5 % of nan.
    answers = _answers(row)
    if any(_relaxed(row, str(answer), _CHARTS).value for answer in answers):
        return None
    return f"its answer '{row['answer']}' is not right even when given"


_CHARTS = Reader("ChartQA")
_relaxed = _by("relaxed_accuracy")
_OTHERS = ("TextVQA", "ChartQA", "OCRVQA", "GQA", "DocVQA", "InfoVQA")


def _but(*keys: str) -> str:
    return "|".join(key for key in _OTHERS if key not in keys)


VQA_ACCURACY = Metric(
    rule=_by("vqa_score", "TextVQA"),
    headline=_overall,
    complaint=_people_complaint,
    other_keys=_but("TextVQA"),
)
RELAXED_ACCURACY = Metric(
    rule=_relaxed,
    headline=_overall,
    complaint=_number_complaint,
    keys=("ChartQA",),
    other_keys=_but("ChartQA"),
)
ANLS = Metric(
    rule=_by("anls"),
    headline=_overall,
    complaint=_answer_complaint,
    keys=("DocVQA", "InfoVQA"),
    other_keys=_but("DocVQA", "InfoVQA"),
)
EXACT_MATCH = Metric(
    rule=_by("accuracy"),
    headline=_overall,
    complaint=_answer_complaint,
    keys=("OCRVQA", "GQA"),
    other_keys=_but("OCRVQA", "GQA"),
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


def _ocr(row: Row, text: str, _: Reader) -> Verdict:
    """Judge as ``OCRBench.evaluate`` does (``image_vqa.py:531``), which has no function for it."""

    def plain(words: str) -> str:
        if row["category"] == HANDWRITTEN:
            return words.strip().replace("\n", " ").replace(" ", "")
        return words.lower().strip().replace("\n", " ")

    said = plain(text)
    hit = any(plain(answer) in said for answer in ast.literal_eval(row["answer"]))
    return Verdict(float(hit), bool(text.strip()))


def _ocr_headline(result: Any, rows: Sequence[Row]) -> float:
    # Its own 'Final Score Norm' divides by ten, whatever the number of samples.
    return 100 * float(result["Final Score"]) / len(rows)


def _ocr_complaint(row: Row) -> str | None:
    if not texts(row["answer"]):
        return "its answer is no list of texts"
    return unknown(row, "category", OCR_CATEGORIES)


OCR_CONTAINS = Metric(rule=_ocr, headline=_ocr_headline, complaint=_ocr_complaint)
