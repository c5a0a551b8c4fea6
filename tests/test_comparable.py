"""What two scores of one benchmark must share to be compared."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from evalsuite.runs.comparable import Conditions, JudgeId, differences, differing

KNOWN = Conditions(
    dataset="A", data_digest="d" * 64, prompt_style="vlmevalkit", prompt_format="default",
    max_new_tokens=8, metric="choice", vlmevalkit="0.0.20", definition="0123",
)  # fmt: skip
QWEN = JudgeId("qwen", "http://localhost:8000/v1")
CHANGES: dict[str, Any] = {
    "dataset": "B",
    "data_digest": "d" * 63 + "e",
    "prompt_style": "native",
    "prompt_format": "brief",
    "blind": True,
    "frames": "8",
    "max_new_tokens": 9,
    "metric": "anls",
    "judge": QWEN,
    "vlmevalkit": "0.0.21",
    "definition": "4567",
}


def test_every_condition_is_tested() -> None:
    assert {f.name for f in fields(Conditions)} == {*CHANGES, "judge_reported"}


@pytest.mark.parametrize("name", CHANGES)
def test_every_condition_counts(name: str) -> None:
    other = replace(KNOWN, **{name: CHANGES[name]})
    assert differences(KNOWN, KNOWN) == []
    assert len(differences(KNOWN, other)) == 1
    assert len(differences(other, KNOWN)) == 1
    assert len(differing([KNOWN, KNOWN, other])) == 1


def test_digests_that_differ_late_are_written_in_full() -> None:
    (line,) = differences(KNOWN, replace(KNOWN, data_digest=CHANGES["data_digest"]))
    assert CHANGES["data_digest"] in line
    (line,) = differences(KNOWN, replace(KNOWN, data_digest="e" * 64))
    assert line == "data: dddddddd, eeeeeeee"


def test_the_definition_is_named_only_alone() -> None:
    other = replace(KNOWN, definition="4567", metric="anls")
    assert differences(KNOWN, other) == ["metric: choice, anls"]


def test_a_judge_that_was_not_asked_is_the_same_judge() -> None:
    asked = replace(KNOWN, judge=QWEN, judge_reported=("qwen-2.5-7b",))
    not_asked = replace(KNOWN, judge=QWEN)
    assert differences(asked, not_asked) == []
    assert differing([not_asked, asked, asked]) == []
    assert (asked.judge_name, not_asked.judge_name) == ("qwen-2.5-7b", "qwen")
    assert KNOWN.judge_name == "exact"


def test_other_reported_models_are_another_judge() -> None:
    first = replace(KNOWN, judge=QWEN, judge_reported=("gpt-4o-2024-05-13",))
    second = replace(KNOWN, judge=QWEN, judge_reported=("gpt-4o-2024-08-06",))
    (line,) = differences(first, second)
    assert "gpt-4o-2024-05-13, gpt-4o-2024-08-06" in line
    # One that was not asked does not hide the difference of the others.
    assert len(differing([first, replace(KNOWN, judge=QWEN), second])) == 1


def test_one_model_at_two_addresses_is_two_judges() -> None:
    moved = replace(KNOWN, judge=JudgeId(QWEN.model, "http://localhost:9000/v1"))
    (line,) = differences(replace(KNOWN, judge=QWEN), moved)
    assert "8000" in line
    assert "9000" in line
    (line,) = differences(replace(KNOWN, judge=QWEN), KNOWN)
    assert line == "judge: qwen, exact"
