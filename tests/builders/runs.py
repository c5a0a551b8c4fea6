"""Runs with given scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from evalsuite.runs.comparable import Conditions
from evalsuite.runs.records import (
    BatchSensitivity,
    CheckpointRecord,
    Cost,
    Counts,
    Failure,
    FoundRun,
    Outcome,
    Run,
    Score,
)


def score(benchmark: str, value: float, **more: Any) -> Score:
    """A score; `more` names fields of `Score`, and of its counts, conditions and cost."""
    video = "Video" in benchmark
    facts: dict[str, Any] = {
        "dataset": benchmark,
        "modality": "video" if video else "image",
        "metric": "video-choice" if video else "choice",
        "prompt_style": "vlmevalkit",
        "prompt_format": "video-choices" if video else "default",
        "stderr": 2.25,
        "n": 300,
        "clusters": 300,
        "vlmevalkit_score": value,
        "data_digest": "d" * 64,
        "frames": "1fps" if video else None,
        "max_new_tokens": 8,
        "samples_per_second": 12.345,
        **more,
    }
    return Score(
        benchmark=benchmark,
        value=value,
        counts=_part(Counts, facts),
        conditions=_part(Conditions, facts),
        cost=_part(Cost, facts),
        **facts,
    )


def with_fields(score: Score, **changed: Any) -> Score:
    """`score` with some fields changed, as `score` names them."""
    for name, kind in (("counts", Counts), ("conditions", Conditions), ("cost", Cost)):
        own = {f.name: changed.pop(f.name) for f in fields(kind) if f.name in changed}
        changed[name] = replace(getattr(score, name), **own)
    return replace(score, **changed)


def _part(kind: Callable[..., Any], facts: dict[str, Any]) -> Any:
    """Make a `kind` of its fields among `facts`, which lose them."""
    return kind(**{f.name: facts.pop(f.name) for f in fields(kind) if f.name in facts})  # type: ignore[arg-type]


def failure(benchmark: str, message: str = "no module named foo") -> Failure:
    return Failure(benchmark=benchmark, stage="score", message=message, remedy="see kit.log")


def run(name: str = "demo", *outcomes: Outcome, **more: Any) -> Run:
    record = CheckpointRecord(
        name=name,
        source=f"/checkpoints/{name}",
        family="smolvlm",
        digest=more.pop("digest", "0123456789abcdef"),
        parameters=more.pop("parameters", 2_012_345),
        step=more.pop("step", None),
    )
    facts: dict[str, Any] = {
        "evalsuite": "0.1.0",
        "command": "evalsuite run --ckpt demo",
        "started": "2026-11-22T19:00:00Z",
        "finished": "2026-11-22T19:30:00Z",
        "limit": None,
        "settings": {"prompts": "vlmevalkit", "dtype": "float32", "engine": "evalsuite-1"},
        "environment": {},
    }
    facts.update(more)
    blind = facts["settings"].get("blind", False)
    asked = (with_fields(o, blind=blind) if isinstance(o, Score) else o for o in outcomes)
    return Run(checkpoint=record, outcomes=tuple(asked), **facts)


def settings(**changed: Any) -> dict[str, Any]:
    return {"prompts": "vlmevalkit", "dtype": "float32", "engine": "evalsuite-1", **changed}


def one() -> Run:
    """A run with a bit of everything."""
    return run(
        "demo",
        score("DemoVideo", 55.0, stderr=None, n=40, samples_per_second=0.5),
        score("DemoDigits", 91.333, unparsed=3, failed=1),
        failure("DemoOCR"),
        score("DemoYesNo", 100.0, stderr=0.0, partial=True, deviations=("mme_scale",),
              vlmevalkit_score=98.0),
        step=500,
        batch_sensitivity=BatchSensitivity(
            samples={"DemoDigits": 40, "DemoYesNo": 24}, changed=3, flipped=1,
            effect=1.5625, low=-1.2, high=8.25,
        ),
    )  # fmt: skip


def several() -> list[Run]:
    return [
        run("checkpoint-500", score("DemoDigits", 40.0), score("DemoYesNo", 61.04),
            score("DemoVideo", 25.0), digest="aaaa1111bbbb", step=500),
        run("checkpoint-1000", score("DemoDigits", 71.26, unparsed=2), failure("DemoYesNo"),
            score("DemoVideo", 30.0), digest="cccc2222dddd", step=1000),
        run("demo", score("DemoYesNo", 88.8), score("DemoDigits", 90.0),
            settings=settings(dtype="bfloat16")),
    ]  # fmt: skip


def found(runs: Sequence[Run]) -> list[FoundRun]:
    """As if read from a directory that has no samples."""
    return [FoundRun(Path("nowhere", str(n), "run.json"), known) for n, known in enumerate(runs)]
