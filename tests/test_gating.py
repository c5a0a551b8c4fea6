"""The gate's rules on made runs: what passes, what does not, and what outweighs what."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest

import evalsuite as public
from evalsuite.comparison.comparison import compare_any
from evalsuite.comparison.gate import gate, judge
from evalsuite.comparison.policy import Policy
from evalsuite.comparison.power import expect
from evalsuite.errors import UsageError
from evalsuite.report.export.junit import to_junit
from evalsuite.report.tables.gate_reasons import advice, because, points, reasons
from evalsuite.runs.records import FoundRun
from tests.builders.gates import STRICT, held, only, right
from tests.builders.runs import settings
from tests.builders.stored_runs import failed, sample, stored


def test_enough_equal_answers_pass(tmp_path: Path) -> None:
    gated = held(tmp_path, {"A": right(300)}, {"A": right(300)})
    assert (gated.verdict, gated.exit_code) == ("pass", 0)
    (line,) = because(gated)
    assert "the mean lost less than 1 point" in line
    (next_,) = advice(gated)
    assert next_.startswith("next: evalsuite promote ")


def test_too_few_equal_answers_do_not(tmp_path: Path) -> None:
    gated = held(tmp_path, {"A": right(80, 100)}, {"A": right(80, 100)})
    assert (gated.verdict, gated.exit_code) == ("inconclusive", 3)
    assert "not even equal answers would pass" in " ".join(advice(gated))


def test_a_real_and_large_drop_is_a_regression_and_says_where(tmp_path: Path) -> None:
    before = {"A": right(300), "B": right(300)}
    gated = held(tmp_path, before, {"A": right(300), "B": right(260)})
    assert (gated.verdict, gated.exit_code) == ("regression", 1)
    told = list(because(gated))
    assert "B dropped 10 points (p <0.001), more than its cliff of 5" in told
    assert "the mean dropped 5 points (p <0.001), more than its margin of 1" in told
    assert "evalsuite compare" in " ".join(advice(gated))


def test_the_policy_decides(tmp_path: Path) -> None:
    before, after = {"A": right(300)}, {"A": right(260)}
    lenient = Policy(margin=20, cliff=20)
    assert held(tmp_path, before, after, lenient).verdict == "pass"
    assert held(tmp_path, before, after, Policy(margin=20, cliff=5)).verdict == "regression"
    assert held(tmp_path, before, after, Policy(margin=5, cliff=20)).verdict == "regression"
    assert held(tmp_path, before, after, Policy(margin=11, cliff=11)).verdict == "inconclusive"


def test_what_cannot_be_compared_makes_it_incomplete(tmp_path: Path) -> None:
    rows = {"A": right(300), "B": right(300)}
    gated = held(tmp_path, rows, rows, scores={"B": {"metric": "anls"}})
    assert (gated.verdict, gated.exit_code) == ("incomplete", 4)
    assert list(because(gated)) == ["B cannot be compared: metric: choice, anls"]


def test_a_missing_benchmark_makes_it_incomplete_on_either_side(tmp_path: Path) -> None:
    both, one = {"A": right(300), "B": right(300)}, {"A": right(300)}
    for before, after in ((both, one), (one, both)):
        gated = held(tmp_path, before, after)
        assert gated.verdict == "incomplete"
        assert "has no score of it" in " ".join(because(gated))
        named = dataclasses.replace(STRICT, benchmarks=("A",))
        assert held(tmp_path, before, after, named).verdict == "pass"


def test_a_regression_outweighs_what_cannot_be_compared(tmp_path: Path) -> None:
    before = {"A": right(300), "B": right(300)}
    gated = held(tmp_path, before, {"A": right(200)})
    assert (gated.verdict, gated.exit_code) == ("regression", 1)
    assert "B cannot be compared" in " ".join(because(gated))


def test_incomplete_outweighs_inconclusive(tmp_path: Path) -> None:
    before = {"A": right(30, 50), "B": right(30, 50)}
    assert held(tmp_path, before, {"A": right(30, 50)}).verdict == "incomplete"


def test_nothing_to_compare_is_incomplete(tmp_path: Path) -> None:
    native = settings(prompts="native")
    gated = held(tmp_path, {"A": right(300)}, {"A": right(300)}, settings=native,
                 scores={"A": {"prompt_style": "native"}})  # fmt: skip
    assert gated.verdict == "incomplete"
    assert only(gated).decision is None
    assert list(because(gated)) == [
        "A cannot be compared: prompts: vlmevalkit, native", "nothing can be compared"
    ]  # fmt: skip
    empty = stored(tmp_path, "none", {})
    gated = gate(empty, empty, STRICT, {})
    assert (gated.verdict, list(because(gated))) == ("incomplete", ["the runs hold no benchmark"])


def test_failed_samples_must_not_decide(tmp_path: Path) -> None:
    after = right(300)
    after[:40] = [failed(row) for row in after[:40]]
    gated = held(tmp_path, {"A": right(300)}, {"A": after})
    judged = only(gated)
    assert judged.decision is not None
    assert judged.without_failed is not None
    assert (judged.decision.verdict, judged.without_failed.verdict) == ("regression", "pass")
    assert (gated.verdict, gated.exit_code) == ("incomplete", 4)
    told = " ".join(because(gated))
    assert "40 samples without a prediction would decide" in told
    assert "wrong it is regression, without them pass" in told
    assert "asked once more" in " ".join(advice(gated))


def test_failed_samples_that_change_nothing_are_borne(tmp_path: Path) -> None:
    after = right(300)
    after[0] = failed(after[0])
    gated = held(tmp_path, {"A": right(300)}, {"A": after}, Policy(margin=5, cliff=5))
    assert only(gated).failed == 1
    assert gated.verdict == "pass"


def test_a_benchmark_without_any_answer_is_incomplete(tmp_path: Path) -> None:
    before = {"A": right(300), "B": right(300)}
    broken = [failed(row) for row in right(300)]
    gated = held(tmp_path, before, {"A": right(300), "B": broken})
    assert gated.verdict == "incomplete"
    assert only(gated).unanswered == ("B",)
    found = {reason.subject: reason.kind for reason in reasons(only(gated))}
    assert found["B"] == "failed samples"
    everything = held(tmp_path, {"B": right(300)}, {"B": broken})
    assert everything.verdict == "incomplete"
    assert "nothing is left" in " ".join(because(everything))


def test_a_regression_elsewhere_counts_beside_a_broken_benchmark(tmp_path: Path) -> None:
    before = {"A": right(300), "B": right(300)}
    broken = [failed(row) for row in right(300)]
    gated = held(tmp_path, before, {"A": right(200), "B": broken})
    assert gated.verdict == "regression"


def test_samples_asked_otherwise_are_no_pass(tmp_path: Path) -> None:
    """The others are held against each other, and may show a regression."""
    margins = Policy(margin=5, cliff=5)
    after = right(300)
    after[7] = dataclasses.replace(after[7], prompt_digest="otherwise")
    gated = held(
        tmp_path, {"A": right(300), "B": right(300)}, {"A": after, "B": right(300)}, margins
    )
    assert only(gated).decision is not None
    assert (gated.verdict, gated.exit_code) == ("incomplete", 4)
    assert list(because(gated)) == [
        "A cannot be compared whole: 1 of 400 samples that both have were asked otherwise"
    ]
    assert "the same prompts" in " ".join(advice(gated))
    case = ElementTree.fromstring(to_junit(gated)).find(".//testcase[@name='A']/error")
    assert case is not None
    worse = right(200)
    worse[7] = after[7]
    gated = held(tmp_path, {"A": right(300)}, {"A": worse}, margins)
    assert gated.verdict == "regression"
    assert any("asked otherwise" in line for line in because(gated))


def test_an_open_benchmark_says_how_far_it_may_have_dropped(tmp_path: Path) -> None:
    """Three of 400 lost: below both limits of 1 point, but not shown to be."""
    gated = held(tmp_path, {"A": right(300)}, {"A": right(297)}, Policy(margin=1, cliff=1))
    assert gated.verdict == "inconclusive"
    decision = only(gated).decision
    assert decision is not None
    most = points(decision.mean.upper)
    assert [line.split(" (")[0] for line in because(gated)] == [
        f"A may have dropped up to {most}", f"the mean may have dropped up to {most}"
    ]  # fmt: skip


def test_a_limited_run_is_told_to_do_more(tmp_path: Path) -> None:
    rows = {"A": right(60, 80)}
    gated = held(tmp_path, rows, rows, limit="80")
    assert gated.verdict == "inconclusive"
    assert "run new without --limit" in " ".join(advice(gated))


def test_an_anchor_minds_small_losses_that_add_up(tmp_path: Path) -> None:
    """Half a point at a time is within a margin of 2; five points since the anchor are not."""
    anchor, baseline, candidate = (
        stored(tmp_path, name, {"A": right(count)})
        for name, count in (("anchor", 380), ("old", 362), ("new", 360))
    )
    policy = Policy(margin=2, cliff=5)
    alone = gate(baseline, candidate, policy, {})
    assert alone.verdict == "pass"
    both = gate(baseline, candidate, policy, {}, anchor)
    assert [judged.verdict for judged in both.judged] == ["pass", "regression"]
    assert (both.verdict, both.exit_code) == ("regression", 1)
    assert all(line.startswith("against the anchor: ") for line in because(both))
    assert str(anchor.path) in " ".join(advice(both))


def test_margins_come_from_the_benchmarks(tmp_path: Path) -> None:
    from evalsuite.benchmarks.catalogue import load

    runs = [stored(tmp_path, name, {"DemoOCR": right(300)}) for name in ("a", "b")]
    terms = gate(runs[0], runs[1], Policy(), load().benchmarks).judged[0].terms
    assert (terms.margin, terms.cliffs) == (3, {"DemoOCR": 10})


def test_a_benchmark_that_no_run_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run has the benchmark 'AA'"):
        held(tmp_path, {"A": right(300)}, {"A": right(300)}, Policy(benchmarks=("AA",)))


def test_the_detectable_drop_is_beyond_what_is_allowed(tmp_path: Path) -> None:
    judged = only(held(tmp_path, {"A": right(300)}, {"A": right(292)}))
    assert judged.outlook is not None
    found = judged.outlook.benchmarks["A"].detectable
    assert found is not None
    assert found > 5
    few = only(held(tmp_path, {"A": right(20, 25)}, {"A": right(20, 25)}))
    assert few.outlook is not None
    assert few.outlook.benchmarks["A"].detectable is None
    assert few.outlook.pass_if_equal == 0


def test_the_design_effect_is_that_of_the_answers(tmp_path: Path) -> None:
    """Three questions an image that flip together say as much as one."""
    rows = [sample(i, 1.0, cluster=f"image-{i // 3}") for i in range(900)]
    flipped = [dataclasses.replace(row, value=float(int(row.id) // 3 % 4 > 0)) for row in rows]
    sides = [stored(tmp_path, name, {"A": made}) for name, made in (("a", rows), ("b", flipped))]
    comparison = compare_any(sides[:1], sides[1:])
    expected = expect(comparison.paired[0], comparison.differences[0].drop)
    assert expected.design_effect == pytest.approx(3, rel=0.02)
    assert expected.discordance == pytest.approx(0.25)
    assert expected.error(0.25) == pytest.approx(
        comparison.differences[0].drop.standard_error, rel=1e-9
    )
    same = compare_any(sides[:1], sides[:1])
    nothing = expect(same.paired[0], same.differences[0].drop)
    assert (nothing.discordance, nothing.design_effect, nothing.clusters) == (0, 3, 300)


def test_one_image_leaves_everything_open(tmp_path: Path) -> None:
    rows = [sample(i, float(i % 2), cluster="one") for i in range(9)]
    sides = [stored(tmp_path, name, {"A": rows}) for name in ("a", "b")]
    judged = judge(compare_any(sides[:1], sides[1:]), STRICT, {})
    assert judged.verdict == "inconclusive"


def test_from_python(tmp_path: Path) -> None:
    before, after = (stored(tmp_path, name, {"A": right(count)})
                     for name, count in (("old", 300), ("new", 260)))  # fmt: skip
    gated = public.gate(before.path, after.path.parent.parent.name, output_dir=tmp_path)
    assert (gated.verdict, gated.exit_code) == ("regression", 1)
    assert public.gate(before.path, after.path, margin=20, cliff=20).verdict == "pass"
    with pytest.raises(UsageError, match="which baseline"):
        public.gate(None, after.path, output_dir=tmp_path)


def unfinished(found: FoundRun) -> FoundRun:
    return FoundRun(found.path, dataclasses.replace(found.run, finished=None))


def test_an_unfinished_run_is_said(tmp_path: Path) -> None:
    rows = {"A": right(300)}
    judged = only(gate(stored(tmp_path, "a", rows), unfinished(stored(tmp_path, "b", rows)),
                       STRICT, {}))  # fmt: skip
    assert "b is unfinished, so benchmarks may be missing" in judged.comparison.notes


def test_an_unfinished_run_is_incomplete_unless_benchmarks_are_named(tmp_path: Path) -> None:
    """Both may lack the same benchmarks, and nobody would notice."""
    rows = {"A": right(300)}
    gated = held(tmp_path, rows, rows, finished=None)
    assert (gated.verdict, gated.exit_code) == ("incomplete", 4)
    assert list(because(gated)) == ["new is unfinished, so benchmarks may be missing"]
    assert list(advice(gated)) == [
        "next: finish it: evalsuite run --ckpt demo (or name with -b what to gate)"
    ]
    named = dataclasses.replace(STRICT, benchmarks=("A",))
    assert held(tmp_path, rows, rows, named, finished=None).verdict == "pass"
    assert held(tmp_path, rows, {"A": right(200)}, finished=None).verdict == "regression"


def test_a_run_against_itself_says_so(tmp_path: Path) -> None:
    found = stored(tmp_path, "old", {"A": right(300)})
    (tmp_path / "link").symlink_to(found.path.parent)
    again = FoundRun(tmp_path / "link" / "run.json", found.run)
    judged = only(gate(found, again, STRICT, {}))
    assert "baseline and candidate are one and the same run" in judged.comparison.notes
