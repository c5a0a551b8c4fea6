"""Complete runs of the paper's benchmarks on generated data: order, resume, judges, prompts."""

import csv
import dataclasses
import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import evalsuite
from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.video_layouts import LAYOUTS
from evalsuite.errors import EvalsuiteError
from evalsuite.runs.comparable import JudgeId
from evalsuite.runs.records import Run, SampleScore, Score
from evalsuite.runs.storage import read_samples
from evalsuite.vlmevalkit import scoring_workarounds, workarounds
from tests.builders import paper_tables as paper_data
from tests.conftest import Bench
from tests.fakes.judge_server import Asked, JudgeServer


def short(made: Mapping[str, Benchmark]) -> list[Benchmark]:
    return [dataclasses.replace(benchmark, max_new_tokens=8) for benchmark in made.values()]


def rows(bench: Bench, output: Path, name: str) -> dict[str, SampleScore]:
    samples = read_samples(bench.directory(output) / name / "samples.jsonl")
    return {row.id: dataclasses.replace(row, media=()) for row in samples}


@dataclasses.dataclass(frozen=True)
class Whole:
    """Every benchmark, run once in its own order."""

    data: Path
    output: Path
    made: Mapping[str, Benchmark]
    run: Run

    def score(self, name: str) -> Score:
        (found,) = (score for score in self.run.scores if score.benchmark == name)
        return found


