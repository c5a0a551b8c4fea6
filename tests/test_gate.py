"""The rules of the gate on stored runs: verdicts, reasons and next steps."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

import evalsuite as public
from evalsuite.comparison import gate as gating
from evalsuite.comparison.comparison import compare_any
from evalsuite.comparison.gate import GateResult, assess, gate
from evalsuite.comparison.policy import Policy
from evalsuite.comparison.power import expected_variability
from evalsuite.errors import UsageError
from evalsuite.report.export.github import annotation_lines, to_markdown
from evalsuite.report.export.junit import to_junit
from evalsuite.report.tables import gate as gate_table
from evalsuite.report.tables.gate import explain
from evalsuite.report.tables.gate_reasons import Reason
from evalsuite.report.writers.gate_json import to_json
from evalsuite.runs.records import FoundRun, SampleScore
from tests.builders.gates import STRICT, correct, gate_stored, only, report_of
from tests.builders.runs import settings
from tests.builders.stored_runs import failed, sample, stored


def kinds(result: GateResult) -> dict[str, str]:
    """Return the kind of the first reason of each subject."""
    (report,) = explain(result).assessments
    return {reason.subject: reason.kind for reason in reversed(report.reasons)}


def test_enough_identical_answers_pass(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"A": correct(300)}, {"A": correct(300)})
    assert (report.verdict, report.exit_code) == ("pass", 0)
    (line,) = report.because
    assert "0.00 points" in line
    assert "-0.75" in line
    (step,) = report.next_steps
    assert step.startswith("evalsuite promote ")


def test_too_few_identical_answers_are_inconclusive(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"A": correct(80, 100)}, {"A": correct(80, 100)})
    assert (report.verdict, report.exit_code) == ("inconclusive", 3)
    assert "evalsuite power" in " ".join(report.next_steps)


def test_a_large_significant_drop_is_a_regression(tmp_path: Path) -> None:
    before = {"A": correct(300), "B": correct(300)}
    report = report_of(tmp_path, before, {"A": correct(300), "B": correct(260)})
    assert (report.verdict, report.exit_code) == ("regression", 1)
    assert list(report.because) == [
        "B dropped by 10 points (p <0.001); its max drop is 5",
        "the mean dropped by 5 points (p <0.001); the margin is 1",
    ]
    assert "evalsuite compare" in " ".join(report.next_steps)


def test_a_gain_is_reported_as_a_gain(tmp_path: Path) -> None:
    report = report_of(tmp_path, {"A": correct(200)}, {"A": correct(302)})
    (line,) = report.because
    assert "+25.50 points" in line
    assert "drop" not in line.replace("max drop", "")
    finding = only(report.result).findings
    assert finding is not None
    assert finding.mean.difference.points == 25.5
    assert 0 < finding.mean.lower < 25.5 < finding.mean.upper


def test_the_policy_decides(tmp_path: Path) -> None:
    before, after = {"A": correct(300)}, {"A": correct(260)}
    for margin, cliff, verdict in (
        (20, 20, "pass"), (20, 5, "regression"), (5, 20, "regression"), (11, 11, "inconclusive"),
    ):  # fmt: skip
        policy = Policy(margin=margin, cliff=cliff)
        assert gate_stored(tmp_path, before, after, policy).verdict == verdict


def test_an_incomparable_benchmark_makes_the_verdict_incomplete(tmp_path: Path) -> None:
    rows = {"A": correct(300), "B": correct(300)}
    report = report_of(tmp_path, rows, rows, scores={"B": {"metric": "anls"}})
    assert (report.verdict, report.exit_code) == ("incomplete", 4)
    (line,) = report.because
    assert line.startswith("B cannot be compared")
    assert "metric: choice, anls" in line


def test_a_missing_benchmark_makes_the_verdict_incomplete(tmp_path: Path) -> None:
    both, one = {"A": correct(300), "B": correct(300)}, {"A": correct(300)}
    for before, after in ((both, one), (one, both)):
        result = gate_stored(tmp_path, before, after)
        assert result.verdict == "incomplete"
        assert kinds(result)["B"] == "incomparable"
        named = STRICT.model_copy(update={"benchmarks": ("A",)})
        assert gate_stored(tmp_path, before, after, named).verdict == "pass"


def test_a_regression_is_worse_than_an_incomparable_benchmark(tmp_path: Path) -> None:
    before = {"A": correct(300), "B": correct(300)}
    result = gate_stored(tmp_path, before, {"A": correct(200)})
    assert (result.verdict, result.exit_code) == ("regression", 1)
    assert kinds(result) == {"A": "regression", "mean": "regression", "B": "incomparable"}


def test_incomplete_is_worse_than_inconclusive(tmp_path: Path) -> None:
    before = {"A": correct(30, 50), "B": correct(30, 50)}
    assert gate_stored(tmp_path, before, {"A": correct(30, 50)}).verdict == "incomplete"


def test_nothing_to_compare_is_incomplete(tmp_path: Path) -> None:
    native = settings(prompts="native")
    result = gate_stored(tmp_path, {"A": correct(300)}, {"A": correct(300)}, settings=native,
                         scores={"A": {"prompt_style": "native"}})  # fmt: skip
    assert result.verdict == "incomplete"
    assert only(result).findings is None
    assert kinds(result) == {"A": "incomparable", "mean": "incomparable"}
    empty = stored(tmp_path, "none", {})
    result = gate(empty, empty, STRICT, {})
    assert (result.verdict, kinds(result)) == ("incomplete", {"mean": "incomparable"})


def test_failed_samples_must_not_decide(tmp_path: Path) -> None:
    after = correct(300)
    after[:40] = [failed(row) for row in after[:40]]
    report = report_of(tmp_path, {"A": correct(300)}, {"A": after})
    assessment = only(report.result)
    assert assessment.findings is not None
    assert assessment.without_failed is not None
    assert (assessment.findings.verdict, assessment.without_failed.verdict) == (
        "regression", "pass"
    )  # fmt: skip
    assert (report.verdict, report.exit_code) == ("incomplete", 4)
    first = report.because[0]
    assert first.startswith("40 failed samples")
    assert "regression" in first
    assert "pass" in first


def test_failed_samples_that_do_not_decide_are_accepted(tmp_path: Path) -> None:
    after = correct(300)
    after[0] = failed(after[0])
    policy = Policy(margin=5, cliff=5)
    result = gate_stored(tmp_path, {"A": correct(300)}, {"A": after}, policy)
    assert only(result).failed == 1
    assert result.verdict == "pass"


def test_failures_of_the_baseline_do_not_hide_a_regression(tmp_path: Path) -> None:
    """The candidate is wrong on the 60 of 1,000 samples that failed in the baseline.

    Counted as wrong or left out it passes; if the baseline had answered, it is a regression.
    """
    before = correct(900, 1000)
    after = [*before]
    before[:60] = [failed(row) for row in before[:60]]
    after[:60] = [dataclasses.replace(row, value=0.0) for row in after[:60]]
    report = report_of(tmp_path, {"A": before}, {"A": after})
    assessment = only(report.result)
    assert assessment.findings is not None
    assert assessment.without_failed is not None
    assert assessment.worst_case is not None
    assert (assessment.findings.verdict, assessment.without_failed.verdict) == ("pass", "pass")
    assert assessment.worst_case.verdict == "regression"
    assert assessment.worst_case.mean.difference.points == pytest.approx(-6)
    assert (report.verdict, report.exit_code) == ("incomplete", 4)
    assert "60 failed samples" in report.because[0]
    assert "only these 60 " in " ".join(report.next_steps)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_part_of_the_samples_is_incomplete_unless_accepted(tmp_path: Path, swapped: bool) -> None:
    """1,000 samples against 400 of them, which passed before with a footnote."""
    whole = stored(tmp_path, "whole", {"A": correct(750, 1000)})
    part = stored(tmp_path, "part", {"A": correct(750, 1000)[:400]})
    sides = (part, whole) if swapped else (whole, part)
    report = explain(gate(*sides, STRICT, {}))
    assert (report.verdict, report.exit_code) == ("incomplete", 4)
    assert kinds(report.result) == {"A": "partial"}
    assert "400 of 1000" in report.because[0]
    assert "--partial" in " ".join(report.next_steps)
    accepted = explain(gate(*sides, STRICT, {}, partial=True))
    assert accepted.verdict == "pass"
    assert "400 of 1000" in accepted.headline
    assert "400 of 1000" in to_junit(accepted)
    assert "promote " not in " ".join(accepted.next_steps).replace("promote the candidate", "")
    (against,) = json.loads(to_json(accepted))["against"]
    assert (against["samples_compared"], against["samples"]) == (400, 1000)


def test_a_benchmark_without_any_answer_is_incomplete(tmp_path: Path) -> None:
    before = {"A": correct(300), "B": correct(300)}
    broken = [failed(row) for row in correct(300)]
    result = gate_stored(tmp_path, before, {"A": correct(300), "B": broken})
    assert result.verdict == "incomplete"
    assert only(result).unanswered == ("B",)
    assert kinds(result)["B"] == "failed samples"
    everything = gate_stored(tmp_path, {"B": correct(300)}, {"B": broken})
    assert everything.verdict == "incomplete"
    assert only(everything).without_failed is None


def test_a_regression_counts_in_spite_of_a_broken_benchmark(tmp_path: Path) -> None:
    before = {"A": correct(300), "B": correct(300)}
    broken = [failed(row) for row in correct(300)]
    result = gate_stored(tmp_path, before, {"A": correct(200), "B": broken})
    assert result.verdict == "regression"


def test_samples_with_different_prompts_prevent_a_pass(tmp_path: Path) -> None:
    """The other samples are compared and may show a regression."""
    margins = Policy(margin=5, cliff=5)
    after = correct(300)
    after[7] = dataclasses.replace(after[7], prompt_digest="otherwise")
    before = {"A": correct(300), "B": correct(300)}
    report = report_of(tmp_path, before, {"A": after, "B": correct(300)}, margins)
    assert only(report.result).findings is not None
    assert (report.verdict, report.exit_code) == ("incomplete", 4)
    (line,) = report.because
    assert line.startswith("A cannot be compared completely")
    assert "1 of 400" in line
    case = ElementTree.fromstring(to_junit(report)).find(".//testcase[@name='A']/error")
    assert case is not None
    worse = correct(200)
    worse[7] = after[7]
    result = gate_stored(tmp_path, {"A": correct(300)}, {"A": worse}, margins)
    assert result.verdict == "regression"
    assert Reason("A", "incomparable", line) in explain(result).assessments[0].reasons


def test_an_open_benchmark_reports_its_bound(tmp_path: Path) -> None:
    """Three of 400 lost: the estimate is below both limits of 1 point, the bound is not."""
    policy = Policy(margin=1, cliff=1)
    report = report_of(tmp_path, {"A": correct(300)}, {"A": correct(297)}, policy)
    assert report.verdict == "inconclusive"
    findings = only(report.result).findings
    assert findings is not None
    assert findings.mean.difference.points == pytest.approx(-0.75)
    assert findings.mean.lower < -1
    bound = f"{-findings.mean.lower:.2f} points"
    assert [line.split()[0] for line in report.because] == ["A", "the"]
    assert all(bound in line for line in report.because)


def test_a_limited_run_needs_a_larger_limit(tmp_path: Path) -> None:
    rows = {"A": correct(60, 80)}
    report = report_of(tmp_path, rows, rows, limit="80")
    assert report.verdict == "inconclusive"
    assert "rerun new without --limit" in " ".join(report.next_steps)


def test_an_anchor_detects_small_losses_that_add_up(tmp_path: Path) -> None:
    """Half a point per step is within a margin of 2; five points since the anchor are not."""
    anchor, baseline, candidate = (
        stored(tmp_path, name, {"A": correct(count)})
        for name, count in (("anchor", 380), ("old", 362), ("new", 360))
    )
    policy = Policy(margin=2, cliff=5)
    assert gate(baseline, candidate, policy, {}).verdict == "pass"
    report = explain(gate(baseline, candidate, policy, {}, anchor))
    assert [each.verdict for each in report.result.assessments] == ["pass", "regression"]
    assert (report.verdict, report.exit_code) == ("regression", 1)
    assert all(line.startswith("against the anchor: ") for line in report.because)
    assert str(anchor.path) in " ".join(report.next_steps)


def test_margins_are_those_of_the_benchmarks(tmp_path: Path) -> None:
    from evalsuite.benchmarks.catalogue import load

    runs = [stored(tmp_path, name, {"DemoOCR": correct(300)}) for name in ("a", "b")]
    terms = only(gate(runs[0], runs[1], Policy(), load().benchmarks)).terms
    assert (terms.margin, terms.cliffs) == (3, {"DemoOCR": 10})


def test_an_unknown_benchmark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'AA'"):
        gate_stored(tmp_path, {"A": correct(300)}, {"A": correct(300)}, Policy(benchmarks=("AA",)))


def test_the_minimum_detectable_effect_is_larger_than_the_margin(tmp_path: Path) -> None:
    enough = only(gate_stored(tmp_path, {"A": correct(300)}, {"A": correct(292)})).power
    assert enough is not None
    mde = enough.benchmarks["A"].mde
    assert mde is not None
    assert mde > 5
    few = only(gate_stored(tmp_path, {"A": correct(20, 25)}, {"A": correct(20, 25)})).power
    assert few is not None
    assert few.benchmarks["A"].mde is None
    assert few.pass_if_equal == 0


def test_the_design_effect_is_that_of_the_answers(tmp_path: Path) -> None:
    """Three questions per image that change together are worth one."""
    rows = [sample(i, 1.0, cluster=f"image-{i // 3}") for i in range(900)]
    flipped = [dataclasses.replace(row, value=float(int(row.id) // 3 % 4 > 0)) for row in rows]
    sides = [stored(tmp_path, name, {"A": made}) for name, made in (("a", rows), ("b", flipped))]
    comparison = compare_any(sides[:1], sides[1:])
    difference = comparison.differences[0]
    expected = expected_variability(comparison.paired[0], difference)
    assert expected.design_effect == pytest.approx(3, rel=0.02)
    assert expected.discordance == pytest.approx(0.25)
    assert 100 * expected.error(0.25) == pytest.approx(difference.standard_error, rel=1e-9)
    same = compare_any(sides[:1], sides[:1])
    nothing = expected_variability(same.paired[0], same.differences[0])
    assert (nothing.discordance, nothing.design_effect, nothing.clusters) == (0, 3, 300)


def test_one_image_is_inconclusive(tmp_path: Path) -> None:
    rows = [sample(i, float(i % 2), cluster="one") for i in range(9)]
    sides = [stored(tmp_path, name, {"A": rows}) for name in ("a", "b")]
    assert assess(compare_any(sides[:1], sides[1:]), STRICT, {}).verdict == "inconclusive"


def test_python_api(tmp_path: Path) -> None:
    before, after = (stored(tmp_path, name, {"A": correct(count)})
                     for name, count in (("old", 300), ("new", 260)))  # fmt: skip
    result = public.gate(before.path, after.path.parent.parent.name, output_dir=tmp_path)
    assert (result.verdict, result.exit_code) == ("regression", 1)
    assert public.gate(before.path, after.path, margin=20, cliff=20).verdict == "pass"
    with pytest.raises(UsageError, match="--baseline"):
        public.gate(None, after.path, output_dir=tmp_path)


def test_an_unfinished_run_is_incomplete_unless_benchmarks_are_named(tmp_path: Path) -> None:
    """Both runs may lack the same benchmarks."""
    rows = {"A": correct(300)}
    report = report_of(tmp_path, rows, rows, finished=None)
    assert (report.verdict, report.exit_code) == ("incomplete", 4)
    assert kinds(report.result) == {"mean": "unfinished"}
    (step,) = report.next_steps
    assert "evalsuite run --ckpt demo" in step
    named = STRICT.model_copy(update={"benchmarks": ("A",)})
    assert gate_stored(tmp_path, rows, rows, named, finished=None).verdict == "pass"
    result = gate_stored(tmp_path, rows, {"A": correct(200)}, finished=None)
    assert result.verdict == "regression"


def test_a_run_compared_with_itself_has_a_note(tmp_path: Path) -> None:
    found = stored(tmp_path, "old", {"A": correct(300)})
    (tmp_path / "link").symlink_to(found.path.parent)
    again = FoundRun(tmp_path / "link" / "run.json", found.run)
    notes = only(gate(found, again, STRICT, {})).comparison.notes
    assert "baseline and candidate are the same run" in notes


def test_everything_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each samples.jsonl is read once, and all forms use one explanation."""
    rows = {"A": correct(300), "B": correct(300)}
    runs = [stored(tmp_path, name, rows) for name in ("old", "new", "anchor")]
    read: Counter[Path] = Counter()
    made: Counter[str] = Counter()
    read_samples, original = gating.read_samples, {
        name: getattr(gate_table, name)
        for name in ("reasons", "because", "next_steps", "lay_out", "columns")
    }  # fmt: skip

    def counted_read(path: Path) -> list[SampleScore]:
        read[path] += 1
        return read_samples(path)

    def counting(name: str):  # type: ignore[no-untyped-def]
        def call(*arguments, **more):  # type: ignore[no-untyped-def]
            made[name] += 1
            return original[name](*arguments, **more)

        return call

    monkeypatch.setattr(gating, "read_samples", counted_read)
    for name in original:
        monkeypatch.setattr(gate_table, name, counting(name))
    report = explain(gate(runs[0], runs[1], STRICT, {}, runs[2]))
    for write in (to_markdown, to_junit, to_json, lambda r: list(annotation_lines(r))):
        write(report)
    assert sorted(read.values()) == [1] * 6
    assert made == {"reasons": 2, "because": 1, "next_steps": 1, "lay_out": 2, "columns": 2}
