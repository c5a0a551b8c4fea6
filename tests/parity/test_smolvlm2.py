"""VLMEvalKit's own SmolVLM2 class, loop and datasets against ours, on every demo benchmark."""

from typing import Any

import pytest

from evalsuite.journal import read_predictions
from evalsuite.vlmevalkit.reference import Assignment, run_reference
from evalsuite.vlmevalkit.reference import Reference as Theirs
from tests.conftest import Bench, Reference, demo


@pytest.fixture(scope="module")
def theirs(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Theirs]:
    assignment = Assignment(
        checkpoint=bench.checkpoint.path,
        tile_size=bench.checkpoint.tile_size,
        benchmarks=tuple(demo()),
        work=tmp_path_factory.mktemp("theirs") / "work",
    )
    return {result.benchmark: result for result in run_reference(assignment)}


def headline(benchmark: str, result: Any, n: int) -> float:
    """VLMEvalKit's number as a reader of its output would take it, from 0 to 100."""
    match benchmark:
        case "DemoDigits":
            return 100 * float(result["Overall"].iloc[0])
        case "DemoYesNo" | "DemoShapes":
            return float(result["Overall"].iloc[0])
        case "DemoOCR":
            return 100 * float(result["Final Score"]) / n
        case "DemoVideo":
            return 100 * float(result["overall"]["overall"])
    raise AssertionError(benchmark)


@pytest.mark.parametrize("name", [b.name for b in demo()])
def test_same_predictions_and_same_score(
    name: str, theirs: dict[str, Theirs], reference: Reference
) -> None:
    ours = {id_: p.text for id_, p in read_predictions(reference.journal(name)).items()}
    assert ours == theirs[name].predictions
    (score,) = (s for s in reference.run.scores if s.benchmark == name)
    # Video-MME prints three decimals of a share.
    tolerance = 0.0501 if name == "DemoVideo" else 1e-9
    assert headline(name, theirs[name].result, score.n) == pytest.approx(score.score, abs=tolerance)
