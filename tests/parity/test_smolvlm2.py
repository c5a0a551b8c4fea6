"""Compares VLMEvalKit's SmolVLM2 class, loop and datasets with ours, for every demo benchmark.

VLMEvalKit runs every third sample, one at a time as its loop does; our run contains all.
"""

from statistics import fmean
from typing import Any

import pytest

from evalsuite.runs.journal import read_predictions
from evalsuite.runs.storage import read_samples
from evalsuite.vlmevalkit.reference import ReferenceResult as Theirs
from evalsuite.vlmevalkit.reference import ReferenceTask, run_reference
from tests.conftest import Bench, Reference, demo


@pytest.fixture(scope="module")
def theirs(
    bench: Bench, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Theirs]:
    task = ReferenceTask(
        checkpoint=bench.checkpoint,
        benchmarks=tuple(demo()),
        ids={benchmark.name: tuple(values(reference, benchmark.name)) for benchmark in demo()},
        work=tmp_path_factory.mktemp("theirs") / "work",
    )
    return {result.benchmark: result for result in run_reference(task)}


def values(reference: Reference, name: str) -> dict[str, float]:
    """Return the value of every third sample in our run."""
    rows = read_samples(reference.directory / name / "samples.jsonl")
    return {row.id: row.value for row in rows[::3]}


def reported_score(benchmark: str, result: Any, n: int) -> float:
    """Return VLMEvalKit's score as shown in its output, 0 to 100."""
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
    given = read_predictions(reference.journal(name))
    assert len(ours) > 60
    assert theirs[name].predictions == {id_: given[id_].text for id_ in ours}
    # Video-MME prints three decimals of a share.
    tolerance = 0.0501 if name == "DemoVideo" else 1e-9
    number = reported_score(name, theirs[name].result, len(ours))
    assert number == pytest.approx(100 * fmean(ours.values()), abs=tolerance)
