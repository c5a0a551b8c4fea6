"""From predictions to a benchmark's score. Runs in the kit process.

The value of a sample is the result of VLMEvalKit's own rule for the exact text. VLMEvalKit's
``evaluate`` then scores the same predictions from a table, and its score must equal the mean of its
rule over the samples; otherwise there is no score.

An unmodified VLMEvalKit reads tables differently. Where that could matter, it scores once more in
its own way, and that score is reported next to ours.
"""

from __future__ import annotations

import itertools
import re
import statistics
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsuite.runs.records import Prediction
from evalsuite.vlmevalkit import left_out, scoring_workarounds, workarounds
from evalsuite.vlmevalkit.client import BenchmarkScore, DataError, KitError, SampleValue
from evalsuite.vlmevalkit.datasets import LoadedDataset, Row
from evalsuite.vlmevalkit.evaluate import evaluate, tables_differ, unpatched_score
from evalsuite.vlmevalkit.judge_adapter import JudgeModel
from evalsuite.vlmevalkit.rules.base import Metric, RuleResult, ScoringContext
from evalsuite.vlmevalkit.rules.choices import CHOICE, MMMU, YES_NO
from evalsuite.vlmevalkit.rules.composite import MLVU, TEMPCOMPASS
from evalsuite.vlmevalkit.rules.mathvista import MATHVISTA
from evalsuite.vlmevalkit.rules.open_answers import (
    ANLS,
    EXACT_MATCH,
    OCR_CONTAINS,
    RELAXED_ACCURACY,
    VQA_ACCURACY,
)
from evalsuite.vlmevalkit.rules.video_choice import MVBENCH, VIDEO_CHOICE, WORLDSENSE

if TYPE_CHECKING:
    from evalsuite.vlmevalkit.judge import Judge

METRICS: Mapping[str, Metric] = {
    "choice": CHOICE,
    "mmmu": MMMU,
    "yes-no": YES_NO,
    "vqa-accuracy": VQA_ACCURACY,
    "relaxed-accuracy": RELAXED_ACCURACY,
    "anls": ANLS,
    "exact-match": EXACT_MATCH,
    "ocr-contains": OCR_CONTAINS,
    "mathvista": MATHVISTA,
    "video-choice": VIDEO_CHOICE,
    "worldsense": WORLDSENSE,
    "mvbench": MVBENCH,
    "mlvu": MLVU,
    "tempcompass": TEMPCOMPASS,
}
"""All metrics that a benchmark can name."""

JUDGE_THREADS = 8
"""Number of parallel requests to a judge."""

UNEXPLAINED = "unexplained"
"""Deviation of a score that differs from VLMEvalKit's for no known reason."""

_TOLERANCE = 1e-6
"""Rounding error of sums of the same numbers, in points."""

_Rule = Callable[[str], RuleResult]
"""Scores a text as the prediction of one sample."""


def check(loaded: LoadedDataset) -> None:
    """Raise `KitError` for data that the benchmark's metric cannot score."""
    benchmark = loaded.benchmark
    metric = METRICS[benchmark.metric]
    if metric.excluded_keys and (word := re.search(metric.excluded_keys, benchmark.dataset)):
        raise DataError(
            f"{benchmark.name}: VLMEvalKit does not score a dataset with '{word[0]}' in its key "
            f"'{benchmark.dataset}' by metric '{benchmark.metric}'"
        )
    if packages := left_out.wanted(type(loaded.dataset)):
        raise DataError(
            f"{benchmark.name}: scoring it needs packages that are not installed: "
            f"pip install {' '.join(packages)}"
        )
    if benchmark.as_published:
        return  # published data may contain rows for which no prediction is correct
    for id, row in zip(loaded.positions, loaded.rows(loaded.positions, images=False), strict=True):
        if error := metric.row_error(row):
            raise DataError(f"{benchmark.name}: sample {id}: {error}")


