"""Reruns at batch size 1: which samples, their scores, and what a run keeps."""

import dataclasses
import json
import threading
from pathlib import Path

import pytest

from evalsuite.errors import UsageError
from evalsuite.runner.batch_sensitivity import SAMPLES, RerunPair, pick, pool, shares, write
from evalsuite.runner.events import BenchmarkFinished, Event, SamplesRerun
from evalsuite.runner.workers.worker import BatchDone, Message, Worker, WorkerSettings
from evalsuite.runs.journal import read_predictions
from evalsuite.runs.records import BatchSensitivity, Run
from evalsuite.runs.storage import read_run
from tests.conftest import Bench, Reference, Watched, demo


@pytest.mark.parametrize(
    ("sizes", "total", "wanted"),
    [
        ({"a": 100, "b": 100}, 64, {"a": 32, "b": 32}),
        ({"a": 100, "b": 100, "c": 100}, 64, {"a": 21, "b": 21, "c": 22}),
        ({"a": 10, "b": 100, "c": 100}, 64, {"a": 10, "b": 27, "c": 27}),
        ({"a": 3, "b": 2}, 64, {"a": 3, "b": 2}),
        ({"a": 9, "b": 9, "c": 9}, 2, {"a": 0, "b": 1, "c": 1}),
        ({"a": 9}, 0, {"a": 0}),
        ({}, 64, {}),
    ],
)
def test_benchmarks_share_evenly(sizes: dict[str, int], total: int, wanted: dict[str, int]) -> None:
    assert shares(sizes, total) == wanted
    assert shares(dict(reversed(sizes.items())), total) == wanted


def test_a_smaller_draw_is_part_of_a_larger_one() -> None:
    ids = [str(i) for i in range(500)]
    drawn = pick(ids, 64)
    assert len(set(drawn)) == 64
    assert pick(reversed(ids), 64) == drawn
    assert pick(ids, 32) == drawn[:32]
    # Not the front of the data: the mean place of 64 of 500 is 250 ± 18.
    assert 200 < sum(map(int, drawn)) / 64 < 300


def twice(id_: str, value: float, alone: float, cluster: str = "") -> RerunPair:
    return RerunPair(
        id=id_,
        cluster=cluster or id_,
        prediction=f"{value:g}",
        alone=f"{alone:g}",
        value=value,
        value_alone=alone,
    )


def test_the_pooled_effect(tmp_path: Path) -> None:
    rows = {
        "A": [twice(str(i), 1, 1 if i else 0) for i in range(32)],
        "B": [twice(str(i), float(i > 1), 1 if i else 0) for i in range(32)],
    }
    files = {name: tmp_path / name for name in rows}
    for name, some in rows.items():
        write(files[name], some)
    found = pool(files, {"A": 32, "B": 32}, 64)
    assert found is not None
    assert found.samples == {"A": 32, "B": 32}
    assert (found.count, found.changed, found.flipped) == (64, 2, 2)
    # One right answer won in batches, one lost: nothing in sum, and a score interval around it.
    assert found.effect == 0
    assert found.low == pytest.approx(-found.high)
    assert 4 < found.high < 8


def test_few_samples_without_a_change_give_a_wide_interval(tmp_path: Path) -> None:
    write(tmp_path / "A", [twice(str(i), 1, 1) for i in range(64)])
    found = pool({"A": tmp_path / "A", "gone": tmp_path / "gone"}, {"A": 500}, 64)
    assert found is not None
    assert found.changed == found.flipped == found.effect == 0
    # 0 of 64, two-sided at 95 %: z^2 / (64 + z^2), by Tango.
    assert found.high == pytest.approx(100 * 3.841459 / 67.841459, rel=1e-6)
    assert found.low == pytest.approx(-found.high)
    assert pool({"gone": tmp_path / "gone"}, {}, 64) is None


