"""`evalsuite gate --json`: keys, values and documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from evalsuite.cli import main
from evalsuite.comparison.gate import gate
from evalsuite.comparison.policy import Policy
from evalsuite.report.tables.gate import GateReport, explain
from evalsuite.report.writers.gate_json import to_json
from tests.builders.gates import STRICT, correct, only, report_of
from tests.builders.stored_runs import failed, samples, stored

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "gate.md"


def plain(report: GateReport) -> Any:
    return json.loads(to_json(report))


def test_it_has_the_numbers_of_the_verdict(tmp_path: Path) -> None:
    before = {"A": correct(300), "B": correct(300)}
    report = report_of(tmp_path, before, {"A": correct(300), "B": correct(260)})
    found = plain(report)
    assert (found["verdict"], found["exit_code"]) == ("regression", 1)
    assert found["because"] == list(report.because)
    assert found["next"] == list(report.next_steps)
    (against,) = found["against"]
    assert against["role"] == "baseline"
    assert against["baseline"]["name"] == "old"
    assert against["policy"] == {"margin": 1.0, "alpha": 0.05, "power": 0.8}
    findings = only(report.result).findings
    assert findings is not None
    assert [row["name"] for row in against["benchmarks"]] == ["A", "B"]
    assert [row["verdict"] for row in against["benchmarks"]] == ["within", "regression"]
    for row, finding in zip(
        (*against["benchmarks"], against["mean"]),
        (*findings.benchmarks.values(), findings.mean),
        strict=True,
    ):
        assert row["difference"] == finding.difference.points
        assert row["lower"] == pytest.approx(-100 * finding.difference.drop.upper(0.05))
        assert row["upper"] == pytest.approx(-100 * finding.difference.drop.lower(0.05))
        assert row["p"] == finding.p
        assert row["margin"] == finding.margin
    assert against["mean"]["name"] == "mean"
    assert against["mean"]["difference"] == -5
    assert (against["mean"]["baseline"], against["mean"]["candidate"]) == (75, 70)
    assert 1 < against["mean"]["mde"] < 10
    assert against["benchmarks"][0]["mde_pass"] == pytest.approx(0.746, abs=1e-3)


def test_margins_are_exactly_those_of_the_policy(tmp_path: Path) -> None:
    """7 points, not 100 times 0.07."""
    rows = {"A": correct(300)}
    (against,) = plain(report_of(tmp_path, rows, rows, Policy(margin=7, cliff=14)))["against"]
    assert (against["mean"]["margin"], against["benchmarks"][0]["margin"]) == (7, 14)


def test_failed_samples_and_incomparable_benchmarks_are_included(tmp_path: Path) -> None:
    after = correct(300)
    after[:40] = [failed(row) for row in after[:40]]
    report = report_of(tmp_path, {"A": correct(300), "B": correct(300)}, {"A": after})
    (against,) = plain(report)["against"]
    assert against["failures_decide"] is True
    assert against["verdict_without_failed"] == "pass"
    (row,) = against["benchmarks"]
    assert (row["failed_baseline"], row["failed_candidate"]) == (0, 40)
    assert (row["difference"], row["difference_without_failed"]) == (-10, 0)
    (missing,) = against["incomparable"]
    assert missing["name"] == "B"
    assert "new" in missing["why"][0]
    assert [reason["kind"] for reason in against["reasons"]][:2] == [
        "failed samples", "regression"
    ]  # fmt: skip


def test_a_single_image_and_empty_runs_are_valid_json(tmp_path: Path) -> None:
    one = samples([1.0, 0.0], cluster="one")
    (against,) = plain(report_of(tmp_path, {"A": one}, {"A": one}, Policy(alpha=0.5)))["against"]
    assert against["mean"]["standard_error"] is None
    assert against["mean"]["mde"] is None
    empty = stored(tmp_path, "none", {})
    (against,) = plain(explain(gate(empty, empty, STRICT, {})))["against"]
    assert (against["mean"], against["benchmarks"]) == (None, [])


def test_an_anchor_is_a_second_entry(tmp_path: Path) -> None:
    old = stored(tmp_path, "old", {"A": correct(300)})
    new = stored(tmp_path, "new", {"A": correct(300)})
    first = stored(tmp_path, "first", {"A": correct(380)})
    found = plain(explain(gate(old, new, STRICT, {}, first)))
    assert [(a["role"], a["verdict"]) for a in found["against"]] == [
        ("baseline", "pass"), ("anchor", "regression")
    ]  # fmt: skip
    assert found["verdict"] == "regression"


def keys(found: Any) -> set[str]:
    if isinstance(found, dict):
        return set(found).union(*map(keys, found.values()))
    return set().union(*map(keys, found)) if isinstance(found, list) else set()


def test_the_documentation_has_every_key(tmp_path: Path) -> None:
    before = {"A": correct(300), "B": correct(300)}
    found = plain(report_of(tmp_path, before, {"A": correct(260)}))
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    assert keys(found) <= named


def test_a_full_disk_does_not_hide_a_regression(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = stored(tmp_path, "old", {"A": correct(300)})
    new = stored(tmp_path, "new", {"A": correct(200)})
    sides = ["gate", "--baseline", str(old.path), "--candidate", str(new.path)]
    target = tmp_path / "deep" / "gate.json"
    assert main([*sides, "--json", str(target)]) == 1
    assert json.loads(target.read_text(encoding="ascii"))["verdict"] == "regression"
    capsys.readouterr()
    assert Path("/dev/full").is_char_device()
    assert main([*sides, "--json", "/dev/full"]) == 1
    assert "/dev/full" in capsys.readouterr().err
    assert main([*sides, "--margin", "50", "--cliff", "50", "--json", "/dev/full"]) == 4
