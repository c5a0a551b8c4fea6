"""Predictions → score. Runs in the kit process.

A sample's value comes from VLMEvalKit's own rule, applied to the exact text. VLMEvalKit's
``evaluate`` then scores the same predictions from a table, and its number must be the mean of what
its rules give sample by sample: a score that says less or more than its samples is no score.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import re
import shutil
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsuite.benchmarks import EXACT
from evalsuite.results import Prediction
from evalsuite.vlmevalkit import mends, rule_mends
from evalsuite.vlmevalkit.datasets import Loaded, Row
from evalsuite.vlmevalkit.judging import Model
from evalsuite.vlmevalkit.kit import KitError, SampleValue, Scored
from evalsuite.vlmevalkit.rules.choices import CHOICE, MMMU, YES_NO
from evalsuite.vlmevalkit.rules.clips import MVBENCH, VIDEO_CHOICE, WORLDSENSE
from evalsuite.vlmevalkit.rules.mathvista import MATHVISTA
from evalsuite.vlmevalkit.rules.metric import Metric, Reader, Verdict
from evalsuite.vlmevalkit.rules.parts import MLVU, TEMPCOMPASS
from evalsuite.vlmevalkit.rules.words import (
    ANLS,
    EXACT_MATCH,
    OCR_CONTAINS,
    RELAXED_ACCURACY,
    VQA_ACCURACY,
)

if TYPE_CHECKING:
    from evalsuite.judge import Judge

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
    mends.labels_are_words(frame)
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
    result = _evaluate(loaded, metric, reader, frame, directory)

    headline = metric.headline(result, rows)
    of_these = list(itertools.compress(judged, counting))
    ours = 100 * statistics.fmean(each.verdict.value for each in of_these)
    theirs = 100 * statistics.fmean(each.in_table.counted for each in of_these)
    tolerance = metric.rounding + 1e-6
    if not abs(headline - theirs) <= tolerance:  # also true of nan
        raise KitError(
            "score",
            f"{loaded.benchmark.name}: VLMEvalKit's score is {headline:.4f}, but its rule gives "
            f"{theirs:.4f} sample by sample; what it wrote is in {directory}",
        )
    return Scored(
        values=tuple(
            SampleValue(id, each.verdict.value, each.verdict.parsed, counts)
            for id, each, counts in zip(ids, judged, counting, strict=True)
        ),
        score=ours,
        vlmevalkit_score=headline,
        agreement="agrees" if abs(ours - headline) <= tolerance else _reasons(of_these),
        macro=_macro(metric, itertools.compress(rows, counting), of_these),
        extra=metric.extra(result),
        judge=(judge.answered_by or loaded.benchmark.judge) if judge and model else EXACT,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """A prediction as it is, and as VLMEvalKit gets it."""

    verdict: Verdict
    text: str
    """As a table carries it."""
    in_table: Verdict
    """What that text is worth."""


def _judged(
    metric: Metric, reader: Reader, rows: Sequence[Row], given: Sequence[Prediction]
) -> list[_Judged]:
    """Judge each prediction; a judge is asked about several at a time, and remembers.

    What VLMEvalKit asks later, one after the other, it has answered already.
    """

    def judged(row: Row, prediction: Prediction) -> _Judged:
        return _judge(lambda text: metric.rule(row, text, reader), prediction)

    if reader.judge is None:
        return list(map(judged, rows, given))
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        return list(pool.map(judged, rows, given))
    finally:
        pool.shutdown(cancel_futures=True)  # a judge that gave up gives up on the rest as well


def _judge(rule: Callable[[str], Verdict], prediction: Prediction) -> _Judged:
    if prediction.ended == "error":
        verdict, text = Verdict(0.0, parsed=False), ""
    else:
        verdict, text = rule(prediction.text), prediction.text
    carried = mends.table_text(text, lambda words: rule(words).value, verdict.value)
    if carried == text:
        return _Judged(verdict, text, verdict)
    return _Judged(verdict, carried, rule(carried))


def _evaluate(loaded: Loaded, metric: Metric, reader: Reader, frame: Any, directory: Path) -> Any:
    """Return what VLMEvalKit makes of the predictions in `frame`."""
    if metric.from_zero:
        rule_mends.rows_count_from_zero(frame)
    name = re.sub(r"[^\w-]", "_", loaded.benchmark.dataset) + ".tsv"
    asked = rule_mends.our_judge_is_asked(reader.judge) if reader.judge else metric.without_judge()
    with _scratch(directory), _of_these(loaded.dataset, reader.dataset, frame), asked:
        frame.to_csv(name, sep="\t", index=False, quoting=csv.QUOTE_ALL, encoding="utf-8")
        model = "judge" if reader.judge else "exact_matching"
        return loaded.dataset.evaluate(name, model=model, nproc=1)


@contextlib.contextmanager
def _of_these(dataset: Any, key: str, frame: Any) -> Iterator[None]:
    """Have a dataset go by `key`, and only by those of its parts that are in `frame`."""
    before = dict(vars(dataset))
    dataset.dataset_name = key
    if "SUB_DATASET" in frame:
        present = set(frame["SUB_DATASET"])
        dataset.datasets = [part for part in dataset.datasets if part in present]
    try:
        yield
    finally:
        vars(dataset).update(before)


def _reasons(judged: Sequence[_Judged]) -> str:
    """Name the mends that set our values and VLMEvalKit's apart."""
    tables = [each.in_table for each in judged]
    names = {verdict.mend for verdict in tables if verdict.counted != verdict.value}
    if any(each.verdict.value != each.in_table.value for each in judged):
        names.add(mends.table_text.__name__)
    return " + ".join(sorted(names))


def _macro(metric: Metric, rows: Iterable[Row], judged: Sequence[_Judged]) -> float | None:
    if metric.tasks is None:
        return None
    tasks: dict[str, list[float]] = {}
    for row, each in zip(rows, judged, strict=True):
        tasks.setdefault(str(row[metric.tasks]), []).append(each.verdict.value)
    return 100 * statistics.fmean(statistics.fmean(values) for values in tasks.values())


@contextlib.contextmanager
def _scratch(directory: Path) -> Iterator[None]:
    """Work in a new folder that becomes `directory` at the end, and not if anything fails.

    In it, because VLMEvalKit makes names by replacing ``.tsv`` or a dataset's key wherever they
    stand in a path (``smp/file.py:701``).
    """
    draft = directory.with_name(f".{directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(draft)
    try:
        yield
    finally:
        os.chdir(before)
    shutil.rmtree(directory, ignore_errors=True)
    draft.rename(directory)
