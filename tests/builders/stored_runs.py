"""Runs on disk with given samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalsuite.runs.records import FoundRun, SampleScore
from evalsuite.runs.storage import write_run, write_samples
from tests.builders.runs import run, score


def sample(index: int, value: float, **more: Any) -> SampleScore:
    facts: dict[str, Any] = {
        "id": str(index),
        "cluster": f"image-{index}",
        "value": value,
        "parsed": True,
        "prediction": "A" if value else "B",
        "target": "A",
        "category": "even" if index % 2 == 0 else "odd",
        "prompt_digest": f"asked-{index}",
    }
    return SampleScore(**{**facts, **more})


def samples(values: Sequence[float], **more: Any) -> list[SampleScore]:
    return [sample(index, value, **more) for index, value in enumerate(values)]


def failed(known: SampleScore, **more: Any) -> SampleScore:
    return dataclasses.replace(
        known, value=0.0, prediction="", ended="error", error="out of memory", **more
    )


def stored(
    directory: Path,
    name: str,
    benchmarks: Mapping[str, Sequence[SampleScore]],
    *,
    scores: Mapping[str, Mapping[str, Any]] | None = None,
    **more: Any,
) -> FoundRun:
    """Write a run of `name` on `benchmarks`, as `evalsuite run` lays it out under `directory`."""
    digest = more.pop("digest", (name.encode().hex() * 8)[:64])
    source = more.pop("source", f"/checkpoints/{name}")
    path = directory / f"{name}-{digest[:8]}" / "0123abcd" / "run.json"
    outcomes = []
    for benchmark, rows in benchmarks.items():
        changed = dict((scores or {}).get(benchmark, {}))
        counting = [row.value for row in rows if row.counts]
        mean = 100 * sum(counting) / len(counting)
        outcomes.append(score(benchmark, mean, **{"n": len(counting), **changed}))
    made = run(name, *outcomes, digest=digest, **more)
    made = dataclasses.replace(made, checkpoint=dataclasses.replace(made.checkpoint, source=source))
    suffix = "" if made.limit is None else f"@{made.limit}"
    path = path.with_name(f"run{suffix}.json")
    write_run(path, made)
    for benchmark, rows in benchmarks.items():
        write_samples(path.parent / benchmark / f"samples{suffix}.jsonl", list(rows))
    return FoundRun(path, made)
