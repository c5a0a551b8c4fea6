"""The report of the gate as JSON; docs/reference/gate.md documents the keys."""

from __future__ import annotations

import dataclasses
from typing import Any

from evalsuite.report.model.column import to_records
from evalsuite.report.tables.gate import AssessmentReport, GateReport, columns
from evalsuite.runs.records import FoundRun
from evalsuite.system.environment import VERSION
from evalsuite.system.files import to_json_text

SCHEMA = 2
"""Incremented if a key is removed or changes its meaning; keys may be added."""


def to_json(report: GateReport) -> str:
    """Render `report`; differences are candidate minus baseline, in points."""
    plain = {
        "schema": SCHEMA,
        "evalsuite": VERSION,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "because": list(report.because),
        "warnings": list(report.warnings),
        "next": list(report.next_steps),
        "against": [_against(each) for each in report.assessments],
    }
    return to_json_text(plain, allow_nan=False)


def _against(report: AssessmentReport) -> dict[str, Any]:
    assessment = report.assessment
    comparison, terms, power = assessment.comparison, assessment.terms, assessment.power
    without, worst = assessment.without_failed, assessment.worst_case
    shown = columns(assessment.terms.alpha)
    compared, samples = assessment.coverage
    return {
        "role": assessment.role,
        "verdict": assessment.verdict,
        "baseline": _run(comparison.baseline[0]),
        "candidate": _run(comparison.candidate[0]),
        "policy": {"margin": terms.margin, "alpha": terms.alpha, "power": terms.power},
        "mean": None if report.mean is None else to_records(shown, [report.mean])[0],
        "benchmarks": to_records(shown, report.rows),
        "incomparable": [
            {"name": item.benchmark, "why": list(item.why)} for item in comparison.incomparable
        ],
        "failures_decide": assessment.failures_decide,
        "verdict_without_failed": None if without is None else without.verdict,
        "verdict_worst_case": None if worst is None else worst.verdict,
        "samples_compared": compared,
        "samples": samples,
        "pass_if_equal": None if power is None else power.pass_if_equal,
        "reasons": [dataclasses.asdict(reason) for reason in report.reasons],
        "notes": list(comparison.notes),
    }


def _run(found: FoundRun) -> dict[str, Any]:
    run = found.run
    return {
        "run": str(found.path),
        "name": run.checkpoint.name,
        "digest": run.checkpoint.digest,
        "limit": run.limit,
        "finished": run.finished,
        "batch_sensitivity": None
        if run.batch_sensitivity is None
        else dataclasses.asdict(run.batch_sensitivity),
    }
