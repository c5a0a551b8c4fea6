"""`evalsuite gate --json`: the verdict for programs, and that nothing in it breaks out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evalsuite.cli import main
from evalsuite.comparison.gate import Gated, gate
from evalsuite.comparison.policy import Policy
from evalsuite.report.tables.gate_reasons import because
from evalsuite.report.writers.gate_json import to_json
from tests.builders.gates import STRICT, held, only, right
from tests.builders.stored_runs import failed, samples, stored

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "gate.md"


def plain(gated: Gated) -> Any:
    return json.loads(to_json(gated))


def test_it_has_the_numbers_of_the_verdict(tmp_path: Path) -> None:
    gated = held(tmp_path, {"A": right(300), "B": right(300)}, {"A": right(300), "B": right(260)})
    found = plain(gated)
    assert (found["verdict"], found["exit_code"]) == ("regression", 1)
    assert found["because"] == list(because(gated))
    assert found["next"][0].startswith("see what changed: evalsuite compare ")
    (against,) = found["against"]
    assert against["role"] == "baseline"
    assert against["baseline"]["name"] == "old"
    assert against["policy"] == {"margin": 1.0, "alpha": 0.05, "power": 0.8}
    decision = only(gated).decision
    assert decision is not None
    assert [row["benchmark"] for row in against["benchmarks"]] == ["A", "B"]
    assert [row["verdict"] for row in against["benchmarks"]] == ["within", "regression"]
    for row, finding in zip(
        (*against["benchmarks"], against["mean"]),
        (*decision.benchmarks.values(), decision.mean),
        strict=True,
    ):
        assert row["drop"] == pytest.approx(100 * finding.drop.estimate)
        assert row["lower"] == pytest.approx(100 * finding.drop.lower(0.05))
        assert row["upper"] == pytest.approx(100 * finding.upper)
        assert row["p"] == finding.p
        assert row["allowed"] == pytest.approx(100 * finding.allowed)
    assert against["mean"]["drop"] == 5
    assert (against["mean"]["baseline"], against["mean"]["candidate"]) == (75, 70)
    assert 1 < against["mean"]["detectable"] < 10
    assert against["benchmarks"][0]["equal_passes_from"] == pytest.approx(0.746, abs=1e-3)


def test_what_is_allowed_is_what_the_policy_says(tmp_path: Path) -> None:
    """7 points, not 100 times 0.07."""
    gated = held(tmp_path, {"A": right(300)}, {"A": right(300)}, Policy(margin=7, cliff=14))
    (against,) = plain(gated)["against"]
    assert (against["mean"]["allowed"], against["benchmarks"][0]["allowed"]) == (7, 14)


def test_failed_samples_and_what_cannot_be_compared_are_in_it(tmp_path: Path) -> None:
    after = right(300)
    after[:40] = [failed(row) for row in after[:40]]
    gated = held(tmp_path, {"A": right(300), "B": right(300)}, {"A": after})
    (against,) = plain(gated)["against"]
    assert against["failed_decide"] is True
    assert against["verdict_without_failed"] == "pass"
    (row,) = against["benchmarks"]
    assert (row["failed_baseline"], row["failed_candidate"]) == (0, 40)
    assert row["drop_without_failed"] == 0
    (missing,) = against["incomparable"]
    assert missing["benchmark"] == "B"
    assert "has no score of it" in missing["why"][0]
    assert [reason["kind"] for reason in against["reasons"]][:2] == [
        "failed samples", "regression"
    ]  # fmt: skip


def test_a_single_image_and_nothing_to_compare_are_json_too(tmp_path: Path) -> None:
    one = samples([1.0, 0.0], cluster="one")
    (against,) = plain(held(tmp_path, {"A": one}, {"A": one}, Policy(alpha=0.5)))["against"]
    assert against["mean"]["standard_error"] is None
    assert against["mean"]["detectable"] is None
    empty = stored(tmp_path, "none", {})
    (against,) = plain(gate(empty, empty, STRICT, {}))["against"]
    assert (against["mean"], against["benchmarks"]) == (None, [])


def test_an_anchor_is_a_second_entry(tmp_path: Path) -> None:
    old = stored(tmp_path, "old", {"A": right(300)})
    new = stored(tmp_path, "new", {"A": right(300)})
    first = stored(tmp_path, "first", {"A": right(380)})
    found = plain(gate(old, new, STRICT, {}, first))
    assert [(a["role"], a["verdict"]) for a in found["against"]] == [
        ("baseline", "pass"), ("anchor", "regression")
    ]  # fmt: skip
    assert found["verdict"] == "regression"


def keys(found: Any) -> set[str]:
    if isinstance(found, dict):
        return set(found).union(*map(keys, found.values()))
    return set().union(*map(keys, found)) if isinstance(found, list) else set()


def test_the_page_names_every_key(tmp_path: Path) -> None:
    found = plain(held(tmp_path, {"A": right(300), "B": right(300)}, {"A": right(260)}))
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    assert keys(found) <= named


def test_the_file_is_written_as_junit_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = stored(tmp_path, "old", {"A": right(300)})
    new = stored(tmp_path, "new", {"A": right(200)})
    sides = ["gate", "--baseline", str(old.path), "--candidate", str(new.path)]
    target = tmp_path / "deep" / "gate.json"
    assert main([*sides, "--json", str(target)]) == 1
    assert json.loads(target.read_text(encoding="ascii"))["verdict"] == "regression"
    capsys.readouterr()
    assert Path("/dev/full").is_char_device()
    assert main([*sides, "--json", "/dev/full"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert main([*sides, "--margin", "50", "--cliff", "50", "--json", "/dev/full"]) == 4
