"""VLMEvalKit's own SmolVLM2 class, loops and datasets against ours, on every benchmark.

Made data in each benchmark's real schema, the demo checkpoint. `tests.parity.test_idefics3` asks
the same of the older class; ``make parity`` writes both to docs/evidence/parity.md.
"""

from statistics import fmean

import pytest

from evalsuite.vlmevalkit import workarounds
from tests.builders.paper_tables import ODD, WORDS, variants
from tests.conftest import Bench
from tests.parity.roads import Ours, Roads, compare, odd_ones, shows, walk

pytestmark = pytest.mark.integration

NAMES = list(variants())
NO_NUMBER = {
    "MathVista_MINI": "evaluate: AssertionError: MathVista evaluation requires a working OPENAI API"
}
"""Where VLMEvalKit has no score without a judge."""


@pytest.fixture(scope="module")
def roads(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Roads:
    return walk(bench, tmp_path_factory.mktemp("roads"))


@pytest.mark.parametrize("name", NAMES)
def test_same_prompts_predictions_and_score(roads: Roads, name: str) -> None:
    compared = compare(roads, name)
    assert compared.n >= 6
    assert compared.differing_prompts == ()
    assert compared.differing_predictions == ()
    assert compared.agreement == NO_NUMBER.get(name, "agrees")


@pytest.mark.parametrize("name", NAMES)
def test_our_score_agrees_with_vlmevalkits_over_our_predictions(roads: Roads, name: str) -> None:
    ours = roads.ours[name]
    assert isinstance(ours, Ours), ours
    if ours.score.deviations:
        # Of the odd samples VLMEvalKit reads some words as nothing, and scores them otherwise.
        assert ours.score.deviations == (WORDS,)
        assert WORDS in ODD[name].values()
        assert ours.score.vlmevalkit_score != pytest.approx(ours.score.value)
    # TempCompass and MLVU have parts that only a judge could score.
    assert ours.score.n == len(ours.values)
    assert ours.score.value == pytest.approx(100 * fmean(ours.values.values()))
    assert len(ours.predictions) == JUDGED.get(name, 0) + ours.score.n


JUDGED = {"MLVU": 3, "TempCompass": 2}
"""Samples that are asked and not scored."""


@pytest.mark.parametrize("mend", sorted({mend for odd in ODD.values() for mend in odd.values()}))
def test_every_difference_is_a_mend(mend: str) -> None:
    assert hasattr(workarounds, mend) or mend in " ".join(str(workarounds.__doc__).split())


@pytest.mark.parametrize(("name", "id_"), odd_ones(NAMES))
def test_what_differs_differs_as_its_mend_says(roads: Roads, name: str, id_: str) -> None:
    assert shows(roads, name, id_)
