"""`evalsuite power`: formulas compared with simulations, and warnings."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from bench.simulations import PAPER
from evalsuite.benchmarks.catalogue import load
from evalsuite.cli import main
from evalsuite.comparison.policy import Policy, Terms
from evalsuite.comparison.power import Size, analyse_power, read_shares, read_sizes, required_scale
from evalsuite.errors import UsageError
from evalsuite.report.tables.power import summary
from evalsuite.stats import power
from evalsuite.stats.decision import decide
from evalsuite.stats.paired_difference import estimate_drop
from evalsuite.stats.power import (
    Level,
    Variability,
    clusters_for_identical_pass,
    samples_to_pass,
)
from tests.builders.gates import DEMO
from tests.builders.stored_runs import samples, stored

KNOWN = load().benchmarks


def expected(sizes: dict[str, Size], discordance: float) -> dict[str, Variability]:
    return {name: size.expected(discordance, 0.1) for name, size in sizes.items()}


def demo_terms(**more: float) -> Terms:
    return Policy(**more).terms(list(DEMO), KNOWN)


def test_the_demo_can_pass_its_own_policy_but_not_the_default() -> None:
    """What benchmarks.yaml and docs/reference/gate.md say: 89 % and 13 %."""
    own = analyse_power(expected(DEMO, 0.15), demo_terms())
    default = analyse_power(expected(DEMO, 0.15), demo_terms(margin=1, cliff=5))
    assert round(100 * own.pass_if_equal) == 89
    assert round(100 * default.pass_if_equal) == 13


def test_equal_checkpoints_pass_on_the_papers_sizes() -> None:
    sizes = {name: Size(size.questions, size.clusters) for name, size in PAPER.items()}
    terms = Policy().terms(list(sizes), {})
    assert analyse_power(expected(sizes, 0.15), terms).pass_if_equal > 0.8


def test_an_analysis_uses_the_formulas() -> None:
    size, level = Size(2700, 900), Level(tests=1)
    analysis = analyse_power({"A": size.expected(0.2, 0.1)}, Policy().terms(["A"], {}))
    error = power.planned_error(0.2, 2700, 1.2)
    found = analysis.benchmarks["A"]
    assert found.error == pytest.approx(100 * error)
    assert found.mde_pass == pytest.approx(100 * power.passing_margin(error, level))
    assert found.mde == pytest.approx(
        100 * power.planned_detectable_drop(0.2, 2700, 0.05, level, 1.2)
    )
    assert analysis.pass_if_equal == pytest.approx(
        power.chance_of_pass([error], [0.05], 0.01), abs=0.005
    )


def test_the_mean_of_equal_benchmarks_equals_one_large_benchmark() -> None:
    """Four with 1,000 samples have the error of one with 4,000, for equal drops."""
    level = Level(tests=5)
    four = [Variability(n=1000, clusters=1000, discordance=0.1)] * 4
    found = power.planned_detectable_mean(four, 0.01, level)
    one = power.planned_detectable_drop(0.1, 4000, 0.01, level)
    assert found == pytest.approx(one - 0.5 / 4000, rel=0.01)


@pytest.mark.parametrize("discordance", [0.15, 0.25])
def test_the_required_scale_is_sufficient(discordance: float) -> None:
    """With that number of samples, or these margins, an equal checkpoint passes."""
    terms = demo_terms(margin=1, cliff=5)
    factor = required_scale(analyse_power(expected(DEMO, discordance), terms), terms)
    assert factor > 1
    wider = demo_terms(margin=1 * factor, cliff=5 * factor)
    passed = analyse_power(expected(DEMO, discordance), wider).pass_if_equal
    assert passed == pytest.approx(0.8, abs=0.02)
    more = {name: Size(math.ceil(s.questions * factor**2), math.ceil(s.clusters * factor**2))
            for name, s in DEMO.items()}  # fmt: skip
    assert analyse_power(expected(more, discordance), terms).pass_if_equal >= 0.79


@pytest.mark.parametrize("discordance", [0.02, 0.05])
def test_the_required_scale_is_sufficient_if_few_images_differ(discordance: float) -> None:
    """The zero-event bound must become smaller as well."""
    few = {name: Size(120, 40) for name in DEMO}
    terms = demo_terms(margin=3, cliff=9)
    analysis = analyse_power(expected(few, discordance), terms)
    assert analysis.pass_if_equal < terms.power
    factor = required_scale(analysis, terms)
    wider = demo_terms(margin=3 * factor, cliff=9 * factor)
    assert analyse_power(expected(few, discordance), wider).pass_if_equal >= terms.power
    more = {name: Size(math.ceil(120 * factor**2), math.ceil(40 * factor**2)) for name in DEMO}
    assert analyse_power(expected(more, discordance), terms).pass_if_equal >= terms.power


@pytest.mark.parametrize(("questions", "images"), [(200, 50), (120, 40), (60, 60)])
def test_the_mde_is_detected_if_few_images_differ(questions: int, images: int) -> None:
    """One of 14 benchmarks has a drop of the minimum detectable effect."""
    sizes = {f"b{index}": Size(questions, images).expected(0.02, 0.0) for index in range(14)}
    terms = Policy().terms(list(sizes), {})
    found = analyse_power(sizes, terms).benchmarks["b0"].mde
    assert found is not None
    rng = np.random.default_rng(images)
    clusters = [index % images for index in range(questions)]
    equal = {name: estimate_drop(np.zeros(questions), clusters) for name in sizes}
    cliffs = {name: cliff / 100 for name, cliff in terms.cliffs.items()}
    lost = (rng.random((200, questions)) < found / 100).astype(float)
    regressed = [
        decide({**equal, "b0": estimate_drop(each, clusters)}, cliffs).benchmarks["b0"].regressed
        for each in lost
    ]
    assert np.mean(regressed) > 0.775


def test_the_pass_probability_is_right_if_few_answers_differ() -> None:
    """The score interval uses the variance at the margin, which is larger here."""
    sizes = {f"b{index}": Size(60, 60).expected(0.05, 0.1) for index in range(5)}
    terms = Policy(margin=3, cliff=10).terms(list(sizes), {})
    rng = np.random.default_rng(0)
    passed = [
        decide(
            {name: estimate_drop(rng.choice([1, -1, 0], 60, p=[0.025, 0.025, 0.95]), range(60))
             for name in sizes},
            dict.fromkeys(sizes, 0.1), 0.03,
        ).verdict == "pass"
        for _ in range(1000)
    ]  # fmt: skip
    assert abs(analyse_power(sizes, terms).pass_if_equal - np.mean(passed)) < 0.05


def test_an_equal_checkpoint_passes_the_margin_to_pass() -> None:
    """The margin includes the zero-event bound and the sampling error."""
    few, rng = Size(120, 40), np.random.default_rng(1)
    analysis = analyse_power({"A": few.expected(0.05, 0.0)}, Policy().terms(["A"], {}))
    needed = samples_to_pass(few.expected(0.05, 0.0), 0.05, Level())

    def passed(questions: int, cliff: float) -> float:
        flips = rng.choice([1.0, -1.0, 0.0], (400, questions), p=[0.025, 0.025, 0.95])
        clusters = [index // 3 for index in range(questions)]
        return float(np.mean([estimate_drop(each, clusters).upper(0.05) < cliff for each in flips]))

    assert passed(120, analysis.benchmarks["A"].mde_pass / 100) > 0.72
    assert passed(needed, 0.05) > 0.72


def test_the_required_scale_is_1_for_a_sufficient_policy() -> None:
    terms = demo_terms()
    assert required_scale(analyse_power(expected(DEMO, 0.05), terms), terms) == 1


def test_clusters_for_identical_pass() -> None:
    assert clusters_for_identical_pass(0.01, 0.05) == 299
    assert clusters_for_identical_pass(0.5, 0.05) == 30
    assert clusters_for_identical_pass(1.0, 0.05) == 30


@pytest.mark.parametrize(
    ("size", "margin", "said"),
    [
        (Size(60, 20), 100, "A has 20 images; a decision needs 30"),
        (Size(60, 50), 5, "A has 50 images; a max drop of 5 needs 59"),
        (Size(100, 100), 1, "the mean has too few images for a margin of 1"),
    ],
)
def test_a_policy_that_identical_answers_do_not_pass_has_a_warning(
    size: Size, margin: float, said: str
) -> None:
    terms = Policy(margin=margin, cliff=5 if margin < 100 else 100).terms(["A"], {})
    sizes = {"A": size.expected(0.15, 0.1)}
    analysis = analyse_power(sizes, terms)
    told = list(summary(analysis, terms))
    # Answers that differ by chance may be better by chance, and pass.
    rng = np.random.default_rng(size.clusters)
    clusters = [index % size.clusters for index in range(size.questions)]
    passed = [
        decide(
            {"A": estimate_drop(rng.choice([1, -1, 0], len(clusters), p=[0.075, 0.075, 0.85]),
                                clusters)},
            {"A": terms.cliffs["A"] / 100}, terms.margin / 100,
        ).verdict == "pass"
        for _ in range(1000)
    ]  # fmt: skip
    assert analysis.pass_if_equal == pytest.approx(np.mean(passed), abs=0.06)
    assert (analysis.pass_if_equal == 0) == (size.clusters < 30)
    assert told[0].startswith("warning: ")
    assert said in told[1]


def test_sizes_are_read() -> None:
    known = ["MMStar", "Video-MME"]
    assert read_sizes("MMStar=1500, Video-MME=2700:900", known) == {
        "MMStar": Size(1500, 1500), "Video-MME": Size(2700, 900),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MMStar", "expected BENCH=QUESTIONS"),
        ("MMStar=many", "expected BENCH=QUESTIONS"),
        ("MMStar=0", "expected BENCH=QUESTIONS"),
        ("MMStar=5:9", "expected BENCH=QUESTIONS"),
        ("MMStar=5:0", "expected BENCH=QUESTIONS"),
        ("MMStar=1000000000", "expected BENCH=QUESTIONS"),
        pytest.param("MMStar=" + "9" * 5000, "expected BENCH=QUESTIONS", id="huge"),
        ("MMStar=٣", "expected BENCH=QUESTIONS"),
        ("MMStar=5,MMStar=9", "duplicate size of MMStar"),
        ("MMStars=5", r"unknown benchmark \(did you mean 'MMStar'\?\)"),
        ("", "--sizes: expected BENCH=QUESTIONS"),
        (",", "--sizes: expected BENCH=QUESTIONS"),
    ],
)
def test_wrong_sizes(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_sizes(text, ["MMStar"])


@pytest.mark.parametrize("text", ["", "many", "1.5", "-0.1", "nan", "0.1,,0.2"])
def test_wrong_shares(text: str) -> None:
    with pytest.raises(UsageError, match=r"--discordance .*expected a share"):
        read_shares(text, "--discordance")


# The command


def command(*arguments: str | Path) -> int:
    return main(["power", *map(str, arguments)])


def test_sizes_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = stored(tmp_path, "base", {"DemoOCR": samples([1.0] * 400)})
    assert command(found.path, "--discordance", "0.15", "--margin", "9", "--cliff", "9") == 0
    shown = capsys.readouterr().out
    assert "if 15 % of the answers differ" in shown
    assert "an equal checkpoint passes" in shown
    assert "warning" not in shown
    assert command(found.path, "--margin", "1") == 0
    shown = capsys.readouterr().out
    assert shown.count("warning: ") == 3
    assert "times the samples" in shown


def test_a_huge_benchmark_is_fast(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    assert command("--sizes", "MMStar=999999999", "--discordance", "0.15") == 0
    assert time.process_time() - began < 5
    assert ">99 %" in capsys.readouterr().out


def test_zero_discordance_has_the_zero_event_bound(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--sizes", "MMStar=100", "--discordance", "0", "--margin", "5") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("MMStar"))
    assert f"{100 * (1 - 0.05 ** (1 / 100)):.2f}" in row.split()


def test_sizes_of_the_benchmarks_of_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--sizes", "MMStar=1500,MMMU_DEV_VAL=900", "-b", "MMStar") == 0
    assert "MMMU" not in capsys.readouterr().out


def test_a_policy_file_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "gate.yaml"
    policy.write_text(json.dumps({"cliffs": {"MMStar": 33}, "power": 0.9}))
    assert command("--sizes", "MMStar=1500", "--policy", policy, "--discordance", "0.1") == 0
    shown = capsys.readouterr().out
    assert " 33 " in shown
    assert "90 %" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either a RUN or --sizes"),
        (["RUN", "--sizes", "MMStar=100"], "either a RUN or --sizes"),
        (["nowhere"], "no such run"),
        (["RUN", "-b", "DemoOCD"], "did you mean 'DemoOCR'"),
        (["--sizes", "MMStar=x"], "--sizes MMStar=x"),
        (["--sizes", "MMStar=100", "--discordance", "15"], "--discordance 15"),
        (["--sizes", "MMStar=100", "--icc", "2"], "--icc"),
        (["--sizes", "MMStar=100", "-b", "MMMU_DEV_VAL"], "--sizes has no size of 'MMMU_DEV_VAL'"),
        (["--sizes", "MMStar=100", "--margin", "0"], "--margin: expected points"),
        (["--sizes", "MMStar=100", "--policy", "none.yaml"], "cannot be read"),
    ],
)
def test_wrong_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    found = stored(tmp_path, "base", {"DemoOCR": samples([1.0] * 400)})
    given = [str(found.path) if word == "RUN" else word for word in arguments]
    assert command(*given) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
