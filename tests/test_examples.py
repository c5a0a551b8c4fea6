"""The example of benchmarks of one's own runs, and says what it should."""

from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.data.locate import locate
from evalsuite.runs.records import Run, Score
from evalsuite.runs.storage import read_samples
from tests.conftest import Bench

EXAMPLE = Path(__file__).parents[1] / "examples" / "own-benchmarks" / "benchmarks.yaml"


def own() -> list[Benchmark]:
    located = [locate(benchmark, None) for benchmark in load(EXAMPLE).suite("own")]
    return [benchmark for benchmark in located if isinstance(benchmark, Benchmark)]


def scores(run: Run) -> dict[str, Score]:
    assert not run.failures, run.failures
    return {score.benchmark: score for score in run.scores}


def test_the_example(bench: Bench, tmp_path: Path) -> None:
    run = scores(bench.run(tmp_path, own()))
    # What the demo checkpoint was trained for; the questions about clips have another wording.
    assert run["Digits"].value == 100
    assert run["Colours"].value == 100
    assert run["Clips"].value > 25
    assert {name: score.n for name, score in run.items()} == {
        "Digits": 12, "Colours": 11, "Clips": 12,
    }  # fmt: skip
    assert {score.deviations for score in run.values()} == {()}
    # Questions about one image, or about parts of one video, share a cluster.
    assert {name: score.clusters for name, score in run.items()} == {
        "Digits": 5, "Colours": 6, "Clips": 4,
    }  # fmt: skip


def test_samples_do_not_depend_on_the_location_of_the_data(bench: Bench, tmp_path: Path) -> None:
    run = bench.run(tmp_path, own()[:1])
    assert not run.failures
    rows = read_samples(bench.directory(tmp_path) / "Digits" / "samples.jsonl")
    assert {row.cluster for row in rows} == {f"images/digits-{n}.png" for n in range(5)}
