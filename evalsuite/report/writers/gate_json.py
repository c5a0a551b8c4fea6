"""A gate's verdict as JSON, numbers in points; docs/reference/gate.md explains the keys."""

from __future__ import annotations

import dataclasses
from typing import Any

from evalsuite.comparison.comparison import Difference
from evalsuite.comparison.gate import Gated, Judged
from evalsuite.comparison.power import Prospect
from evalsuite.report.tables.gate import word
from evalsuite.report.tables.gate_noise import warnings
from evalsuite.report.tables.gate_reasons import advice, because, reasons
from evalsuite.report.writers.comparison_json import standard_error
from evalsuite.runs.records import FoundRun
from evalsuite.stats.decision import Finding
from evalsuite.system.environment import VERSION
from evalsuite.system.files import to_json_text

SCHEMA = 1
"""Raised if a key changes its meaning or goes; new ones may come."""


def to_json(gated: Gated) -> str:
    """Render the verdict and what made it so; texts are as they came, none is cut or escaped."""
    plain = {
        "schema": SCHEMA,
        "evalsuite": VERSION,
        "verdict": gated.verdict,
        "exit_code": gated.exit_code,
        "because": list(because(gated)),
        "warnings": [line.removeprefix("warning: ") for line in warnings(gated)],
        "next": [line.removeprefix("next: ") for line in advice(gated)],
        "against": [_against(judged) for judged in gated.judged],
    }
    return to_json_text(plain, allow_nan=False)


def _against(judged: Judged) -> dict[str, Any]:
    comparison, terms, outlook = judged.comparison, judged.terms, judged.outlook
    without = judged.without_failed
    return {
        "role": judged.role,
        "verdict": judged.verdict,
        "baseline": _run(comparison.baseline[0]),
        "candidate": _run(comparison.candidate[0]),
        "policy": {"margin": terms.margin, "alpha": terms.alpha, "power": terms.power},
        "mean": _mean(judged),
        "benchmarks": _benchmarks(judged),
        "incomparable": [
            {"benchmark": item.benchmark, "why": list(item.why)} for item in comparison.incomparable
        ],
        "failed_decide": judged.failures_decide,
        "verdict_without_failed": None if without is None else without.verdict,
        "pass_if_equal": None if outlook is None else outlook.pass_if_equal,
        "reasons": [dataclasses.asdict(reason) for reason in reasons(judged)],
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


def _mean(judged: Judged) -> dict[str, Any] | None:
    if judged.decision is None or judged.outlook is None:
        return None
    comparison = judged.comparison
    difference = comparison.mean or comparison.differences[0]  # of one benchmark it is the mean
    return _plain(difference, judged.decision.mean, judged.outlook.mean, judged.terms.alpha)


def _benchmarks(judged: Judged) -> list[dict[str, Any]]:
    if judged.decision is None or judged.outlook is None:
        return []
    comparison = judged.comparison
    return [
        {
            "benchmark": each.name,
            **_plain(each, judged.decision.benchmarks[each.name],
                     judged.outlook.benchmarks[each.name], judged.terms.alpha),
            "left_out": paired.left_out,
            "asked_otherwise": paired.asked_otherwise,
        }
        for each, paired in zip(comparison.differences, comparison.paired, strict=True)
    ]  # fmt: skip


def _plain(
    difference: Difference, finding: Finding, prospect: Prospect, alpha: float
) -> dict[str, Any]:
    drop, without = finding.drop, difference.without_failed
    return {
        "verdict": word(finding),
        "baseline": difference.baseline,
        "candidate": difference.candidate,
        "drop": 100 * drop.estimate,
        "lower": 100 * drop.lower(alpha),
        "upper": 100 * finding.upper,
        "standard_error": standard_error(drop),
        "p": finding.p,
        "p_unadjusted": drop.p_worse,
        "allowed": round(100 * finding.allowed, 9),
        "detectable": prospect.detectable,
        "equal_passes_from": prospect.passing,
        "n": drop.n,
        "clusters": drop.clusters,
        "effective_clusters": drop.effective_clusters,
        "failed_baseline": difference.failed[0],
        "failed_candidate": difference.failed[1],
        "drop_without_failed": None if without is None else 100 * without.estimate,
    }
