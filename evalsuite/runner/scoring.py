"""Compute a `Score` and its sample scores from predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.runner.job import Job, PredictionCost
from evalsuite.runs.comparable import Conditions
from evalsuite.runs.records import (
    Cost,
    Counts,
    Failure,
    Prediction,
    SampleScore,
    Score,
    by_group,
    group_name,
)
from evalsuite.sample import Sample
from evalsuite.stats import clustered_standard_error, mean
from evalsuite.system.environment import installed
from evalsuite.system.text import counted, first_few
from evalsuite.vlmevalkit.client import BenchmarkScore, Kit, SampleValue


def score_samples(
    kit: Kit,
    benchmark: Benchmark,
    samples: Sequence[Sample],
    predictions: Mapping[str, Prediction],
    evidence: Path,
) -> tuple[BenchmarkScore, list[SampleScore]]:
    """Score `predictions` of `samples`, which are in data order; VLMEvalKit writes to `evidence`.

    Raises `KitError` if VLMEvalKit cannot score them or its score and ours disagree.
    """
    wanted = {sample.id: predictions[sample.id] for sample in samples}
    scored = kit.score(benchmark, list(wanted), wanted, evidence)
    rows = [
        _row(sample, wanted[sample.id], value)
        for sample, value in zip(samples, scored.values, strict=True)
    ]
    return scored, rows


def make_score(
    benchmark: Benchmark,
    conditions: Conditions,
    scored: BenchmarkScore,
    rows: Sequence[SampleScore],
    *,
    unscored: int,
    cost: Cost,
) -> Score:
    """Build the score of `rows`; `unscored` further samples need a judge."""
    counting = [row for row in rows if row.counts]
    values = [row.value for row in counting]
    clusters = [row.cluster for row in counting]
    stderr = clustered_standard_error(values, clusters)
    thinking = [row.prediction for row in counting if _TAGS.search(row.prediction)]
    failed = [(row.id, row.error or "no reason given") for row in counting if row.ended == "error"]
    return Score(
        benchmark=benchmark.name,
        modality=benchmark.modality,
        value=100 * mean(values),
        stderr=None if stderr is None else 100 * stderr,
        n=len(counting),
        clusters=len(set(clusters)),
        counts=_counts(counting, unscored, len(thinking)),
        conditions=replace(conditions, judge_reported=scored.judge_reported),
        cost=cost,
        partial=not all(map(benchmark.scorable, benchmark.judged_parts)),
        modified_data=benchmark.modified,
        vlmevalkit_score=scored.vlmevalkit_score,
        deviations=scored.deviations,
        breakdown={
            group_name(*group): 100 * mean([row.value for row in members])
            for group, members in by_group(counting, lambda row: row).items()
        },
        macro_average=scored.macro_average,
        extra=scored.extra,
        failure_reasons=tuple(why_failed(failed)),
        thinking_example=" ".join(thinking[0].split())[:_EXAMPLE] if thinking else "",
        rerun_samples=None,
    )


def conditions_of(
    benchmark: Benchmark, data_digest: str, settings: Mapping[str, Any]
) -> Conditions:
    """The conditions of `benchmark` in a run with `settings`."""
    return Conditions(
        dataset=benchmark.dataset,
        data_digest=data_digest,
        prompt_style=settings["prompts"],
        prompt_format=benchmark.prompt,
        blind=settings["blind"],
        frames=str(benchmark.frames) if benchmark.frames else None,
        max_new_tokens=benchmark.max_new_tokens,
        metric=benchmark.metric,
        judge=benchmark.judge,
        vlmevalkit=installed("ms-vlmeval"),
        definition=benchmark.definition,
    )


def cost_of(made: PredictionCost, before: Score | None, score_seconds: float) -> Cost:
    """The cost of a score, or of the earlier score `before` if this session predicted nothing."""
    scoring = {"score": round(score_seconds, 3)}
    if (predicting := made.predict_seconds) is not None:
        stages = {stage: round(spent, 3) for stage, spent in made.seconds.items()}
        return Cost(
            seconds={"predict": round(predicting, 3), **stages, **scoring},
            samples_per_second=round(made.samples / predicting, 3),
            tokens=made.tokens,
            peak_memory_bytes=made.peak_memory_bytes,
            host_memory_bytes=made.host_memory_bytes,
        )
    cost = Cost() if before is None else before.cost
    return replace(cost, seconds={**cost.seconds, **scoring})


_TAGS = re.compile(r"</?(think|thinking|thought|reasoning|answer)>|\[/?THINK\]", re.I)
_EXAMPLE = 80
"""Characters of the example."""


def _counts(rows: Sequence[SampleScore], unscored: int, thinking: int) -> Counts:
    answers = [row for row in rows if row.ended != "error"]
    return Counts(
        failed=len(rows) - len(answers),
        empty=sum(not row.prediction.strip() for row in answers),
        truncated=sum(row.ended == "length" for row in rows),
        unparsed=sum(bool(row.prediction.strip()) and not row.parsed for row in answers),
        thinking=thinking,
        unscored=unscored,
    )


def without_answer(job: Job) -> Failure | None:
    """A failure if no sample has a prediction: nothing was evaluated, which is not a 0."""
    found = [job.journal.predictions[id_] for id_ in job.choice.asked]
    if any(prediction.ended != "error" for prediction in found):
        return None
    reason = why_failed([(p.id, str(p.error)) for p in found], most=1)[0]
    return Failure(
        benchmark=job.name,
        stage="predict",
        message=f"all samples failed ({counted(len(found), 'sample')}): {reason}",
        remedy="fix it and run again",
    )


def why_failed(failures: Sequence[tuple[str, str]], most: int = 5) -> list[str]:
    """Summarise failures `(id, reason)` by reason, the most frequent first, with some ids."""
    by_reason: dict[str, list[str]] = {}
    for id_, reason in failures:
        by_reason.setdefault(reason, []).append(id_)
    lines = []
    for reason, ids in sorted(by_reason.items(), key=lambda item: -len(item[1]))[:most]:
        lines.append(f"{first_few(ids, 3)}: {reason}")
    if len(by_reason) > most:
        lines.append(f"and {len(by_reason) - most} more reasons: see samples.jsonl")
    return lines


def _row(sample: Sample, prediction: Prediction, scored: SampleValue) -> SampleScore:
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
        media=tuple(path for item in sample.media for path in item.paths),
        prompt_digest=prediction.prompt_digest,
        ended=prediction.ended,
        error=prediction.error,
    )
