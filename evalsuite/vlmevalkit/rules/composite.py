"""MLVU and TempCompass: several datasets under one key, each with its own rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from vlmeval.dataset.utils import mlvu, tempcompass

from evalsuite.vlmevalkit import scoring_workarounds
from evalsuite.vlmevalkit.datasets import Row
from evalsuite.vlmevalkit.judge_adapter import JudgeModel
from evalsuite.vlmevalkit.rules.base import (
    Metric,
    RuleResult,
    ScoringContext,
    share,
    text_list,
    unknown_value,
)
from evalsuite.vlmevalkit.rules.video_choice import (
    expected_option,
    match_option,
    options_error,
    with_options,
)
from evalsuite.vlmevalkit.tsv import is_missing

# MLVU

CHOICE_TASKS = ("plotQA", "needle", "ego", "count", "anomaly_reco", "topic_reasoning", "order")
"""MLVU's multiple-choice tasks, whose mean is M-Avg."""

_OPEN_TASKS = {
    "sub_scene": (mlvu.system_prompt_sub_scene, "extract_scores_sub_scene"),
    "summary": (mlvu.system_prompt_summary, "extract_scores_summary"),
}
"""MLVU's open tasks: the judge's system prompt, and the parser of its marks."""


def _has_options(row: Row) -> bool:
    return bool(row["SUB_DATASET"] == "MLVU_MCQ")


def _mlvu(row: Row, text: str, context: ScoringContext) -> RuleResult:
    return (_mlvu_choice if _has_options(row) else _mlvu_open)(row, text, context)


def _mlvu_choice(row: Row, text: str, context: ScoringContext) -> RuleResult:
    if scoring_workarounds.is_failure_text(text):
        return RuleResult(0.0, False, -1.0, scoring_workarounds.FAILURE_IS_WRONG)
    item = with_options(row, text)
    right = mlvu.check_ans_with_model(text, expected_option(row), context.judge, item, "MLVU_MCQ")
    at = text.find(")")
    letter = text if at < 0 else text[at - 1 : at]
    named = len(letter) == 1 and letter in item and letter.isupper()
    return RuleResult(float(right), bool(right) or named or match_option(row, text, context)[1])


def _mlvu_open(row: Row, text: str, context: ScoringContext) -> RuleResult:
    """Score an open answer by its marks out of ten, rounded down as in VLMEvalKit."""
    system, finder = _OPEN_TASKS[row["task_type"]]
    verdict = mlvu.MLVU_OpenEnded_generate(
        _required_judge(context).with_system_prompt(system), row | {"prediction": text}
    )
    marks = getattr(mlvu, finder)(verdict)
    return RuleResult(int(np.sum(marks)) / 10, bool(marks))


def _required_judge(context: ScoringContext) -> JudgeModel:
    if context.judge is None:
        raise ValueError("only a judge can score these samples, but there is none")
    return context.judge


def _m_avg(result: Any, _: Sequence[Row]) -> float:
    return 100 * share(result, "task", "M-Avg")


def _g_avg(result: Any) -> float:
    return share(result, "task", "G-Avg")


def _mlvu_row_error(row: Row) -> str | None:
    if _has_options(row):
        return options_error(row) or unknown_value(row, "task_type", CHOICE_TASKS)
    return unknown_value(row, "task_type", tuple(_OPEN_TASKS))


MLVU = Metric(
    rule=_mlvu,
    read_score=_m_avg,
    row_error=_mlvu_row_error,
    uses_judge=True,
    index_is_position=True,
    counts=_has_options,
    task_column="task_type",
    secondary_score=("G-Avg", 10, _g_avg),
)

# TempCompass

_TASKS_BY_PART = {
    "TempCompass_MCQ": ("multi-choice", "caption_matching"),
    "TempCompass_YorN": ("yes_no",),
    "TempCompass_Captioning": ("captioning",),
}
_SUMMARY_ROWS = ("overall", *(task for tasks in _TASKS_BY_PART.values() for task in tasks))
"""Rows of VLMEvalKit's result that are not dimensions."""


def _tempcompass(row: Row, text: str, context: ScoringContext) -> RuleResult:
    line = row | {"prediction": text}
    if row["SUB_DATASET"] == "TempCompass_Captioning":
        model = _required_judge(context).with_system_prompt(tempcompass.sys_prompt)
        rating = tempcompass.evaluate_tempcompass_captioning(model, line)["rating"]
        return RuleResult(float(rating), parsed=True)
    judge = context.judge and context.judge.with_system_prompt(tempcompass.sys_prompt)
    yes_no = row["SUB_DATASET"] == "TempCompass_YorN"
    rule = tempcompass.evaluate_tempcompass_YorN if yes_no else tempcompass.evaluate_tempcompass_mcq
    result = rule(judge, line)
    response = result.get("chatgpt-response", "")
    judged = "Correct" in response or "Incorrect" in response
    return RuleResult(float(result["rating"]), result["match_success"] or judged)


def _tempcompass_score(result: Any, _: Sequence[Row]) -> float:
    # VLMEvalKit's 'acc' is rounded.
    return 100 * share(result, "dim.task_type", "overall")


def _tempcompass_row_error(row: Row) -> str | None:
    part = row["SUB_DATASET"]
    if row_error := unknown_value(row, "task_type", _TASKS_BY_PART[part]):
        return row_error
    if is_missing(row.get("dim")) or ". " in row["dim"] or row["dim"] in _SUMMARY_ROWS:
        return f"its dim is '{row.get('dim')}', which VLMEvalKit confuses with its other sums"
    if part == "TempCompass_YorN" and row["answer"] not in ("yes", "no"):
        return f"its answer is '{row['answer']}', not 'yes' or 'no'"
    if part == "TempCompass_Captioning" and is_missing(row.get("mc_answer")):
        return "it has no mc_answer, which the judge needs for captions"
    if part == "TempCompass_MCQ":
        return _tempcompass_options_error(row)
    return None


def _tempcompass_options_error(row: Row) -> str | None:
    if error := options_error(row):
        return error
    unlabelled = [text for text in text_list(row["candidates"]) or () if ": " not in text]
    if row["task_type"] == "caption_matching" and unlabelled:
        return f"its candidate '{unlabelled[0]}' is not 'label: caption'"
    return None


TEMPCOMPASS = Metric(
    rule=_tempcompass,
    read_score=_tempcompass_score,
    row_error=_tempcompass_row_error,
    uses_judge=True,
    index_is_position=True,
)
