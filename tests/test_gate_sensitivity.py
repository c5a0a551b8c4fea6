"""The batch-size sensitivity of runs in the gate: remarks and warnings."""

from pathlib import Path

import pytest

from evalsuite.benchmarks import catalogue
from evalsuite.comparison.gate import gate
from evalsuite.comparison.policy import Policy
from evalsuite.report.export.github import to_markdown
from evalsuite.report.export.junit import to_junit
from evalsuite.report.format import batch_sensitivity
from evalsuite.report.tables.gate import GateReport, explain
from evalsuite.report.tables.gate_sensitivity import remarks
from evalsuite.runs.records import BatchSensitivity
from tests.builders.stored_runs import samples, stored

RIGHT = [1.0] * 400


def noise(
    count: int, low: float, high: float, effect: float = 0.0, flipped: int = 0
) -> BatchSensitivity:
    return BatchSensitivity(
        samples={"DemoOCR": count},
        changed=flipped + 1,
        flipped=flipped,
        effect=effect,
        low=low,
        high=high,
    )


def gated(
    tmp_path: Path, before: BatchSensitivity | None, after: BatchSensitivity | None, margin: float
) -> GateReport:
    baseline = stored(tmp_path, "old", {"DemoOCR": samples(RIGHT)}, batch_sensitivity=before)
    candidate = stored(tmp_path, "new", {"DemoOCR": samples(RIGHT)}, batch_sensitivity=after)
    policy = Policy(margin=margin, cliff=10)
    return explain(gate(baseline, candidate, policy, catalogue.load().benchmarks))


def test_it_is_reported_for_each_run(tmp_path: Path) -> None:
    report = gated(tmp_path, noise(64, -5.6, 5.6), None, 2)
    old, new = remarks(report.result.assessments[0])
    assert "baseline old" in old
    assert "64 samples" in old
    assert "-5.60 to +5.60" in old
    assert "candidate new: not measured" in new
    assert "64 samples" in to_markdown(report)
    assert batch_sensitivity(noise(64, -5.6, 5.6)) in to_junit(report)


@pytest.mark.parametrize(
    ("found", "margin", "remedy"),
    [
        (noise(2000, -0.5, 0.5), 2, None),
        (noise(2000, 0.1, 0.5, 0.3, 6), 2, None),
        (None, 2, "--noise 64"),
        # z^2 / (764.5 + z^2) = 0.5 %
        (noise(64, -5.662406, 5.662406), 2, "64 samples; rerun with --noise 765"),
        # About three samples share an image: 100 samples are worth 38.
        (noise(100, -9.2, 9.2), 2, "100 samples; rerun with --noise 2017"),
        (noise(100, -1.0, 1.4, 0.2, 2), 4, "100 samples; rerun with --noise 225"),
        (noise(500, 0.5, 1.1, 0.8, 6), 2, "+0.80; rerun with --dtype float32"),
        (noise(500, -1.1, -0.5, -0.8, 6), 2, "-0.80; rerun with --dtype float32"),
        (noise(64, -5.6, 5.6), 40, None),
    ],
)  # fmt: skip
def test_it_warns_unless_the_effect_is_shown_to_be_small(
    tmp_path: Path, found: BatchSensitivity | None, margin: float, remedy: str | None
) -> None:
    report = gated(tmp_path, noise(9999, -0.01, 0.01), found, margin)
    assert report.verdict == "pass", "the batch size changes no verdict"
    if remedy is None:
        assert report.warnings == ()
    else:
        (line,) = report.warnings
        assert "the candidate new" in line
        assert f"{margin / 4:g} points" in line
        assert remedy in line
        assert remedy in to_markdown(report)


def test_runs_with_the_same_remedy_share_a_line(tmp_path: Path) -> None:
    (line,) = gated(tmp_path, noise(64, -5.6, 5.6), noise(64, -5.6, 5.6), 2).warnings
    assert "the baseline old, the candidate new" in line
    assert len(gated(tmp_path, noise(64, -5.6, 5.6), None, 2).warnings) == 2


def test_it_changes_no_margin(tmp_path: Path) -> None:
    terms = [
        gated(tmp_path / name, found, found, 2).result.assessments[0].terms
        for name, found in {"large": noise(500, 3, 9, 6.0, 30), "none": None}.items()
    ]
    assert terms[0] == terms[1]
    assert terms[0].margin == 2