def test_a_run_repeats_some_samples(reference: Reference) -> None:
    noise = reference.run.batch_sensitivity
    assert noise is not None
    assert noise.count == SAMPLES
    assert set(noise.samples) == {b.name for b in demo()}
    assert {12, 13} == set(noise.samples.values())
    # float32: an answer does not depend on its company.
    assert noise.changed == noise.flipped == noise.effect == 0
    assert read_run(reference.directory / "run.json").batch_sensitivity == noise
    for name, count in noise.samples.items():
        lines = (reference.directory / name / "batch_sensitivity.jsonl").read_text().splitlines()
        found = [RerunPair(**json.loads(line)) for line in lines]
        assert len(found) == count
        first = read_predictions(reference.journal(name))
        alone = read_predictions(reference.directory / name / "rerun.jsonl")
        assert {t.id: t.alone for t in found} == {i: p.text for i, p in alone.items()}
        assert all(first[i].prompt_digest == p.prompt_digest for i, p in alone.items())


def test_benchmarks_run_separately_give_the_same_result(bench: Bench, tmp_path: Path) -> None:
    together = bench.run(tmp_path / "a", demo("DemoOCR", "DemoShapes"), limit="40")
    bench.run(tmp_path / "b", demo("DemoShapes"), limit="40")
    merged = bench.run(tmp_path / "b", demo("DemoOCR"), limit="40")
    assert merged.batch_sensitivity == together.batch_sensitivity
    assert together.batch_sensitivity is not None
    assert together.batch_sensitivity.samples == {"DemoOCR": 32, "DemoShapes": 32}


def test_a_changed_answer_is_scored_and_no_rerun_is_repeated(bench: Bench, tmp_path: Path) -> None:
    first = bench.run(tmp_path, demo("DemoOCR"), limit="40")
    directory = bench.directory(tmp_path) / "DemoOCR"
    journal = directory / "rerun.jsonl"
    header, *lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 40
    # As if batches had helped: alone, three answers are wrong, and one reads otherwise.
    samples = [json.loads(line) for line in (directory / "samples@40.jsonl").open()]
    right = {row["id"] for row in samples if row["value"] == 1}
    answers = [json.loads(line) for line in lines]
    for answer in [a for a in answers if a["id"] in right][:3]:
        answer["text"] = "nothing of the kind"
    other = next(a for a in answers if a["id"] in right and "nothing" not in a["text"])
    other["text"] = f" {other['text']}"
    journal.write_text(header + "".join(json.dumps(a) + "\n" for a in answers))
    changed = bench.run(tmp_path, demo("DemoOCR"), limit="40", mode="eval", fresh=True)
    assert changed.scores[0].value == first.scores[0].value
    noise = changed.batch_sensitivity
    assert noise is not None
    assert (noise.count, noise.changed, noise.flipped) == (40, 4, 3)
    assert noise.effect == pytest.approx(100 * 3 / 40)
    assert noise.low < noise.effect < noise.high
    assert [json.loads(line) for line in journal.read_text().splitlines()[1:]] == answers
    # Answers to other prompts and failures do not count.
    answers[0]["prompt_digest"] = "0" * 16
    answers[1] |= {"ended": "error", "error": "made up"}
    journal.write_text(header + "".join(json.dumps(a) + "\n" for a in answers))
    fewer = bench.run(tmp_path, demo("DemoOCR"), limit="40", mode="eval", fresh=True)
    assert fewer.batch_sensitivity is not None
    assert fewer.batch_sensitivity.count == 38


class Seen(Watched):
    """Reads run.json at each rerun."""

    def __init__(self, record: Path) -> None:
        super().__init__()
        self.record = record
        self.scored = threading.Event()
        self.records: list[Run] = []

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        match event:
            case BenchmarkFinished():
                self.scored.set()
            case SamplesRerun():
                self.records.append(read_run(self.record))


def test_the_score_does_not_wait_for_the_reruns(bench: Bench, tmp_path: Path) -> None:
    seen = Seen(bench.directory(tmp_path) / "run@40.json")

    def start_worker(settings: WorkerSettings) -> Worker:
        worker = bench.start_worker(settings)
        receive = worker.receive

        def slow() -> Message:
            said = receive()
            if isinstance(said, BatchDone) and said.answers[0].id[2]:
                assert seen.scored.wait(60)
            return said

        worker.receive = slow  # type: ignore[method-assign]
        return worker

    options = bench.options(tmp_path, limit="40")
    run = bench.evaluate(demo("DemoOCR"), options, seen, start_worker=start_worker)
    assert run.scores[0].rerun_samples == 40
    assert run.finished
    assert seen.outcomes == [dataclasses.replace(run.scores[0], rerun_samples=None)]
    assert seen.reruns[-1] == (40, 40)
    for record in seen.records:
        assert record.outcomes == tuple(seen.outcomes)
        assert record.finished is None
        assert record.batch_sensitivity is None


