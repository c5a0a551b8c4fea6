"""Predictions → score. Runs in the kit process.

A sample's value comes from VLMEvalKit's own rule, applied to the exact text. VLMEvalKit's
``evaluate`` then scores the same predictions from a table, and its number must be the mean of the
values: a score that says less or more than its samples is no score.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import os
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmeval.dataset.utils import videomme
from vlmeval.dataset.utils.multiple_choice import build_choices, extract_answer_from_item
from vlmeval.dataset.utils.vqa_eval import process_line
from vlmeval.dataset.utils.yorn import YOrN_Extraction

from evalsuite.results import Prediction
from evalsuite.vlmevalkit import mends
from evalsuite.vlmevalkit.datasets import Loaded, Row
from evalsuite.vlmevalkit.kit import KitError, SampleValue, Scored

Judged = tuple[float, bool]
"""A value from 0 to 1, and whether an answer was found in the text."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How predictions of one kind of benchmark are scored."""

    judge: Callable[[Row, str], Judged]
    """The rule of one sample: its row and the text."""
    headline: Callable[[Any, Sequence[Row]], float]
    """VLMEvalKit's number, 0 to 100, in what ``evaluate`` returns for these rows."""
    complaint: Callable[[Row], str | None]
    """Why a row could never be scored, if so."""
    rounding: float = 0.0
    """By how many points VLMEvalKit rounds its number."""
    other_keys: re.Pattern[str] | None = None
    """What in a dataset's key makes VLMEvalKit take another rule."""


# --------------------------------------------------------------------------------------------------
# The rules
# --------------------------------------------------------------------------------------------------


def _choice(row: Row, text: str) -> Judged:
    found = extract_answer_from_item(None, row | {"prediction": text})["opt"]
    return float(found == row["answer"]), found in build_choices(row)


def _choice_headline(result: Any, rows: Sequence[Row]) -> float:
    accuracy = dict(zip(result["split"], result["Overall"], strict=True))
    sizes = Counter(row.get("split", mends.UNLABELLED) for row in rows)
    return 100 * float(sum(accuracy[split] * n for split, n in sizes.items())) / len(rows)


def _yes_no(row: Row, text: str) -> Judged:
    found = YOrN_Extraction(text)
    return float(found == row["answer"]), found != "Unknown"


def _vqa(row: Row, text: str) -> Judged:
    match = process_line({"answer": row["answer"], "prediction": text})["match"]
    return statistics.fmean(match), bool(text.strip())


def _overall(result: Any, _: Sequence[Row]) -> float:
    return float(result["Overall"].item())


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


def _ocr(row: Row, text: str) -> Judged:
    """Judge as ``OCRBench.evaluate`` does (``image_vqa.py:531``), which has no function for it."""

    def plain(words: str) -> str:
        if row["category"] == HANDWRITTEN:
            return words.strip().replace("\n", " ").replace(" ", "")
        return words.lower().strip().replace("\n", " ")

    said = plain(text)
    hit = any(plain(answer) in said for answer in ast.literal_eval(row["answer"]))
    return float(hit), bool(text.strip())


def _ocr_headline(result: Any, rows: Sequence[Row]) -> float:
    # Its own 'Final Score Norm' divides by ten, whatever the number of samples.
    return 100 * float(result["Final Score"]) / len(rows)


def _video_choice(row: Row, text: str) -> Judged:
    found = videomme.extract_characters_regex(text)
    if not found:
        found = videomme.extract_option(None, row | {"prediction": text}, "Video-MME")
    options = "ABCDEFGHIJ"[: len(ast.literal_eval(row["candidates"]))]
    return float(found == row["answer"]), found in options


def _video_headline(result: Any, _: Sequence[Row]) -> float:
    return 100 * float(result["overall"]["overall"])


# --------------------------------------------------------------------------------------------------
# Rows no prediction could be right for
# --------------------------------------------------------------------------------------------------


def _choice_complaint(row: Row) -> str | None:
    options = build_choices(row)
    if row["answer"] in options:
        return None
    return f"its answer '{row['answer']}' is not one of its options {', '.join(options)}"


def _yes_no_complaint(row: Row) -> str | None:
    if row["answer"] in ("Yes", "No"):
        return None
    return f"its answer is '{row['answer']}', not 'Yes' or 'No'"


def _vqa_complaint(row: Row) -> str | None:
    answers = _list(row["answer"])
    if answers is not None and len(answers) > 1:
        return None
    return "its answer is no list of several people's answers, which VQA accuracy compares"


def _ocr_complaint(row: Row) -> str | None:
    if not _list(row["answer"]):
        return "its answer is no list of texts"
    return _unknown(row, "category", OCR_CATEGORIES)


