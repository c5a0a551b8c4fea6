"""MLVU and TempCompass: several datasets under one key, each with a rule of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from vlmeval.dataset.utils import mlvu, tempcompass

from evalsuite.vlmevalkit import scoring_workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.judge_adapter import Model
from evalsuite.vlmevalkit.rules.base import Metric, Reader, Verdict, hole, texts, unknown
from evalsuite.vlmevalkit.rules.video_choice import expected, lettered, options_complaint, picked

# --------------------------------------------------------------------------------------------------
# MLVU
# --------------------------------------------------------------------------------------------------

CHOSEN = ("plotQA", "needle", "ego", "count", "anomaly_reco", "topic_reasoning", "order")
"""MLVU's tasks with options, whose mean is M-Avg."""

_MARKS = {
    "sub_scene": (mlvu.system_prompt_sub_scene, "extract_scores_sub_scene"),
    "summary": (mlvu.system_prompt_summary, "extract_scores_summary"),
}
"""MLVU's open tasks: what the judge is told, and what finds the marks in its answer."""


def _has_options(row: Row) -> bool:
    return bool(row["SUB_DATASET"] == "MLVU_MCQ")


def _mlvu(row: Row, text: str, reader: Reader) -> Verdict:
    return (_mlvu_choice if _has_options(row) else _mlvu_open)(row, text, reader)


def _mlvu_choice(row: Row, text: str, reader: Reader) -> Verdict:
    if scoring_workarounds.failure_is_no_answer(text):
        return Verdict(0.0, False, -1.0, scoring_workarounds.failure_is_no_answer.__name__)
    item = lettered(row, text)
    right = mlvu.check_ans_with_model(text, expected(row), reader.judge, item, "MLVU_MCQ")
    at = text.find(")")
    letter = text if at < 0 else text[at - 1 : at]
    named = len(letter) == 1 and letter in item and letter.isupper()
    return Verdict(float(right), bool(right) or named or picked(row, text, reader)[1])


def _mlvu_open(row: Row, text: str, reader: Reader) -> Verdict:
    """Give an open answer's marks, of ten; whole ones, as VLMEvalKit counts them."""
    system, finder = _MARKS[row["task_type"]]
    verdict = mlvu.MLVU_OpenEnded_generate(_asked(reader).under(system), row | {"prediction": text})
    marks = getattr(mlvu, finder)(verdict)
    return Verdict(int(np.sum(marks)) / 10, bool(marks))


def _asked(reader: Reader) -> Model:
    if reader.judge is None:
        raise ValueError("samples that only a judge can score, and no judge")
    return reader.judge


def _m_avg(result: Any, _: Sequence[Row]) -> float:
    row = result[result["task"] == "M-Avg"]
    return 100 * float(row["success"].item()) / float(row["overall"].item())


def _g_avg(result: Any) -> float:
    row = result[result["task"] == "G-Avg"]
    return float(row["success"].item()) / float(row["overall"].item())


def _mlvu_complaint(row: Row) -> str | None:
    if _has_options(row):
        return options_complaint(row) or unknown(row, "task_type", CHOSEN)
    return unknown(row, "task_type", tuple(_MARKS))


MLVU = Metric(
    rule=_mlvu,
    headline=_m_avg,
    complaint=_mlvu_complaint,
    uses_judge=True,
    from_zero=True,
    counts=_has_options,
    tasks="task_type",
    aside=("G-Avg", 10, _g_avg),
)

# --------------------------------------------------------------------------------------------------
# TempCompass
# --------------------------------------------------------------------------------------------------

_TASKS = {
    "TempCompass_MCQ": ("multi-choice", "caption_matching"),
    "TempCompass_YorN": ("yes_no",),
    "TempCompass_Captioning": ("captioning",),
}
_SUMS = ("overall", *(task for tasks in _TASKS.values() for task in tasks))
"""Rows of VLMEvalKit's result that are no dimension's."""


def _tempcompass(row: Row, text: str, reader: Reader) -> Verdict:
    line = row | {"prediction": text}
    if row["SUB_DATASET"] == "TempCompass_Captioning":
        told = _asked(reader).under(tempcompass.sys_prompt)
        rating = tempcompass.evaluate_tempcompass_captioning(told, line)["rating"]
        return Verdict(float(rating), parsed=True)
    judge = reader.judge and reader.judge.under(tempcompass.sys_prompt)
    yes_no = row["SUB_DATASET"] == "TempCompass_YorN"
    rule = tempcompass.evaluate_tempcompass_YorN if yes_no else tempcompass.evaluate_tempcompass_mcq
    result = rule(judge, line)
    said = result.get("chatgpt-response", "")
    judged = "Correct" in said or "Incorrect" in said
    return Verdict(float(result["rating"]), result["match_success"] or judged)


def _tempcompass_headline(result: Any, _: Sequence[Row]) -> float:
    # Its own 'acc' is rounded.
    row = result[result["dim.task_type"] == "overall"]
    return 100 * float(row["success"].item()) / float(row["overall"].item())


def _tempcompass_complaint(row: Row) -> str | None:
    part = row["SUB_DATASET"]
    if complaint := unknown(row, "task_type", _TASKS[part]):
        return complaint
    if hole(row.get("dim")) or ". " in row["dim"] or row["dim"] in _SUMS:
        return f"its dim is '{row.get('dim')}', which VLMEvalKit cannot tell from its other sums"
    if part == "TempCompass_YorN" and row["answer"] not in ("yes", "no"):
        return f"its answer is '{row['answer']}', not 'yes' or 'no'"
    if part == "TempCompass_Captioning" and hole(row.get("mc_answer")):
        return "it has no mc_answer, by which a caption is judged"
    if part == "TempCompass_MCQ":
        return _tempcompass_options(row)
    return None


def _tempcompass_options(row: Row) -> str | None:
    options = texts(row["candidates"])
    if not options:
        return "its candidates are no list of options"
    if row["answer"] not in options:
        return f"its answer '{row['answer']}' is not one of its candidates: {', '.join(options)}"
    wordless = [text for text in options if ": " not in text]
    if row["task_type"] == "caption_matching" and wordless:
        return f"its candidate '{wordless[0]}' is not 'label: caption'"
    return None


TEMPCOMPASS = Metric(
    rule=_tempcompass,
    headline=_tempcompass_headline,
    complaint=_tempcompass_complaint,
    uses_judge=True,
    from_zero=True,
)
