"""Evaluate a checkpoint under the conditions of a baseline, so that they can be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from evalsuite.errors import UsageError, nearest
from evalsuite.runner.config import RunConfig
from evalsuite.runner.events import OnEvent
from evalsuite.runner.session import evaluate_prepared, prepare
from evalsuite.runs.comparable import EXACT
from evalsuite.runs.records import FoundRun, Score


def run_like(
    baseline: FoundRun, config: RunConfig, emit: OnEvent, only: Sequence[str] = ()
) -> FoundRun:
    """Evaluate the checkpoint of `config` on the benchmarks of `baseline`, or on those in `only`.

    Earlier work is continued. Raises what `evalsuite.runner.session.run_all`
    raises, and `UsageError` for several checkpoints.
    """
    prepared = prepare(as_run(baseline, config, only), emit)
    if (count := len(prepared.checkpoints) + len(prepared.unread)) > 1:
        raise UsageError(
            f"--ckpt {config.ckpt[0]}: names {count} checkpoints, but "
            "one is gated at a time; name one of them"
        )
    (run,) = evaluate_prepared(prepared, emit)
    return FoundRun(prepared.paths(prepared.checkpoints[0]).run_json, run)


def as_run(baseline: FoundRun, config: RunConfig, only: Sequence[str] = ()) -> RunConfig:
    """`config` with the benchmarks and conditions of `baseline`.

    An explicit limit or dtype of `config` is kept. Raises `UsageError` if `baseline` has no score.
    """
    settings = baseline.run.settings
    known = [score.benchmark for score in baseline.run.scores]
    for name in only:
        if name not in known:
            raise UsageError(f"{baseline.path}: has no score of '{name}'{nearest(name, known)}")
    if not known:
        raise UsageError(f"{baseline.path}: has no score; finish it, or name another baseline")
    scores = [s for s in baseline.run.scores if not only or s.benchmark in only]
    judge = next((s.conditions.judge for s in scores if s.conditions.judge is not None), None)
    return dataclasses.replace(
        config,
        benchmarks=tuple(score.benchmark for score in scores),
        limit=config.limit or baseline.run.limit,
        dtype=str(settings.get("dtype", "auto")) if config.dtype == "auto" else config.dtype,
        prompts=settings.get("prompts", config.prompts),
        longest_edge=settings.get("longest_edge"),
        blind=bool(settings.get("blind")),
        judge=EXACT if judge is None else judge.model,
        judge_base_url=None if judge is None else judge.base_url,
        set=tuple(setting for score in scores for setting in _settings(score)),
    )


def _settings(score: Score) -> Iterator[str]:
    if score.conditions.max_new_tokens:
        yield f"{score.benchmark}.max_new_tokens={score.conditions.max_new_tokens}"
    if score.conditions.frames is not None:
        yield f"{score.benchmark}.frames={score.conditions.frames}"
