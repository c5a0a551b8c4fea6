"""From predictions to a `Score`, with the samples a reader needs to check it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.catalogue import Benchmark
from evalsuite.runner.job import Job
from evalsuite.runs.records import (
    Failure,
    Prediction,
    SampleScore,
    Score,
    group_name,
    write_samples,
)
from evalsuite.sample import Frames, Sample
from evalsuite.stats import clustered_standard_error, mean
from evalsuite.system.environment import installed
from evalsuite.vlmevalkit.client import BrokenSample, Kit, SampleValue


def score_benchmark(
    kit: Kit,
    benchmark: Benchmark,
    samples: Sequence[Sample | BrokenSample],
    predictions: Mapping[str, Prediction],
    evidence: Path,
    samples_file: Path,
) -> tuple[Score, list[SampleScore]]:
    """Score `predictions` to `samples`, which are in data order, and write samples.jsonl.

    Returns the score, and what that file holds.
    Raises `KitError` if VLMEvalKit cannot score them or its number and ours disagree.
    """
    wanted = {sample.id: predictions[sample.id] for sample in samples}
    scored = kit.score(benchmark, list(wanted), wanted, evidence)
    rows = [
        _row(sample, wanted[sample.id], value)
        for sample, value in zip(samples, scored.values, strict=True)
    ]
    write_samples(samples_file, rows)
    counting = [row for row in rows if row.counts]
    values = [row.value for row in counting]
    clusters = [row.cluster for row in counting]
    stderr = clustered_standard_error(values, clusters)
    failed = [row for row in counting if row.ended == "error"]
    given = [row for row in counting if row.ended != "error"]
    empty = [row for row in given if not row.prediction.strip()]
    unparsed = [row for row in given if row.prediction.strip() and not row.parsed]
    score = Score(
        benchmark=benchmark.name,
        dataset=benchmark.dataset,
        modality=benchmark.modality,
        metric=benchmark.metric,
        prompt=benchmark.prompt,
        score=100 * mean(values),
        stderr=None if stderr is None else 100 * stderr,
        n=len(counting),
        clusters=len(set(clusters)),
        failed=len(failed),
        reasons=tuple(why_failed([(row.id, row.error or "no reason given") for row in failed])),
        empty=len(empty),
        truncated=sum(row.ended == "length" for row in counting),
        unparsed=len(unparsed),
        judge=scored.judge,
        partial=not all(map(benchmark.scorable, benchmark.judged_parts)),
        modified_data=benchmark.modified,
        vlmevalkit_score=scored.vlmevalkit_score,
        agreement=scored.agreement,
        breakdown=_breakdown(counting),
        macro=scored.macro,
        extra=scored.extra,
        definition=benchmark.definition,
        vlmevalkit=installed("ms-vlmeval"),
        frames=str(benchmark.frames) if benchmark.frames else None,
        max_new_tokens=benchmark.max_new_tokens,
    )
    return score, rows


def with_figures(score: Score, job: Job, seconds: Mapping[str, float]) -> Score:
    """`score` with what it took; predicting figures are an earlier session's if none was done."""
    if job.seconds is not None:
        figures: dict[str, Any] = {
            "seconds": {"predict": round(job.seconds, 3), **_rounded(job.spent), **seconds},
            "samples_per_second": round(job.asked / job.seconds, 3),
            "tokens": job.tokens,
            "peak_memory_bytes": job.peak_memory_bytes,
            "host_memory_bytes": job.host_memory_bytes,
        }
    elif job.before is not None:
        figures = {
            "seconds": {**job.before.seconds, **seconds},
            "samples_per_second": job.before.samples_per_second,
            "tokens": job.before.tokens,
            "peak_memory_bytes": job.before.peak_memory_bytes,
            "host_memory_bytes": job.before.host_memory_bytes,
        }
    else:
        figures = {"seconds": seconds}
    return dataclasses.replace(score, data_digest=job.digest, **figures)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(spent, 3) for stage, spent in seconds.items()}


def without_answer(job: Job) -> Failure | None:
    """A failure if not one sample could be answered: nothing was evaluated, which is no 0."""
    found = [job.journal.predictions[id_] for id_ in job.chosen]
    if any(prediction.ended != "error" for prediction in found):
        return None
    reason = why_failed([(p.id, str(p.error)) for p in found], most=1)[0]
    return Failure(
        benchmark=job.benchmark.name,
        stage="predict",
        message=f"none of {len(found)} samples could be answered: {reason}",
        remedy="mend that and run again",
    )


def why_failed(failures: Sequence[tuple[str, str]], most: int = 5) -> list[str]:
    """The reasons of failed samples, `(id, reason)` each: the commonest first, with some ids."""
    by_reason: dict[str, list[str]] = {}
    for id_, reason in failures:
        by_reason.setdefault(reason, []).append(id_)
    lines = []
    for reason, ids in sorted(by_reason.items(), key=lambda item: -len(item[1]))[:most]:
        more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
        lines.append(f"{', '.join(ids[:3])}{more}: {reason}")
    if len(by_reason) > most:
        lines.append(f"and {len(by_reason) - most} more reasons: see samples.jsonl")
    return lines


def _row(sample: Sample | BrokenSample, prediction: Prediction, scored: SampleValue) -> SampleScore:
    shown = () if isinstance(sample, BrokenSample) else sample.media
    return SampleScore(
        id=sample.id,
        cluster=sample.cluster,
        value=scored.value,
        parsed=scored.parsed,
        prediction=prediction.text,
        target=sample.target,
        counts=scored.counts,
        part=sample.part,
        category=sample.category,
        labels=sample.labels,
        question=sample.question,
        media=tuple(
            path
            for item in shown
            for path in (item.paths if isinstance(item, Frames) else (item.path,))
        ),
        prompt_digest=prediction.prompt_digest,
        ended=prediction.ended,
        error=prediction.error,
    )


def _breakdown(rows: Sequence[SampleScore]) -> dict[str, float]:
    """Score by category, then by part and each of the labels; none that is the same everywhere."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for column, value in row.groups:
            values.setdefault(column, {}).setdefault(value, []).append(row.value)
    return {
        group_name(column, value): 100 * mean(groups[value])
        for column, groups in values.items()
        if len(groups) > 1
        for value in sorted(groups)
    }