def score(
    loaded: LoadedDataset,
    ids: Sequence[str],
    predictions: Mapping[str, Prediction],
    directory: Path,
    *,
    judge: Judge | None = None,
) -> BenchmarkScore:
    """Score the samples `ids`; VLMEvalKit's files become `directory`. Raises `KitError`.

    Without a `judge`, all `ids` must be samples that rules can score; see `Benchmark.scorable`.
    """
    metric = METRICS[loaded.benchmark.metric]
    model = JudgeModel(judge) if judge and metric.uses_judge else None
    context = ScoringContext(metric.key(loaded.benchmark.dataset), model, loaded.custom)
    frame = loaded.frame(ids).drop(columns="image", errors="ignore").copy()
    workarounds.fill_missing_labels(frame)
    rows: list[Row] = frame.to_dict("records")
    counting = [metric.counts(row) for row in rows]
    if not any(counting):
        raise KitError(
            "score",
            f"{loaded.benchmark.name}: none of these samples is part of the benchmark's score; "
            "use more samples (--limit)",
        )
    scored = _score_predictions(metric, context, rows, [predictions[id] for id in ids])
    frame["sample"] = list(ids)
    frame["prediction"] = [item.text for item in scored]
    if metric.index_is_position:
        scoring_workarounds.renumber_rows(frame)
    result = evaluate(loaded, metric, context, frame, directory)

    where = f"{loaded.benchmark.name}: VLMEvalKit's"
    patched_score = metric.read_score(result, rows)
    counted = list(itertools.compress(scored, counting))
    our_score = _mean(counted, where, patched_score, metric.rounding, 100, directory)
    others = list(itertools.compress(scored, (not counts for counts in counting)))
    vlmevalkit_score: float | None = patched_score
    table_names = _table_deviations(scored, tables_differ(loaded, directory, kinds=not model))
    if table_names and not model:  # do not pay a judge to read misread tables
        unpatched_frame = frame.assign(prediction=[item.unpatched_text for item in scored])
        vlmevalkit_score = unpatched_score(
            loaded, metric, context, unpatched_frame, rows, directory
        )
        if vlmevalkit_score is not None and abs(vlmevalkit_score - patched_score) <= _TOLERANCE:
            table_names = set()
    equal = (
        vlmevalkit_score is not None
        and abs(our_score - vlmevalkit_score) <= metric.rounding + _TOLERANCE
    )
    agrees = equal and not (table_names and model)
    names = sorted(_rule_deviations(counted) | table_names) or [UNEXPLAINED]
    return BenchmarkScore(
        values=tuple(
            SampleValue(id, item.result.value, item.result.parsed, counts)
            for id, item, counts in zip(ids, scored, counting, strict=True)
        ),
        score=our_score,
        vlmevalkit_score=vlmevalkit_score,
        deviations=() if agrees else tuple(names),
        macro_average=_macro_average(metric, itertools.compress(rows, counting), counted),
        extra=_secondary_scores(metric, others, result, where, directory),
        judge_reported=judge.reported if judge and model else (),
    )


@dataclass(frozen=True, slots=True)
class _ScoredPrediction:
    """A scored prediction, and its text in the table for VLMEvalKit."""

    result: RuleResult
    text: str
    """Text in the table."""
    table_result: RuleResult
    """Result of that text."""
    unpatched_text: str
    """Text in the table of an unmodified VLMEvalKit."""


