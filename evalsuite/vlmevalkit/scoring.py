"""Predictions → score. Runs in the kit process.

A sample's value comes from VLMEvalKit's own rule, applied to the exact text. VLMEvalKit's
``evaluate`` then scores the same predictions from a table, and its number must be the mean of what
its rules give sample by sample: a score that says less or more than its samples is no score.

An ordinary VLMEvalKit reads tables otherwise. Where that could matter it scores once more in its
own way, and that number is what is reported beside ours.
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
from evalsuite.vlmevalkit.client import KitError, SampleValue, Scored
from evalsuite.vlmevalkit.datasets import Loaded, Row
from evalsuite.vlmevalkit.evaluate import evaluate, read_otherwise, unmended
from evalsuite.vlmevalkit.judge_adapter import Model
from evalsuite.vlmevalkit.rules.base import Metric, Reader, Verdict
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
"""Every metric a benchmark can name."""

AT_ONCE = 8
"""How many questions a judge is asked at a time."""

UNEXPLAINED = "unexplained"
"""The deviation of a score that differs from VLMEvalKit's for no known reason."""

_SAME = 1e-6
"""How far apart sums of the same numbers may be, in points."""

_Rule = Callable[[str], Verdict]
"""What a text is worth as the prediction of one sample."""


def check(loaded: Loaded) -> None:
    """Refuse data that the benchmark's metric could not score, before anything is predicted."""
    benchmark = loaded.benchmark
    metric = METRICS[benchmark.metric]
    if metric.other_keys and (word := re.search(metric.other_keys, benchmark.dataset)):
        raise KitError(
            "data",
            f"{benchmark.name}: VLMEvalKit does not score a dataset with '{word[0]}' in its key "
            f"'{benchmark.dataset}' by metric '{benchmark.metric}'",
        )
    if packages := left_out.wanted(type(loaded.dataset)):
        raise KitError(
            "data",
            f"{benchmark.name}: scoring it needs packages that are not installed: "
            f"pip install {' '.join(packages)}",
        )
    if benchmark.published and not benchmark.modified:
        return  # a row there that no prediction is right for belongs to the benchmark
    for id, row in zip(loaded.positions, loaded.rows(loaded.positions, images=False), strict=True):
        if complaint := metric.complaint(row):
            raise KitError("data", f"{benchmark.name}: sample {id}: {complaint}")