def _video_complaint(row: Row) -> str | None:
    if not _list(row["candidates"]):
        return "its candidates are no list of options"
    return (
        _unknown(row, "duration", videomme.DURATIONS)
        or _unknown(row, "domain", videomme.DOMAINS)
        or _unknown(row, "sub_category", videomme.SUB_CATEGORIES)
        or _unknown(row, "task_type", videomme.TASK_CATEGORIES)
    )


def _unknown(row: Row, column: str, known: Sequence[str]) -> str | None:
    if row.get(column) in known:
        return None
    return f"its {column} is '{row.get(column)}'; VLMEvalKit knows: {', '.join(known)}"


def _list(answer: str) -> list[str] | None:
    """Return the texts that `answer` lists, or None if it is anything else."""
    try:
        several = ast.literal_eval(answer)
    except (SyntaxError, ValueError):
        return None
    texts = isinstance(several, list) and all(isinstance(text, str) for text in several)
    return several if texts else None


METRICS = {
    "choice": Metric(
        _choice,
        _choice_headline,
        _choice_complaint,
        other_keys=re.compile("(?i:mmbench|ccbench|circular|mmcr)|MMMU|MMT|MMSci|^MMVP$|LEGO"),
    ),
    "yes-no": Metric(
        _yes_no,
        _overall,
        _yes_no_complaint,
        other_keys=re.compile("MME|Hallusion|POPE|AMBER|VSR-zeroshot"),
    ),
    "vqa-accuracy": Metric(
        _vqa,
        _overall,
        _vqa_complaint,
        other_keys=re.compile("ChartQA|OCRVQA|GQA|DocVQA|InfoVQA"),
    ),
    "ocr-contains": Metric(_ocr, _ocr_headline, _ocr_complaint),
    "video-choice": Metric(_video_choice, _video_headline, _video_complaint, rounding=0.05),
}
"""Every metric a benchmark can name."""


def check(loaded: Loaded) -> None:
    """Refuse data that the benchmark's metric could not score, before anything is predicted."""
    benchmark = loaded.benchmark
    metric = METRICS[benchmark.metric]
    if metric.other_keys and (word := metric.other_keys.search(benchmark.dataset)):
        raise KitError(
            "data",
            f"{benchmark.name}: VLMEvalKit does not score a dataset with '{word[0]}' in its key "
            f"'{benchmark.dataset}' by metric '{benchmark.metric}'",
        )
    for id, row in zip(loaded.positions, loaded.rows(loaded.positions, images=False), strict=True):
        if complaint := metric.complaint(row):
            raise KitError("data", f"{benchmark.name}: sample {id}: {complaint}")


# --------------------------------------------------------------------------------------------------
# Scoring
# --------------------------------------------------------------------------------------------------


def score(
    loaded: Loaded, ids: Sequence[str], predictions: Mapping[str, Prediction], directory: Path
) -> Scored:
    """Score the samples `ids`; what VLMEvalKit writes meanwhile becomes `directory`."""
    metric = METRICS[loaded.benchmark.metric]
    frame = loaded.frame(ids).drop(columns="image", errors="ignore").copy()
    mends.labels_are_words(frame)
    rows: list[Row] = frame.to_dict("records")
    judged = [_judged(metric, row, predictions[id]) for id, row in zip(ids, rows, strict=True)]

    texts, theirs = [], []
    for id, row, (value, _) in zip(ids, rows, judged, strict=True):
        text = _table_text(metric, row, predictions[id], value)
        texts.append(text)
        theirs.append(metric.judge(row, text)[0])
    frame["prediction"] = texts
    with _scratch(directory):
        name = re.sub(r"[^\w-]", "_", loaded.benchmark.dataset) + ".tsv"
        frame.to_csv(name, sep="\t", index=False, quoting=csv.QUOTE_ALL, encoding="utf-8")
        result = loaded.dataset.evaluate(name, model="exact_matching", nproc=1)
    headline = metric.headline(result, rows)

    expected = 100 * statistics.fmean(theirs)
    tolerance = metric.rounding + 1e-6
    if not abs(headline - expected) <= tolerance:  # also true of nan
        raise KitError(
            "score",
            f"{loaded.benchmark.name}: VLMEvalKit's score is {headline:.4f}, but its rule gives "
            f"{expected:.4f} sample by sample; what it wrote is in {directory}",
        )
    ours = 100 * statistics.fmean(value for value, _ in judged)
    return Scored(
        values=tuple(SampleValue(id, *verdict) for id, verdict in zip(ids, judged, strict=True)),
        score=ours,
        vlmevalkit_score=headline,
        agreement="agrees" if abs(ours - headline) <= tolerance else mends.table_text.__name__,
    )


def _judged(metric: Metric, row: Row, prediction: Prediction) -> Judged:
    if prediction.ended == "error":
        return 0.0, False
    return metric.judge(row, prediction.text)


def _table_text(metric: Metric, row: Row, prediction: Prediction, value: float) -> str:
    text = "" if prediction.ended == "error" else prediction.text
    return mends.table_text(text, lambda words: metric.judge(row, words)[0], value)


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
