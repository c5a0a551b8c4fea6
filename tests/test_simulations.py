"""Stated error rates of intervals and verdicts hold in simulations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import simulations
from bench.simulations import PAPER, Setting, Size
from evalsuite.stats.mean_difference import with_runs
from evalsuite.stats.paired_difference import estimate_drop

SETTING = Setting(clusters=40, questions=(1, 9), baseline=0.6, candidate=0.5, icc=0.3, shared=0.2)


def test_simulated_answers_follow_the_setting() -> None:
    """Checks the shares of losses and gains, and the correlation within an image."""
    setting = replace(SETTING, clusters=400, questions=(2, 2), shared=0.0)
    made = simulations._answers(setting, 500, np.random.default_rng(1))
    per_question = made.sizes.sum()
    assert made.worse.sum() / per_question == pytest.approx(0.6 * 0.5, abs=0.005)
    assert made.better.sum() / per_question == pytest.approx(0.4 * 0.5, abs=0.005)
    # Var(sum of two) = 2 v (1 + icc), v the variance of one difference.
    one = 0.6 * 0.4 + 0.5 * 0.5
    spread = (made.worse - made.better).var()
    assert spread / (2 * one) - 1 == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("size", [Size(1000, 1000), Size(3000, 500)])
@pytest.mark.parametrize("drop", [0.0, 0.05])
def test_simulated_drops_have_the_planned_error(size: Size, drop: float) -> None:
    drops = simulations.drops(size, 0.15, drop, 800, np.random.default_rng(3))
    estimates = np.array([each.estimate for each in drops])
    error = simulations.power.planned_error(
        0.15, size.questions, simulations.design_effect(size), drop
    )
    assert estimates.mean() == pytest.approx(drop, abs=4 * error / np.sqrt(800))
    assert estimates.std() == pytest.approx(error, rel=0.1)
    assert np.mean([each.standard_error for each in drops]) == pytest.approx(error, rel=0.05)


def test_suites_of_equal_checkpoints_pass() -> None:
    made = simulations.decisions(simulations.equal(0.05), 20, np.random.default_rng(4))
    assert [decision.verdict for decision in made].count("pass") >= 18


def test_the_page_contains_the_policy_table() -> None:
    assert simulations.policy_table() in simulations.PAGE.read_text()
    assert len(PAPER) == 14


def test_tables_are_written_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n")
    simulations.write({"x": "| new |"}, page)
    assert page.read_text() == "a\n<!-- x:begin -->\n| new |\n<!-- x:end -->\nb\n"
    with pytest.raises(SystemExit, match="y:begin"):
        simulations.write({"y": ""}, page)


@pytest.mark.slow
def test_intervals_have_the_stated_coverage() -> None:
    found = simulations.coverage(list(simulations.grid()), simulations.REPLICATES)
    outside = [(setting, share) for setting, share in found if share < simulations.LEAST]
    assert outside == []


@pytest.mark.slow
def test_verdicts_have_the_stated_rates() -> None:
    rows = simulations.verdict_rows(simulations.SUITES)
    assert [row for row in rows if not row.holds] == []


def test_intervals_over_seeds_cover_and_single_runs_do_not() -> None:
    """Two recipes with equal means; training seeds change a run by about three points."""
    rng = np.random.default_rng(5)
    held = {1: 0, 3: 0}
    for _ in range(600):
        hard = rng.normal(0, 1, 400)  # difficulty for both recipes
        skill = rng.normal(0, 0.15, (2, 3))
        right = (skill[:, :, None] + rng.normal(0, 1, (2, 3, 400)) > hard).astype(float)
        for runs in held:
            baseline, candidate = right[0, :runs], right[1, :runs]
            drop = estimate_drop(baseline.mean(0) - candidate.mean(0), range(400))
            if runs > 1:
                drop = with_runs(drop, list(baseline.mean(1)), list(candidate.mean(1)))
            low, high = drop.interval()
            held[runs] += low <= 0 <= high
    assert held[3] / 600 >= 0.93
    assert held[1] / 600 < 0.85