@pytest.fixture(scope="module")
def whole(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    data, output = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("whole")
    made = paper_data.make(data)
    run = bench.run(output, short(made))
    assert not run.failures, run.failures
    return Whole(data, output, made, run)


def shuffled(path: Path) -> None:
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t")
        lines, names = list(reader), reader.fieldnames
    assert names
    random.Random(1).shuffle(lines)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def test_every_benchmark_has_a_score(whole: Whole) -> None:
    assert {s.benchmark for s in whole.run.scores} == set(whole.made)
    for score in whole.run.scores:
        assert score.conditions.prompt_style == "vlmevalkit"
        assert score.modified_data
        assert score.conditions.judge is None
        assert score.counts.failed == 0
        assert score.partial == (score.benchmark in ("MLVU", "TempCompass"))
        assert (score.counts.unscored > 0) == score.partial
    # ChartQA's halves, Video-MME's lengths, TempCompass's parts.
    assert {"split: test_human", "split: test_augmented"} <= set(
        whole.score("ChartQA_TEST").breakdown
    )
    assert any(key.startswith("duration: ") for key in whole.score("Video-MME").breakdown)
    assert "part: TempCompass_YorN" in whole.score("TempCompass").breakdown
    assert whole.score("MLVU").macro_average is not None


def test_the_order_of_samples_does_not_matter(bench: Bench, whole: Whole, tmp_path: Path) -> None:
    made = paper_data.make(tmp_path / "data")
    for table in (tmp_path / "data").rglob("*.tsv"):
        # The parts of MLVU and TempCompass are numbered through in the order they are read.
        if table.stem not in {t for layout in LAYOUTS.values() for t in layout.tables[1:]}:
            shuffled(table)
    kept = {name: b for name, b in made.items() if b.dataset not in ("MLVU", "TempCompass")}
    run = bench.run(tmp_path / "out", short(kept))
    assert not run.failures, run.failures
    for score in run.scores:
        name = score.benchmark
        assert rows(bench, tmp_path / "out", name) == rows(bench, whole.output, name), name
        assert score.value == pytest.approx(whole.score(name).value)
        assert score.stderr == pytest.approx(whole.score(name).stderr)
        assert score.breakdown == pytest.approx(whole.score(name).breakdown)


def test_resuming_in_another_order_of_benchmarks(
    bench: Bench, whole: Whole, tmp_path: Path
) -> None:
    chosen = short(whole.made)[::-1]
    part = bench.run(tmp_path, chosen, limit="3", batch_size=1)
    assert {score.n for score in part.scores} <= {1, 2, 3}
    run = bench.run(tmp_path, chosen, batch_size=7)
    assert not run.failures, run.failures
    for score in run.scores:
        name = score.benchmark
        assert rows(bench, tmp_path, name) == rows(bench, whole.output, name), name
        for file in ("predictions.jsonl", "samples.jsonl"):
            ours = (bench.directory(tmp_path) / name / file).read_bytes()
            assert ours == (bench.directory(whole.output) / name / file).read_bytes(), name
        assert score.value == whole.score(name).value


def test_samples_that_only_a_judge_can_score_are_an_error(
    bench: Bench, whole: Whole, tmp_path: Path
) -> None:
    judged = dataclasses.replace(
        whole.made["TempCompass"],
        judged_parts=LAYOUTS["TempCompass"].tables,
        max_new_tokens=8,
    )
    run = bench.run(tmp_path, [judged], limit="2")
    (failure,) = run.failures
    assert failure.message == "only a judge can score the 2 samples chosen"
    assert "--judge" in failure.remedy


def judged_run(whole: Whole, output: Path, url: str, names: list[str]) -> Run:
    return evalsuite.run(
        "demo",
        benchmarks=names,
        data_dir=whole.data,
        allow_modified_data=True,
        max_new_tokens=8,
        judge="any-model",
        judge_base_url=url,
        output_dir=output,
    )


def test_a_judge_scores_the_remaining_parts(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALSUITE_JUDGE_KEY", "sk-secret-of-mine")
    names = ["MLVU", "TempCompass", "MathVista_MINI", "TextVQA_VAL", "MMStar"]

    def answer(asked: Asked) -> str:
        if "RELIABILITY" in asked.system:
            return "{'score_completeness': 4, 'score_reliability': 3, 'total_score': 7}"
        if "RELEVANCE" in asked.system:
            return "{'score_accuracy': 2, 'score_relevance': 1, 'total_score': 3}"
        return "A"

    with JudgeServer(answer) as server:
        run = judged_run(whole, tmp_path, server.base_url, names)
        asked = len(server.asked)
        again = judged_run(whole, tmp_path, server.base_url, names)
        assert len(server.asked) == asked, "a finished run sends no requests"
    assert not run.failures, run.failures
    scores = {score.benchmark: score for score in run.scores}
    for name in ("MLVU", "TempCompass", "MathVista_MINI", "MMStar"):
        assert not scores[name].partial
        assert scores[name].counts.unscored == 0
        assert scores[name].conditions.judge == JudgeId("any-model", server.base_url)
        assert scores[name].conditions.judge_reported == ("judge-small-0725",)
    assert scores["TextVQA_VAL"].conditions.judge is None
    assert scores["MLVU"].extra["G-Avg"] > 0
    assert scores["MLVU"].n == whole.score("MLVU").n, "open questions do not enter M-Avg"
    assert scores["TempCompass"].n > whole.score("TempCompass").n
    assert again == run
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-secret-of-mine" not in path.read_bytes(), path


def test_a_missing_judge_stops_the_run_early(whole: Whole, tmp_path: Path) -> None:
    with pytest.raises(EvalsuiteError, match=r"127\.0\.0\.1:9"):
        judged_run(whole, tmp_path, "http://127.0.0.1:9/v1", ["MLVU"])
    assert not list(tmp_path.rglob("predictions.jsonl"))


def test_native_prompts_are_a_separate_run(whole: Whole, tmp_path: Path) -> None:
    names = ["AI2D_TEST", "MMMU_DEV_VAL", "Video-MME", "MVBench", "WorldSense", "TempCompass"]
    run = evalsuite.run(
        "demo",
        benchmarks=names,
        data_dir=whole.data,
        allow_modified_data=True,
        max_new_tokens=8,
        prompts="native",
        output_dir=tmp_path,
    )
    assert not run.failures, run.failures
    assert {score.conditions.prompt_style for score in run.scores} == {"native"}
    assert run.settings["prompts"] == "native"
    for score in run.scores:
        assert set(score.deviations) <= DEVIATIONS, score
        assert score.n == whole.score(score.benchmark).n
    (samples,) = tmp_path.rglob("Video-MME/samples.jsonl")
    shown = [json.loads(line)["media"] for line in samples.read_text().splitlines()]
    assert {Path(path).suffix for paths in shown for path in paths} == {".png"}


DEVIATIONS = {
    workarounds.NA_VALUES_AS_TEXT,
    workarounds.EMPTY_IS_WRONG,
    scoring_workarounds.FAILURE_IS_WRONG,
    scoring_workarounds.PUNCTUATION_IS_WRONG,
    scoring_workarounds.OPEN_ANSWERS_COMPARED,
}
