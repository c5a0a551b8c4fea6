"""What the gate says of noise, and that it changes nothing else."""

from pathlib import Path

import pytest

from evalsuite.benchmarks import catalogue
from evalsuite.comparison.gate import Gated, gate
from evalsuite.comparison.policy import Policy
from evalsuite.report.export.github import to_markdown
from evalsuite.report.export.junit import to_junit
from evalsuite.report.format import batch_sensitivity
from evalsuite.report.tables.gate_noise import remarks, warnings
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
) -> Gated:
    baseline = stored(tmp_path, "old", {"DemoOCR": samples(RIGHT)}, batch_sensitivity=before)
    candidate = stored(tmp_path, "new", {"DemoOCR": samples(RIGHT)}, batch_sensitivity=after)
    policy = Policy(margin=margin, cliff=10)
    return gate(baseline, candidate, policy, catalogue.load().benchmarks)


def test_what_was_found_is_said_of_each_run(tmp_path: Path) -> None:
    made = gated(tmp_path, noise(64, -5.6, 5.6), None, 2)
    assert list(remarks(made.judged[0])) == [
        "noise of the baseline old: of 64 samples asked again at batch size 1, 1 read differently "
        "and 0 changed value; effect 0.00 points (-5.60 to +5.60)",
        "noise of the candidate new: not measured",
    ]
    shown = to_markdown(made)
    assert "of 64 samples asked again at batch size 1" in shown
    assert "not measured" in shown
    assert batch_sensitivity(noise(64, -5.6, 5.6)) in to_junit(made)


@pytest.mark.parametrize(
    ("found", "margin", "remedy"),
    [
        (noise(2000, -0.5, 0.5), 2, None),
        (noise(2000, 0.1, 0.5, 0.3, 6), 2, None),
        (None, 2, "run again with --noise 64 or more"),
        # 1 - 0.025^(1/736) = 0.5 %
        (noise(64, -5.6, 5.6), 2, "64 samples cannot tell, --noise 736 might"),
        # Three share an image, or so: 100 bear as little as 38 would.
        (noise(100, -9.2, 9.2), 2, "100 samples cannot tell, --noise 1926 might"),
        (noise(64, -100, 100), 40, "64 samples cannot tell, --noise 6400 might"),
        (noise(100, -1.0, 1.4, 0.2, 2), 4, "100 samples cannot tell, --noise 225 might"),
        (noise(500, 0.5, 1.1, 0.8, 6), 2, "the effect is +0.80; run with --dtype float32"),
        (noise(500, -1.1, -0.5, -0.8, 6), 2, "the effect is -0.80; run with --dtype float32"),
        (noise(64, -5.6, 5.6), 40, None),
    ],
)  # fmt: skip
def test_it_warns_unless_noise_is_shown_to_be_small(
    tmp_path: Path, found: BatchSensitivity | None, margin: float, remedy: str | None
) -> None:
    made = gated(tmp_path, noise(9999, -0.01, 0.01), found, margin)
    said = list(warnings(made))
    assert made.verdict == "pass", "noise changes no verdict"
    if remedy is None:
        assert said == []
    else:
        (line,) = said
        assert line.startswith(
            f"warning: that batching moves the candidate new by less than {margin / 4:g} points"
        )
        assert remedy in line
        assert remedy in to_markdown(made)


def test_runs_with_the_same_remedy_share_a_line(tmp_path: Path) -> None:
    (line,) = warnings(gated(tmp_path, noise(64, -5.6, 5.6), noise(64, -5.6, 5.6), 2))
    assert "that batching moves the baseline old and the candidate new by less than" in line
    assert len(list(warnings(gated(tmp_path, noise(64, -5.6, 5.6), None, 2)))) == 2


def test_noise_widens_no_margin(tmp_path: Path) -> None:
    terms = [
        gated(tmp_path / name, found, found, 2).judged[0].terms
        for name, found in {"loud": noise(500, 3, 9, 6.0, 30), "none": None}.items()
    ]
    assert terms[0] == terms[1]
    assert terms[0].margin == 2
