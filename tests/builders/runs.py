"""Runs made by hand for the tests of evalsuite.report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalsuite.runs.records import CheckpointRecord, Failure, FoundRun, Noise, Outcome, Run, Score


def score(benchmark: str, value: float, **more: Any) -> Score:
    video = "Video" in benchmark
    facts: dict[str, Any] = {
        "dataset": benchmark,
        "modality": "video" if video else "image",
        "metric": "video-choice" if video else "choice",
        "prompt": "video-choices" if video else "default",
        "stderr": 2.25,
        "n": 300,
        "clusters": 300,
        "failed": 0,
        "empty": 0,
        "truncated": 0,
        "unparsed": 0,
        "judge": "exact",
        "partial": False,
        "vlmevalkit_score": value,
        "agreement": "agrees",
        "data_digest": "d" * 64,
        "frames": "1fps" if video else None,
        "max_new_tokens": 8,
        "samples_per_second": 12.345,
    }
    return Score(benchmark=benchmark, score=value, **{**facts, **more})


def failure(benchmark: str, message: str = "no module named foo") -> Failure:
    return Failure(
        benchmark=benchmark, stage="score", message=message, remedy="kit.log has the whole story"
    )


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
    return Run(checkpoint=record, outcomes=outcomes, **{**facts, **more})


def settings(**changed: Any) -> dict[str, Any]:
    return {"prompts": "vlmevalkit", "dtype": "float32", "engine": "evalsuite-1", **changed}


def one() -> Run:
    """A run with a bit of everything."""
    return run(
        "demo",
        score("DemoVideo", 55.0, stderr=None, n=40, samples_per_second=0.5),
        score("DemoDigits", 91.333, unparsed=3, failed=1),
        failure("DemoOCR"),
        score("DemoYesNo", 100.0, stderr=0.0, partial=True, agreement="mme_scale",
              vlmevalkit_score=98.0),
        step=500,
        noise=Noise(samples={"DemoDigits": 40, "DemoYesNo": 24}, changed=3, flipped=1,
                    effect=1.5625, low=-1.2, high=8.25),
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
