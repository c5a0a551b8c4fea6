"""Compares VLMEvalKit's SmolVLM2 class, loops and datasets with ours, for every benchmark.

Uses generated data in each benchmark's real schema and the demo checkpoint.
`tests.parity.test_idefics3` does the same for the older class. ``make parity`` writes both to
docs/evidence/parity.md.
"""

from pathlib import Path
from statistics import fmean

import pytest

from evalsuite.vlmevalkit import workarounds
from tests.builders.paper_tables import DEVIATING, NA_TEXTS, variants
from tests.conftest import Bench
from tests.parity.runs import BothRuns, Ours, compare, deviating_samples, run_both, shows_defect

pytestmark = pytest.mark.integration

NAMES = list(variants())
NO_NUMBER = {
    "MathVista_MINI": "evaluate: AssertionError: MathVista evaluation requires a working OPENAI API"
}
"""Where VLMEvalKit has no score without a judge."""


@pytest.fixture(scope="module")
def runs(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> BothRuns:
    return run_both(bench, tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("name", NAMES)
def test_same_prompts_predictions_and_score(runs: BothRuns, name: str) -> None:
    compared = compare(runs, name)
    assert compared.n >= 6
    assert compared.differing_prompts == ()
    assert compared.differing_predictions == ()
    assert compared.agreement == NO_NUMBER.get(name, "agrees")


@pytest.mark.parametrize("name", NAMES)
def test_our_score_agrees_with_vlmevalkits_over_our_predictions(runs: BothRuns, name: str) -> None:
    ours = runs.ours[name]
    assert isinstance(ours, Ours), ours
    if ours.score.deviations:
        # VLMEvalKit reads some texts of deviating samples as missing values.
        assert ours.score.deviations == (workarounds.NA_VALUES_AS_TEXT,)
        assert NA_TEXTS in DEVIATING[name].values()
        assert ours.score.vlmevalkit_score != pytest.approx(ours.score.value)
    # TempCompass and MLVU have parts that only a judge can score.
    assert ours.score.n == len(ours.values)
    assert ours.score.value == pytest.approx(100 * fmean(ours.values.values()))
    assert len(ours.predictions) == JUDGED.get(name, 0) + ours.score.n


JUDGED = {"MLVU": 3, "TempCompass": 2}
"""Samples that are predicted but not scored."""


@pytest.mark.parametrize(
    "workaround", sorted({name for names in DEVIATING.values() for name in names.values()})
)
def test_every_deviation_has_a_workaround(workaround: str) -> None:
    differences = Path(__file__).parents[2] / "docs" / "evidence" / "differences.md"
    assert hasattr(workarounds, workaround) or workaround in differences.read_text()


@pytest.mark.parametrize(("name", "id_"), deviating_samples(NAMES))
def test_deviating_samples_show_the_defect(runs: BothRuns, name: str, id_: str) -> None:
    assert shows_defect(runs, name, id_)
