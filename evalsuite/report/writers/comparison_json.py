"""Comparisons for programs: JSON, CSV and the changed answers as JSON lines."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalsuite.comparison.comparison import Comparison, Difference
from evalsuite.comparison.pairing import Matched, Paired
from evalsuite.report.writers.csv import field
from evalsuite.runs.records import FoundRun
from evalsuite.stats.paired_difference import Drop
from evalsuite.system.files import to_json_line, to_json_text, write_atomically


def to_json(comparison: Comparison, warnings: Sequence[str] = ()) -> str:
    """Render everything, in points but for p; differences are candidate minus baseline."""
    plain = {
        "baseline": [_run(found) for found in comparison.baseline],
        "candidate": [_run(found) for found in comparison.candidate],
        "level": 0.95,
        "benchmarks": [
            {
                **_plain(difference),
                "left_out": paired.left_out,
                "asked_otherwise": paired.asked_otherwise,
                "breakdown": [_plain(category) for category in difference.categories],
            }
            for difference, paired in zip(comparison.differences, comparison.paired, strict=True)
        ],
        "mean": None if comparison.mean is None else _plain(comparison.mean),
        "incomparable": [dataclasses.asdict(item) for item in comparison.incomparable],
        "notes": [*comparison.notes, *warnings],
    }
    return to_json_text(plain, allow_nan=False)


def to_csv(comparison: Comparison) -> str:
    """Render a line a benchmark, category and mean; incomparable benchmarks say why."""
    columns = ["benchmark", "category", *_COLUMNS, "incomparable"]
    rows: list[dict[str, Any]] = []
    for difference in comparison.differences:
        rows.append({"benchmark": difference.name, **_plain(difference)})
        rows += [
            {"benchmark": difference.name, "category": each.name, **_plain(each)}
            for each in difference.categories
        ]
    if comparison.mean is not None:
        rows.append({"benchmark": comparison.mean.name, **_plain(comparison.mean)})
    for item in comparison.incomparable:
        rows.append({"benchmark": item.benchmark, "incomparable": "; ".join(item.why)})
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: field(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


_COLUMNS = ("n", "clusters", "effective_clusters", "discordant_clusters", "too_few_clusters",
            "baseline", "candidate", "difference", "low", "high", "standard_error", "df", "method",
            "p", "p_adjusted", "worse", "better", "mcnemar_exact", "mcnemar_mid",
            "failed_baseline", "failed_candidate")  # fmt: skip


def _plain(difference: Difference) -> dict[str, Any]:
    low, high = difference.interval()
    without = difference.without_failed
    return {
        "name": difference.name,
        "n": difference.drop.n,
        "clusters": difference.drop.clusters,
        "effective_clusters": difference.drop.effective_clusters,
        "discordant_clusters": difference.drop.discordant,
        "too_few_clusters": difference.drop.too_few_clusters,
        "baseline": difference.baseline,
        "candidate": difference.candidate,
        "difference": difference.points,
        "low": low,
        "high": high,
        "standard_error": standard_error(difference.drop),
        "df": difference.drop.df,
        "method": difference.drop.method,
        "p": difference.drop.p,
        "p_adjusted": difference.p,
        "worse": difference.worse,
        "better": difference.better,
        "mcnemar_exact": None if difference.mcnemar is None else difference.mcnemar.exact,
        "mcnemar_mid": None if difference.mcnemar is None else difference.mcnemar.mid,
        "failed_baseline": difference.failed[0],
        "failed_candidate": difference.failed[1],
        "without_failed": None
        if without is None
        else {
            "n": without.n,
            "difference": -100 * without.estimate,
            "low": -100 * without.interval()[1],
            "high": -100 * without.interval()[0],
            "p": without.p,
        },
    }


def standard_error(drop: Drop) -> float | None:
    """In points; None where a benchmark of a single image leaves it unknown."""
    return 100 * drop.standard_error if math.isfinite(drop.variance) else None


def _run(found: FoundRun) -> dict[str, Any]:
    record = found.run.checkpoint
    return {
        "run": str(found.path),
        "name": record.name,
        "digest": record.digest,
        "step": record.step,
        "settings": dict(found.run.settings),
        "limit": found.run.limit,
    }


def write_changed(comparison: Comparison, path: Path) -> None:
    """Write every changed answer, a line of JSON each. Raises `DiskError`."""
    lines = [
        to_json_line({
            "benchmark": paired.benchmark,
            "id": sample.known.id,
            "change": -sample.drop,
            "category": sample.known.category,
            "question": sample.known.question,
            "target": sample.known.target,
            **{
                f"{side}_{key}": getattr(row, key)
                for side, row in (("baseline", sample.baseline[0]),
                                  ("candidate", sample.candidate[0]))
                for key in ("value", "prediction", "ended", "error")
            },
        })
        for paired in comparison.paired
        for sample in changed_samples(paired)
    ]  # fmt: skip
    write_atomically(path, "".join(lines))


def changed_samples(paired: Paired) -> list[Matched]:
    """Samples worth less or more than before: losses first, each in the order of the data."""
    return sorted((s for s in paired.samples if s.drop), key=lambda sample: sample.drop < 0)