def test_without_noise_nothing_is_repeated(bench: Bench, tmp_path: Path) -> None:
    options = bench.options(tmp_path, limit="20", noise=0)
    run = bench.evaluate(demo("DemoOCR"), options, Watched(), start_worker=bench.start_worker)
    assert run.batch_sensitivity is None
    names = {path.name for path in (bench.directory(tmp_path) / "DemoOCR").iterdir()}
    assert names == {"predictions.jsonl", "samples@20.jsonl", "vlmevalkit@20"}


def test_a_finished_run_gets_more_reruns_only_on_request(bench: Bench, tmp_path: Path) -> None:
    def run(noise: int | None = None) -> Run:
        options = bench.options(tmp_path, limit="20", noise=noise)
        chosen = demo("DemoOCR", "DemoDigits")
        return bench.evaluate(chosen, options, Watched(), start_worker=bench.start_worker)

    first = run(noise=0)
    assert first.batch_sensitivity is None
    assert run() == first, "finished is finished"
    more = run(noise=10)
    assert more.batch_sensitivity is not None
    assert more.batch_sensitivity.samples == {"DemoDigits": 5, "DemoOCR": 5}
    assert [score.rerun_samples for score in more.scores] == [5, 5]
    for before, after in zip(first.scores, more.scores, strict=True):
        assert dataclasses.replace(after, rerun_samples=0, cost=before.cost) == before
        seconds = {**after.cost.seconds, "score": before.cost.seconds["score"]}
        assert dataclasses.replace(after.cost, seconds=seconds) == before.cost
    journal = bench.directory(tmp_path) / "DemoOCR" / "rerun.jsonl"
    asked = journal.read_bytes()
    assert run(noise=6) == more
    assert run(noise=0) == more
    assert run() == more
    assert journal.read_bytes() == asked
    # More than there are is all of them.
    most = run(noise=1000)
    assert most.batch_sensitivity is not None
    assert most.batch_sensitivity.count == 40
    assert run(noise=1000) == most


@pytest.mark.parametrize(
    "line",
    [
        "5",
        "garbage",
        '{"id": "1"}',
        '{"id":"1","cluster":"1","prediction":"a","alone":"b","value":"x","value_alone":0}',
        '{"id":"1","cluster":"1","prediction":"a","alone":"b","value":NaN,"value_alone":0}',
        '{"id":"1","cluster":[],"prediction":"a","alone":"b","value":1,"value_alone":0}',
        '{"id":"1","cluster":"1","prediction":"a","alone":"b","value":7,"value_alone":0}',
    ],
)
def test_a_damaged_file_is_found_before_predicting(bench: Bench, tmp_path: Path, line: str) -> None:
    bench.run(tmp_path, demo("DemoDigits"), limit="5")
    damaged = bench.directory(tmp_path) / "DemoDigits" / "batch_sensitivity@5.jsonl"
    kept = damaged.read_text()
    damaged.write_text(line + "\n")
    with pytest.raises(UsageError, match=r"batch_sensitivity@5\.jsonl: is damaged; delete it"):
        bench.run(tmp_path, demo("DemoOCR"), limit="5")
    assert not (bench.directory(tmp_path) / "DemoOCR").exists()
    # What the message says to do.
    damaged.unlink()
    bench.run(tmp_path, demo("DemoDigits"), limit="5", mode="eval", fresh=True)
    assert damaged.read_text() == kept


def test_batch_sensitivity_is_a_number() -> None:
    good = BatchSensitivity(
        samples={"A": 2}, changed=0, flipped=0, effect=0.0, low=-100.0, high=100.0
    )
    for wrong in ({"effect": float("nan")}, {"low": -101.0}, {"high": float("inf")}):
        with pytest.raises(ValueError, match="within"):
            dataclasses.replace(good, **wrong)
