"""The configuration that evaluates a checkpoint like a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalsuite.errors import UsageError
from evalsuite.runner.config import RunConfig
from evalsuite.runner.session import as_run
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import FoundRun
from tests.builders.runs import settings
from tests.builders.stored_runs import samples, stored

ASKED = RunConfig(ckpt=("runs/new",), command="evalsuite gate")


def baseline(tmp: Path, scores: dict[str, Any] | None = None, **more: Any) -> FoundRun:
    rows = samples([1.0] * 40)
    return stored(tmp, "old", {"DemoOCR": rows, "DemoVideo": rows}, scores=scores, **more)


def test_the_conditions_come_from_the_baseline(tmp_path: Path) -> None:
    found = baseline(
        tmp_path,
        {"DemoVideo": {"frames": "8", "max_new_tokens": 5}},
        settings=settings(prompts="native", dtype="bfloat16", longest_edge=512),
        limit="40",
    )
    config = as_run(found, ASKED)
    assert config.ckpt == ("runs/new",)
    assert config.benchmarks == ("DemoOCR", "DemoVideo")
    assert (config.prompts, config.dtype, config.longest_edge) == ("native", "bfloat16", 512)
    assert config.limit == "40"
    assert (config.judge, config.judge_base_url) == ("exact", None)
    assert config.set == (
        "DemoOCR.max_new_tokens=8", "DemoVideo.max_new_tokens=5", "DemoVideo.frames=8"
    )  # fmt: skip


def test_only_named_benchmarks_are_run(tmp_path: Path) -> None:
    assert as_run(baseline(tmp_path), ASKED, ["DemoVideo"]).benchmarks == ("DemoVideo",)
    with pytest.raises(UsageError, match=r"no score of 'DemoOCD' \(did you mean 'DemoOCR'\?\)"):
        as_run(baseline(tmp_path), ASKED, ["DemoOCD"])


def test_explicit_options_are_kept(tmp_path: Path) -> None:
    asked = RunConfig(ckpt=("new",), command="", limit="20", dtype="float16")
    config = as_run(baseline(tmp_path, limit="40"), asked)
    assert (config.limit, config.dtype) == ("20", "float16")


def test_the_judge_keeps_its_base_url(tmp_path: Path) -> None:
    judged = {"DemoOCR": {"judge": JudgeId("some-model", "http://localhost:8000/v1")}}
    config = as_run(baseline(tmp_path, judged), ASKED)
    assert config.judge == "some-model"
    assert config.judge_base_url == "http://localhost:8000/v1"


def test_the_candidate_of_a_text_only_baseline_is_text_only(tmp_path: Path) -> None:
    assert as_run(baseline(tmp_path, settings=settings(blind=True)), ASKED).blind
    assert not as_run(baseline(tmp_path), ASKED).blind


def test_an_empty_baseline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no score; finish it"):
        as_run(stored(tmp_path, "none", {}), ASKED)