def score(
    loaded: Loaded,
    ids: Sequence[str],
    predictions: Mapping[str, Prediction],
    directory: Path,
    *,
    judge: Judge | None = None,
) -> Scored:
    """Score the samples `ids`; what VLMEvalKit writes meanwhile becomes `directory`.

    Without a `judge` the `ids` are of samples that rules can score; see `Benchmark.scorable`.
    """
    metric = METRICS[loaded.benchmark.metric]
    model = Model(judge) if judge and metric.uses_judge else None
    reader = Reader(metric.key(loaded.benchmark.dataset), model)
    frame = loaded.frame(ids).drop(columns="image", errors="ignore").copy()
    workarounds.labels_are_words(frame)
    rows: list[Row] = frame.to_dict("records")
    counting = [metric.counts(row) for row in rows]
    if not any(counting):
        raise KitError(
            "score",
            f"{loaded.benchmark.name}: none of these samples counts towards its score; "
            "ask for more of them (--limit)",
        )
    judged = _judged(metric, reader, rows, [predictions[id] for id in ids])
    frame["sample"] = list(ids)
    frame["prediction"] = [each.text for each in judged]
    if metric.from_zero:
        scoring_workarounds.rows_count_from_zero(frame)
    result = evaluate(loaded, metric, reader, frame, directory)

    where = f"{loaded.benchmark.name}: VLMEvalKit's"
    mended = metric.headline(result, rows)
    of_these = list(itertools.compress(judged, counting))
    ours = _mean(of_these, where, mended, metric.rounding, 100, directory)
    apart = list(itertools.compress(judged, (not counts for counts in counting)))
    theirs: float | None = mended
    tables = _table_mends(judged, read_otherwise(loaded, directory, kinds=not model))
    if tables and not model:  # a judge is not paid to read misread tables
        unmended_frame = frame.assign(prediction=[each.unmended for each in judged])
        theirs = unmended(loaded, metric, reader, unmended_frame, rows, directory)
        if theirs is not None and abs(theirs - mended) <= _SAME:
            tables = set()
    same = theirs is not None and abs(ours - theirs) <= metric.rounding + _SAME
    agrees = same and not (tables and model)
    names = sorted(_rule_mends(of_these) | tables) or [UNEXPLAINED]
    return Scored(
        values=tuple(
            SampleValue(id, each.verdict.value, each.verdict.parsed, counts)
            for id, each, counts in zip(ids, judged, counting, strict=True)
        ),
        score=ours,
        vlmevalkit_score=theirs,
        deviations=() if agrees else tuple(names),
        macro_average=_macro(metric, itertools.compress(rows, counting), of_these),
        extra=_extra(metric, apart, result, where, directory),
        judge_reported=judge.reported if judge and model else (),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """A prediction as it is, and as VLMEvalKit gets it."""

    verdict: Verdict
    text: str
    """As a table carries it."""
    in_table: Verdict
    """What that text is worth."""
    unmended: str
    """As an ordinary VLMEvalKit would write it."""


def _judged(
    metric: Metric, reader: Reader, rows: Sequence[Row], given: Sequence[Prediction]
) -> list[_Judged]:
    """Judge each prediction; a judge is asked about several at a time, and remembers.

    What VLMEvalKit asks later, one after the other, it has answered already.
    """
    said = {prediction.text for prediction in given}
    stand_ins = [word for word in workarounds.EMPTY if word not in said] or list(workarounds.EMPTY)

    def judged(row: Row, prediction: Prediction) -> _Judged:
        if prediction.ended == "error" or not prediction.text.strip():
            text = "" if prediction.ended == "error" else prediction.text
            return _no_answer(lambda words: metric.rule(row, words, mute), text, stand_ins)
        return _answer(lambda words: metric.rule(row, words, reader), prediction.text)

    if reader.judge is None:
        mute = reader
        return list(map(judged, rows, given))
    mute = replace(reader, judge=reader.judge.of_no_answer())
    # Threads wait for the judge side by side, and else take turns: Python's `ast.literal_eval`
    # raises SystemError now and then when two threads are in it.
    turn = threading.Lock()
    reader = replace(reader, judge=reader.judge.in_turn(turn))

    def judged_in_turn(row: Row, prediction: Prediction) -> _Judged:
        with turn:
            return judged(row, prediction)

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        return list(pool.map(judged_in_turn, rows, given))
    finally:
        pool.shutdown(cancel_futures=True)  # a judge that gave up gives up on the rest as well


def _no_answer(rule: _Rule, text: str, stand_ins: Sequence[str]) -> _Judged:
    """Judge a prediction that failed, or has no words: it is wrong, whatever the rule says."""
    carried = workarounds.table_text(text, lambda words: rule(words).value == 0, stand_ins)
    return _Judged(Verdict(0.0, parsed=False), carried, rule(carried), text)


def _answer(rule: _Rule, text: str) -> _Judged:
    verdict = rule(text)
    carried = workarounds.table_text(text)
    return _Judged(verdict, carried, verdict if carried == text else rule(carried), carried)


def _mean(
    judged: Sequence[_Judged],
    where: str,
    theirs: float,
    rounding: float,
    scale: float,
    directory: Path,
) -> float:
    """Return the mean of our values, once `theirs` is known to be that of VLMEvalKit's rule."""
    by_rule = scale * statistics.fmean(each.in_table.counted for each in judged)
    if not abs(theirs - by_rule) <= rounding + _SAME:  # also true of nan
        raise KitError(
            "score",
            f"{where} score is {theirs:.4f}, but its rule gives {by_rule:.4f} sample by sample; "
            f"what it wrote is in {directory}",
        )
    return scale * statistics.fmean(each.verdict.value for each in judged)


def _extra(
    metric: Metric, judged: Sequence[_Judged], result: Any, where: str, directory: Path
) -> dict[str, float]:
    """Return the mean of the samples that do not count, where VLMEvalKit has a name for it."""
    if metric.aside is None or not judged:
        return {}
    name, scale, number = metric.aside
    return {name: _mean(judged, f"{where} {name}", number(result), 0, scale, directory)}


def _rule_mends(judged: Sequence[_Judged]) -> set[str]:
    """Name the mends that set our values and those of VLMEvalKit's rule apart."""
    tables = [each.in_table for each in judged]
    names = {verdict.mend for verdict in tables if verdict.counted != verdict.value}
    if any(each.verdict.value != each.in_table.value for each in judged):
        names.add(workarounds.table_text.__name__)
    return names


def _table_mends(judged: Sequence[_Judged], misread: bool) -> set[str]:
    """Name the mends without which VLMEvalKit might read another table."""
    names = {workarounds.tables_keep_their_words.__name__} if misread else set()
    if any(not each.unmended.strip() for each in judged):
        names.add(workarounds.table_text.__name__)
    return names


def _macro(metric: Metric, rows: Iterable[Row], judged: Sequence[_Judged]) -> float | None:
    if metric.tasks is None:
        return None
    tasks: dict[str, list[float]] = {}
    for row, each in zip(rows, judged, strict=True):
        tasks.setdefault(str(row[metric.tasks]), []).append(each.verdict.value)
    return 100 * statistics.fmean(statistics.fmean(values) for values in tasks.values())
