"""VLMEvalKit's own SmolVLM2 class, loop and datasets against ours, on every demo benchmark.

Theirs is asked every third sample, one at a time as its loop does; ours was asked all of them.
"""

from statistics import fmean
from typing import Any

import pytest

from evalsuite.runs.journal import read_predictions
from evalsuite.runs.records import read_samples
from evalsuite.vlmevalkit.reference import Assignment, run_reference
from evalsuite.vlmevalkit.reference import Reference as Theirs
from tests.conftest import Bench, Reference, demo


@pytest.fixture(scope="module")
def theirs(
    bench: Bench, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Theirs]:
    assignment = Assignment(
        checkpoint=bench.checkpoint.path,
        tile_size=bench.checkpoint.tile_size,
        benchmarks=tuple(demo()),
        ids={benchmark.name: tuple(values(reference, benchmark.name)) for benchmark in demo()},
        work=tmp_path_factory.mktemp("theirs") / "work",
    )
    return {result.benchmark: result for result in run_reference(assignment)}


def values(reference: Reference, name: str) -> dict[str, float]:
    """Every third sample of a benchmark, and its value in our run."""
    rows = read_samples(reference.directory / name / "samples.jsonl")
    return {row.id: row.value for row in rows[::3]}


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
    ours = values(reference, name)
    said = read_predictions(reference.journal(name))
    assert len(ours) > 60
    assert theirs[name].predictions == {id_: said[id_].text for id_ in ours}
    # Video-MME prints three decimals of a share.
    tolerance = 0.0501 if name == "DemoVideo" else 1e-9
    number = headline(name, theirs[name].result, len(ours))
    assert number == pytest.approx(100 * fmean(ours.values()), abs=tolerance)
