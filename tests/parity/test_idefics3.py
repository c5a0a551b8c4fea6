"""Compares VLMEvalKit's older class ``SmolVLM`` with ours, for an Idefics3 checkpoint."""

import pytest

from evalsuite.checkpoint import checkpoint
from tests.builders.checkpoints import derive_idefics3
from tests.conftest import Bench
from tests.parity.runs import BothRuns, compare, deviating_samples, run_both, shows_defect
from tests.parity.test_paper import NAMES, NO_NUMBER


@pytest.fixture(scope="module")
def runs(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> BothRuns:
    folder = tmp_path_factory.mktemp("idefics3")
    derived = derive_idefics3(bench.checkpoint.path, folder / "checkpoint")
    older = bench.of(checkpoint.read(str(derived)))
    assert older.checkpoint.family == "idefics3"
    return run_both(older, folder)


@pytest.mark.parametrize("name", NAMES)
def test_same_prompts_predictions_and_score(runs: BothRuns, name: str) -> None:
    compared = compare(runs, name)
    assert compared.n >= 6
    assert compared.differing_prompts == ()
    assert compared.differing_predictions == ()
    assert compared.agreement == NO_NUMBER.get(name, "agrees")


@pytest.mark.parametrize(("name", "id_"), deviating_samples(NAMES))
def test_deviating_samples_show_the_defect(runs: BothRuns, name: str, id_: str) -> None:
    assert shows_defect(runs, name, id_)
