"""The phases of a run, with a kit and workers that take no time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.checkpoint import checkpoint
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import InterruptedRun, UsageError
from evalsuite.report.model.notes import THINKING, outcome_notes
from evalsuite.runner.config import Mode, RunConfig
from evalsuite.runner.events import (
    BenchmarkFinished,
    Event,
    RunPlanned,
    SamplesPredicted,
    SamplesRerun,
    ScoringStarted,
)
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run import evaluate_all
from evalsuite.runner.workers.worker import Worker, WorkerSettings
from evalsuite.runs.journal import read_predictions
from evalsuite.runs.layout import read_limit, read_shard, run_paths
from evalsuite.runs.records import Failure, Run, Score
from evalsuite.runs.storage import read_samples
from evalsuite.smolvlm.requests import Question
from tests.conftest import demo
from tests.fakes.kit import FakeKit, FakeWorker


def right(question: Question) -> str:
    """The answer that is in the prompt."""
    return question.prompt.text.partition("Say ")[2][:3]


@pytest.fixture(scope="module")
def benchmarks() -> list[Benchmark]:
    return demo("DemoOCR", "DemoDigits")


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return checkpoint.read("demo")


@dataclasses.dataclass
class Trial:
    """Runs with one kit; keeps the events and the workers."""

    output: Path
    kit: FakeKit
    model: Checkpoint
    benchmarks: list[Benchmark]
    answer: Callable[[Question], str] = right
    events: list[Event] = dataclasses.field(default_factory=list)
    workers: list[FakeWorker] = dataclasses.field(default_factory=list)

    def options(
        self,
        mode: Mode = "all",
        *,
        fresh: bool = False,
        noise: int = 6,
        workers: int = 1,
        limit: str | None = None,
        shard: str | None = None,
    ) -> ResolvedConfig:
        return ResolvedConfig(
            config=RunConfig(output_dir=self.output, mode=mode, fresh=fresh, noise=noise),
            devices=("cpu",) * workers,
            dtype="float32",
            resampling="test",
            limit=read_limit(limit),
            shard=read_shard(shard),
        )

    def start_worker(self, settings: WorkerSettings) -> Worker:
        self.workers.append(FakeWorker(settings, self.answer))
        return self.workers[-1]

    def run_all(self, options: ResolvedConfig, *more: Checkpoint) -> list[Run]:
        self.events.clear()
        self.workers.clear()
        return evaluate_all(
            [self.model, *more], self.benchmarks, options, self.kit.source, self.events.append,
            start_worker=self.start_worker,
        )  # fmt: skip

    def run(self, options: ResolvedConfig | None = None) -> Run:
        (run,) = self.run_all(options or self.options())
        return run

    @property
    def asked(self) -> list[tuple[str, str, bool]]:
        """(benchmark, sample, rerun) of every question."""
        return [one.id for worker in self.workers for one in worker.asked]  # type: ignore[misc]

    def directory(self, benchmark: str) -> Path:
        where = run_paths(self.output, self.model, self.options().settings, None)
        return where.directory / benchmark


@pytest.fixture
def trial(tmp_path: Path, model: Checkpoint, benchmarks: list[Benchmark]) -> Trial:
    return Trial(tmp_path / "out", FakeKit(tmp_path), model, benchmarks)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_from_start_to_end(trial: Trial, workers: int) -> None:
    run = trial.run(trial.options(workers=workers))
    assert run.finished
    assert [(s.benchmark, s.value, s.n, s.clusters) for s in run.scores] == [
        ("DemoOCR", 100.0, 20, 10), ("DemoDigits", 100.0, 20, 10),
    ]  # fmt: skip
    assert [score.rerun_samples for score in run.scores] == [3, 3]
    assert run.batch_sensitivity is not None
    assert run.batch_sensitivity.samples == {"DemoOCR": 3, "DemoDigits": 3}
    assert run.environment["device"] == "fake"
    assert run.environment["workers"] == workers
    first = [key for key in trial.asked if not key[2]]
    assert sorted(first) == sorted(
        (b, i, False) for b in ("DemoOCR", "DemoDigits") for i in trial.kit.ids
    )
    reruns = [key for key in trial.asked if key[2]]
    assert len(reruns) == len(set(reruns)) == 6
    for name in ("DemoOCR", "DemoDigits"):
        directory = trial.directory(name)
        assert [row.id for row in read_samples(directory / "samples.jsonl")] == trial.kit.ids
        assert list(read_predictions(directory / "predictions.jsonl")) == trial.kit.ids
        assert len(read_predictions(directory / "rerun.jsonl")) == 3
    assert run.scores[0].cost.peak_memory_bytes == 7
    assert run.scores[0].cost.host_memory_bytes == 9
    assert run.scores[0].cost.tokens["generated"] == 20


def test_events_of_a_run(trial: Trial) -> None:
    trial.run()
    assert isinstance(trial.events[1], RunPlanned)
    assert [(p.benchmark.name, p.total, p.done) for p in trial.events[1].benchmarks] == [
        ("DemoOCR", 20, 0), ("DemoDigits", 20, 0),
    ]  # fmt: skip
    for name in ("DemoOCR", "DemoDigits"):
        done = [
            e.done for e in trial.events if isinstance(e, SamplesPredicted) and e.benchmark == name
        ]
        assert done == sorted(done)
        assert done[-1] == 20
        assert ScoringStarted("", name) in trial.events
    finished = [e.outcome.benchmark for e in trial.events if isinstance(e, BenchmarkFinished)]
    assert sorted(finished) == ["DemoDigits", "DemoOCR"]
    assert [e for e in trial.events if isinstance(e, SamplesRerun)][-1] == SamplesRerun("", 6, 6)


def test_a_finished_run_is_not_repeated(trial: Trial) -> None:
    first = trial.run()
    scored = len(trial.kit.scored)
    assert trial.run() == first
    assert trial.workers == []
    assert len(trial.kit.scored) == scored
    assert trial.run(trial.options(noise=0)) == first


def test_more_reruns_repeat_no_prediction(trial: Trial) -> None:
    trial.run(trial.options(noise=2))
    more = trial.run(trial.options(noise=8))
    assert [score.rerun_samples for score in more.scores] == [4, 4]
    assert all(rerun for _, _, rerun in trial.asked)
    assert len(trial.asked) == 6, "two were repeated before"


def test_a_changed_rerun_is_scored_again(trial: Trial) -> None:
    trial.answer = lambda question: "wrong" if question.unbatched else right(question)
    run = trial.run()
    assert run.batch_sensitivity is not None
    assert (run.batch_sensitivity.changed, run.batch_sensitivity.flipped) == (6, 6)
    assert run.batch_sensitivity.effect == pytest.approx(100.0)
    assert [score.value for score in run.scores] == [100.0, 100.0]
    rows = (trial.directory("DemoOCR") / "batch_sensitivity.jsonl").read_text().splitlines()
    assert [json.loads(row)["value_alone"] for row in rows] == [0.0] * 3


def test_without_reruns(trial: Trial) -> None:
    run = trial.run(trial.options(noise=0))
    assert run.finished
    assert run.batch_sensitivity is None
    assert [score.rerun_samples for score in run.scores] == [0, 0]
    assert not (trial.directory("DemoOCR") / "rerun.jsonl").exists()


def test_predict_first_and_score_later(trial: Trial) -> None:
    run = trial.run(trial.options("infer"))
    assert run.outcomes == ()
    assert run.finished is None
    assert trial.kit.scored == []
    assert len(trial.asked) == 46, "reruns included"
    run = trial.run(trial.options("eval"))
    assert run.finished
    assert [score.rerun_samples for score in run.scores] == [3, 3]
    assert trial.workers == []


def test_scoring_what_was_not_predicted_is_a_failure(trial: Trial) -> None:
    run = trial.run(trial.options("eval"))
    assert [(f.benchmark, f.stage) for f in run.failures] == [
        ("DemoOCR", "predict"), ("DemoDigits", "predict"),
    ]  # fmt: skip
    assert "20 of 20 samples" in run.failures[0].message


def test_shards_are_scored_together(trial: Trial) -> None:
    for shard in ("1/2", "2/2"):
        trial.run(trial.options(shard=shard))
    run = trial.run(trial.options("eval"))
    assert run.finished
    assert [(score.value, score.n) for score in run.scores] == [(100.0, 20)] * 2
    assert run.environment["shards"] == 2


def test_a_broken_sample_fails_alone(trial: Trial) -> None:
    trial.kit = FakeKit(trial.output.parent, broken=["003"])
    run = trial.run()
    for score in run.scores:
        assert (score.counts.failed, score.value) == (1, 95.0)
        assert score.failure_reasons == ("003: no such image",)
    assert ("DemoOCR", "003", False) not in trial.asked


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("<think>Maybe 002?</think>\n<answer>003</answer>", 20), ("Maybe. </think> 003", 20),
        ("<think>Let me see", 20), ("[THINK]x[/THINK]1", 20), ("<answer>003</answer>", 20),
        ("I think 003", 0), ("a < b > c", 0),
    ],
)  # fmt: skip
def test_answers_of_reasoning_models_are_counted(trial: Trial, text: str, counted: int) -> None:
    trial.answer = lambda _: text
    (score, _) = trial.run().scores
    assert score.counts.thinking == counted
    (note,) = [n for n in outcome_notes(score) if n.meaning == THINKING] if counted else [None]
    if note is not None:
        assert note.detail == f"20 of 20, such as '{' '.join(text.split())}'"
        assert note.share == 1
    else:
        assert THINKING not in [n.meaning for n in outcome_notes(score)]


def test_a_benchmark_without_an_answer_is_a_failure(trial: Trial) -> None:
    trial.kit = FakeKit(trial.output.parent, broken=trial.kit.ids)
    run = trial.run()
    assert [failure.stage for failure in run.failures] == ["predict", "predict"]
    assert "20 samples" in run.failures[0].message
    assert "no such image" in run.failures[0].message
    assert trial.kit.scored == []


def test_failures_of_a_benchmark_stay_with_it(trial: Trial) -> None:
    trial.kit = FakeKit(trial.output.parent, unscorable=["DemoOCR"])
    run = trial.run()
    assert [(type(o), o.benchmark) for o in run.outcomes] == [
        (Failure, "DemoOCR"), (Score, "DemoDigits"),
    ]  # fmt: skip
    (failure,) = run.failures
    assert (failure.stage, failure.message) == ("score", "division by zero")
    assert str(trial.kit.log) in failure.remedy
    # The predictions are kept: the next run only scores.
    trial.kit = FakeKit(trial.output.parent)
    assert trial.run().finished
    assert trial.asked == []


def test_unreadable_data_is_a_failure(trial: Trial) -> None:
    trial.kit = FakeKit(trial.output.parent, unreadable=["DemoDigits"])
    run = trial.run()
    assert [(f.benchmark, f.stage, f.message) for f in run.failures] == [
        ("DemoDigits", "load", "no column 'answer'")
    ]
    assert [score.benchmark for score in run.scores] == ["DemoOCR"]


def test_a_checkpoint_that_cannot_be_loaded_does_not_stop_others(trial: Trial) -> None:
    bad = dataclasses.replace(
        trial.model, name="bad", source="bad", path=Path("broken"), digest="0" * 64
    )
    with pytest.raises(UsageError, match="bad: cannot be loaded: no such tensor"):
        trial.run_all(trial.options(), bad)
    finished = {
        (e.run, e.outcome.benchmark) for e in trial.events if isinstance(e, BenchmarkFinished)
    }
    assert finished == {("demo", "DemoOCR"), ("demo", "DemoDigits")}
    assert trial.run().finished


@pytest.fixture
def own(trial: Trial) -> Path:
    """Data of a user, which changes when a test writes it."""
    path = trial.output.parent / "own.tsv"
    path.write_text("first")
    trial.benchmarks = [dataclasses.replace(trial.benchmarks[0], data=str(path))]
    return path


def left(trial: Trial) -> list[tuple[int, int]]:
    """Total and known samples of each benchmark, as a dry run shows them."""
    options = trial.options()
    dry = dataclasses.replace(options.config, dry_run=True)
    trial.run_all(dataclasses.replace(options, config=dry))
    (plan,) = [event for event in trial.events if isinstance(event, RunPlanned)]
    return [(one.total, one.done) for one in plan.benchmarks]


def test_only_changed_questions_are_repeated(trial: Trial, own: Path) -> None:
    trial.run()
    own.write_text("answers corrected")
    assert left(trial) == [(20, 20)]
    assert trial.run().scores[0].value == 100
    assert trial.asked == []
    own.write_text("two questions changed")
    trial.kit.words = {"003": "other", "004": "more"}
    assert left(trial) == [(20, 18)]
    assert trial.run().scores[0].value == 90
    assert sorted(id_ for _, id_, rerun in trial.asked if not rerun) == ["003", "004"]
    own.write_text("answers corrected")
    trial.kit.words = {}
    assert trial.run().scores[0].value == 100
    assert trial.asked == [], "answers under earlier data are kept"


def test_answers_follow_their_questions_to_other_ids(trial: Trial, own: Path) -> None:
    trial.run()
    own.write_text("the first row moved to the end")
    ids = trial.kit.ids
    trial.kit.words = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
    assert left(trial) == [(20, 20)]
    trial.run()
    assert not [one for one in trial.asked if not one[2]], "other samples are repeated alone"
    rows = read_samples(trial.directory("DemoOCR") / "samples.jsonl")
    assert [row.prediction for row in rows] == [*ids[1:], ids[0]]


def test_fresh_uses_no_answer_under_earlier_data(trial: Trial, own: Path) -> None:
    trial.run()
    own.write_text("changed")
    trial.run(trial.options(fresh=True))
    assert len([id_ for _, id_, rerun in trial.asked if not rerun]) == 20


@pytest.mark.parametrize("how", ["run", "infer", "shards"])
def test_failed_samples_are_scored_by_mode_eval(trial: Trial, how: str) -> None:
    trial.kit = FakeKit(trial.output.parent, broken=["003"])
    if how == "shards":
        for shard in ("1/2", "2/2"):
            trial.run(trial.options(shard=shard))
    else:
        trial.run(trial.options("infer" if how == "infer" else "all"))
    # Scoring does not ask: a sample that failed stays failed, even if it could be asked now.
    trial.kit = FakeKit(trial.output.parent)
    run = trial.run(trial.options("eval"))
    assert trial.workers == []
    assert run.failures == ()
    assert [(s.value, s.n, s.counts.failed) for s in run.scores] == [(95, 20, 1)] * 2
    assert run.scores[0].failure_reasons == ("003: no such image",)


@pytest.mark.parametrize("mode", ["all", "eval"])
def test_edited_predictions_are_scored_anew(trial: Trial, mode: Mode) -> None:
    trial.run()
    journal = trial.directory("DemoOCR") / "predictions.jsonl"
    journal.write_text(journal.read_text().replace('"text":"003"', '"text":"004"'))
    run = trial.run(trial.options(mode))
    assert [score.value for score in run.scores] == [95, 100]
    assert trial.workers == [] or trial.asked == []
    assert [name for name, _ in trial.kit.scored[2:]] == ["DemoOCR"]


def test_lost_sample_scores_are_written_anew(trial: Trial) -> None:
    first = trial.run()
    (trial.directory("DemoOCR") / "samples.jsonl").unlink()
    assert trial.run().scores[0].value == first.scores[0].value
    assert len(read_samples(trial.directory("DemoOCR") / "samples.jsonl")) == 20


def test_an_interrupted_run_is_continued(trial: Trial) -> None:
    answered = 0

    def answer(question: Question) -> str:
        nonlocal answered
        answered += 1
        if answered == 23:
            raise KeyboardInterrupt
        return right(question)

    trial.answer = answer
    trial.kit = FakeKit(trial.output.parent, count=80)
    with pytest.raises(InterruptedRun, match="every answer so far is in"):
        trial.run(trial.options(workers=2))
    known = sum(
        len(read_predictions(path)) for path in trial.output.glob("*/*/*/predictions.jsonl")
    )
    trial.answer = right
    run = trial.run()
    assert run.finished
    assert [score.value for score in run.scores] == [100.0, 100.0]
    assert sum(not rerun for _, _, rerun in trial.asked) == 160 - known


def test_fresh_predicts_again(trial: Trial) -> None:
    trial.run()
    run = trial.run(trial.options(fresh=True))
    assert run.finished
    assert sum(not rerun for _, _, rerun in trial.asked) == 40
    assert sum(rerun for _, _, rerun in trial.asked) == 6


def test_fresh_scores_again_without_predicting(trial: Trial) -> None:
    trial.run()
    scored = len(trial.kit.scored)
    run = trial.run(trial.options("eval", fresh=True))
    assert run.finished
    assert trial.workers == []
    assert len(trial.kit.scored) == scored + 2
