"""VLMEvalKit's older class, ``SmolVLM``, against ours with a checkpoint of the Idefics3 family."""

import pytest

from evalsuite.checkpoint import checkpoint
from tests.builders.checkpoints import derive_idefics3
from tests.conftest import Bench
from tests.parity.roads import Roads, compare, odd_ones, shows, walk
from tests.parity.test_paper import NAMES, NO_NUMBER


@pytest.fixture(scope="module")
def roads(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Roads:
    folder = tmp_path_factory.mktemp("idefics3")
    derived = derive_idefics3(bench.checkpoint.path, folder / "checkpoint")
    older = bench.of(checkpoint.read(str(derived)))
    assert older.checkpoint.family == "idefics3"
    return walk(older, folder)


@pytest.mark.parametrize("name", NAMES)
def test_same_prompts_predictions_and_score(roads: Roads, name: str) -> None:
    compared = compare(roads, name)
    assert compared.n >= 6
    assert compared.differing_prompts == ()
    assert compared.differing_predictions == ()
    assert compared.agreement == NO_NUMBER.get(name, "agrees")


@pytest.mark.parametrize(("name", "id_"), odd_ones(NAMES))
def test_what_differs_differs_as_its_mend_says(roads: Roads, name: str, id_: str) -> None:
    assert shows(roads, name, id_)
