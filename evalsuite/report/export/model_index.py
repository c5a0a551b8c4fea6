"""A run as Hugging Face's ``model-index``, through huggingface_hub's own types.

Our results have the key `MARK` among a metric's args, so that only they are replaced. ``verified``
and ``verifyToken`` are set by the Hub, and ``source`` needs a page: none of the three is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.catalogue import load
from evalsuite.errors import UsageError
from evalsuite.report.format import visible
from evalsuite.report.model.notes import PARTIAL, is_blind
from evalsuite.runs.records import Run, Score
from evalsuite.system.text import one_line

if TYPE_CHECKING:
    from huggingface_hub.repocard_data import EvalResult

KEY = "model-index"
MARK = "evalsuite"
_TASKS = {
    "image": ("image-text-to-text", "Image-Text-to-Text"),
    "video": ("video-text-to-text", "Video-Text-to-Text"),
}
METRIC_NAMES = {
    "vqa-accuracy": ("vqa_accuracy", "VQA accuracy"),
    "relaxed-accuracy": ("relaxed_accuracy", "Relaxed accuracy"),
    "anls": ("anls", "ANLS"),
    "exact-match": ("exact_match", "Exact match"),
    "ocr-contains": ("ocrbench", "Answers that hold the target"),
}
"""Type and name of metrics other than accuracy."""
_ON_THE_HUB = {
    "OCRBench": ("echo840/OCRBench", "test"),
    "AI2D_TEST": ("lmms-lab/ai2d", "test"),
    "ChartQA_TEST": ("HuggingFaceM4/ChartQA", "test"),
    "TextVQA_VAL": ("lmms-lab/textvqa", "validation"),
    "DocVQA_VAL": ("lmms-lab/DocVQA", "validation"),
    "ScienceQA_VAL": ("derek-thomas/ScienceQA", "validation"),
    "ScienceQA_TEST": ("derek-thomas/ScienceQA", "test"),
    "MMMU_DEV_VAL": ("MMMU/MMMU", "validation"),
    "MathVista_MINI": ("AI4Math/MathVista", "testmini"),
    "MMStar": ("Lin-Chen/MMStar", "val"),
}
"""The Hub datasets from which VLMEvalKit made its tables; the args name the table."""


def results_of(run: Run) -> list[EvalResult]:
    """Describe each score of `run`; raises `UsageError` for a limited, blind or unfinished one."""
    name = run.checkpoint.name
    if run.limit is not None:
        raise UsageError(
            f"{name}: run with --limit {run.limit}; a model card needs whole benchmarks: name a "
            "run without --limit"
        )
    if is_blind(run):
        raise UsageError(f"{name}: run with --blind, without images; name a run without --blind")
    if run.finished is None:
        raise UsageError(
            f"{name}: unfinished; repeat the same 'evalsuite run', then write the card"
        )
    if not run.scores:
        raise UsageError(f"{name}: has no score")
    known = load().benchmarks
    return [_result(score, run, known.get(score.benchmark)) for score in run.scores]


def with_ours(known: object, run: Run) -> list[dict[str, Any]]:
    """Return the model-index `known` (None if there is none) with the scores of `run`.

    Results of others do not change. Raises `UsageError` if huggingface_hub cannot read `known` or
    the new model-index.
    """
    from huggingface_hub.repocard_data import eval_results_to_model_index

    index = _checked(known) if known is not None else []
    ours = eval_results_to_model_index(visible(run.checkpoint.name), results_of(run))[0]
    if not index:
        return [ours]
    first = {**index[0], "results": [*_others(index[0]["results"]), *ours["results"]]}
    rest = [{**entry, "results": _others(entry["results"])} for entry in index[1:]]
    return _checked([first, *rest])


def _checked(index: object) -> list[dict[str, Any]]:
    """Return `index`; raises `UsageError` if huggingface_hub cannot read it."""
    from huggingface_hub.repocard_data import ModelCardData

    try:
        if not isinstance(index, list) or not all(isinstance(e["results"], list) for e in index):
            raise TypeError("expected a list of models with results")
        metadata: dict[str, Any] = {KEY: index}
        ModelCardData(**metadata)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{KEY}: huggingface_hub cannot read it: {one_line(error)}; fix or remove it"
        ) from None
    return index


def _others(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the results without our metrics, and without results that then have none."""
    kept = []
    for result in results:
        metrics = [metric for metric in result["metrics"] if not _is_ours(metric)]
        if len(metrics) == len(result["metrics"]):
            kept.append(dict(result))
        elif metrics:
            kept.append({**result, "metrics": metrics})
    return kept


def _is_ours(metric: Mapping[str, Any]) -> bool:
    return isinstance(metric.get("args"), dict) and MARK in metric["args"]


def _result(score: Score, run: Run, known: Benchmark | None) -> EvalResult:
    from huggingface_hub.repocard_data import EvalResult

    task = _TASKS.get(score.modality, _TASKS["image"])
    metric = METRIC_NAMES.get(score.conditions.metric, ("accuracy", "Accuracy"))
    repository, split, revision = _dataset(score, known)
    return EvalResult(
        task_type=task[0],
        task_name=task[1],
        dataset_type=repository,
        dataset_name=visible(score.benchmark),
        dataset_split=split,
        dataset_revision=revision,
        dataset_args=_about_data(score),
        metric_type=metric[0],
        metric_name=f"{metric[1]}{_marks(score)}",
        metric_value=round(score.value, 2),
        metric_args=_about_metric(score, run),
    )


def _dataset(score: Score, known: Benchmark | None) -> tuple[str, str | None, str | None]:
    """Return the dataset's id, split and revision, or its own name if it is not on the Hub."""
    if known is None or known.published is None or known.dataset != score.conditions.dataset:
        return visible(score.benchmark), None, None
    if known.published.repository is not None:
        revision = known.published.revision
        return known.published.repository, known.split, None if revision == "main" else revision
    repository, split = _ON_THE_HUB.get(score.benchmark, (score.benchmark, known.split))
    return repository, split, None


def _about_data(score: Score) -> dict[str, Any]:
    asked = score.conditions
    facts = {"vlmevalkit_dataset": visible(asked.dataset), "digest": asked.data_digest[:16]}
    return facts if asked.frames is None else {**facts, "frames": asked.frames}


def _about_metric(score: Score, run: Run) -> dict[str, Any]:
    """Return the conditions of a value, without those that are None."""
    facts = {
        MARK: run.evalsuite,
        "rule": score.conditions.metric,
        "stderr": None if score.stderr is None else round(score.stderr, 2),
        "samples": score.n,
        "clusters": score.clusters,
        "failed": score.counts.failed or None,
        "partial": score.partial or None,
        "modified_data": score.modified_data or None,
        "prompts": str(run.settings.get("prompts", score.conditions.prompt_style)),
        "dtype": run.settings.get("dtype"),
        "max_new_tokens": score.conditions.max_new_tokens,
        "judge": visible(score.conditions.judge_name),
        "vlmevalkit": score.conditions.vlmevalkit,
        "checkpoint": run.checkpoint.digest[:16],
        "date": (run.finished or "")[: len("2026-01-31")],
    }
    return {key: value for key, value in facts.items() if value is not None}


def _marks(score: Score) -> str:
    """Return marks for the metric's name."""
    marks = [PARTIAL] * score.partial + ["data modified"] * score.modified_data
    return f" ({'; '.join(marks)})" if marks else ""