def _score_predictions(
    metric: Metric, context: ScoringContext, rows: Sequence[Row], given: Sequence[Prediction]
) -> list[_ScoredPrediction]:
    """Score each prediction. A judge is asked in parallel, and its answers are cached.

    VLMEvalKit later asks the same questions one by one and gets the cached answers.
    """
    texts = {prediction.text for prediction in given}
    placeholders = [text for text in workarounds.EMPTY_PLACEHOLDERS if text not in texts]
    placeholders = placeholders or list(workarounds.EMPTY_PLACEHOLDERS)

    def scored(row: Row, prediction: Prediction) -> _ScoredPrediction:
        if prediction.ended == "error" or not prediction.text.strip():
            text = "" if prediction.ended == "error" else prediction.text
            return _score_empty(lambda text: metric.rule(row, text, muted), text, placeholders)
        return _score_text(lambda text: metric.rule(row, text, context), prediction.text)

    if context.judge is None:
        muted = context
        return list(map(scored, rows, given))
    muted = replace(context, judge=replace(context.judge, judge=None))
    # Threads wait for the judge in parallel but run rules one at a time: `ast.literal_eval`
    # sometimes raises SystemError when two threads use it.
    lock = threading.Lock()
    context = replace(context, judge=replace(context.judge, lock=lock))

    def scored_with_lock(row: Row, prediction: Prediction) -> _ScoredPrediction:
        with lock:
            return scored(row, prediction)

    pool = ThreadPoolExecutor(JUDGE_THREADS)
    try:
        return list(pool.map(scored_with_lock, rows, given))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error of the judge, send no further requests


def _score_empty(rule: _Rule, text: str, placeholders: Sequence[str]) -> _ScoredPrediction:
    """Score a failed or blank prediction: it is wrong, whatever the rule returns."""
    cell = workarounds.prediction_cell(text, lambda text: rule(text).value == 0, placeholders)
    return _ScoredPrediction(RuleResult(0.0, parsed=False), cell, rule(cell), text)


def _score_text(rule: _Rule, text: str) -> _ScoredPrediction:
    result = rule(text)
    cell = workarounds.prediction_cell(text)
    return _ScoredPrediction(result, cell, result if cell == text else rule(cell), cell)


def _mean(
    scored: Sequence[_ScoredPrediction],
    where: str,
    vlmevalkit_score: float,
    rounding: float,
    scale: float,
    directory: Path,
) -> float:
    """Return the mean of our values, if `vlmevalkit_score` equals the mean of its rule."""
    by_rule = scale * statistics.fmean(item.table_result.vlmevalkit_counts for item in scored)
    if not abs(vlmevalkit_score - by_rule) <= rounding + _TOLERANCE:  # also true for nan
        raise KitError(
            "score",
            f"{where} score is {vlmevalkit_score:.4f}, but the mean of its rule over the samples "
            f"is {by_rule:.4f}; see its files in {directory}",
        )
    return scale * statistics.fmean(item.result.value for item in scored)


def _secondary_scores(
    metric: Metric, scored: Sequence[_ScoredPrediction], result: Any, where: str, directory: Path
) -> dict[str, float]:
    """Return the mean of the samples that do not count, if VLMEvalKit reports it."""
    if metric.secondary_score is None or not scored:
        return {}
    name, scale, number = metric.secondary_score
    return {name: _mean(scored, f"{where} {name}", number(result), 0, scale, directory)}


def _rule_deviations(scored: Sequence[_ScoredPrediction]) -> set[str]:
    """Return the deviations between our values and those of VLMEvalKit's rule."""
    tables = [item.table_result for item in scored]
    names = {result.deviation for result in tables if result.vlmevalkit_counts != result.value}
    if any(item.result.value != item.table_result.value for item in scored):
        names.add(workarounds.EMPTY_IS_WRONG)
    return names


def _table_deviations(scored: Sequence[_ScoredPrediction], misread: bool) -> set[str]:
    """Return the deviations due to differently read tables."""
    names = {workarounds.NA_VALUES_AS_TEXT} if misread else set()
    if any(not item.unpatched_text.strip() for item in scored):
        names.add(workarounds.EMPTY_IS_WRONG)
    return names


def _macro_average(
    metric: Metric, rows: Iterable[Row], scored: Sequence[_ScoredPrediction]
) -> float | None:
    if metric.task_column is None:
        return None
    tasks: dict[str, list[float]] = {}
    for row, item in zip(rows, scored, strict=True):
        tasks.setdefault(str(row[metric.task_column]), []).append(item.result.value)
    return 100 * statistics.fmean(statistics.fmean(values) for values in tasks.values())
