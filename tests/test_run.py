"""Whole runs of the demo: order, batch sizes, limits, resuming and failures."""

import base64
import dataclasses
import io
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import evalsuite
from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.checkpoint import checkpoint
from evalsuite.errors import UsageError
from evalsuite.runner.run_record import look
from evalsuite.runner.scoring import conditions_of
from evalsuite.runs.comparable import Conditions, JudgeId
from evalsuite.runs.journal import read_predictions
from evalsuite.runs.layout import RunPaths
from evalsuite.runs.records import Failure
from evalsuite.runs.storage import read_run, read_samples
from evalsuite.system.locks import run_lock
from tests.builders.run_files import comparable, own, png, same_files, scores
from tests.conftest import Bench, Reference, Watched, demo


def test_the_demo_suite(reference: Reference) -> None:
    run = reference.run
    assert [o.benchmark for o in run.outcomes] == [b.name for b in demo()]
    assert run.finished is not None
    assert run.limit is None
    for score in run.scores:
        assert score.n >= 200
        assert score.clusters >= 100
        assert score.n > score.clusters, "several questions share an image or video"
        assert score.counts.failed == 0
        assert score.deviations == ()
        assert score.vlmevalkit_score == pytest.approx(score.value, abs=0.051)
        assert score.stderr is not None
        assert 0 <= score.stderr < 4
        assert (score.stderr == 0) == (score.value in (0, 100)), "no error bar without a reason"
        assert score.cost.samples_per_second is not None
        assert score.cost.samples_per_second > 0
        rows = read_samples(reference.directory / score.benchmark / "samples.jsonl")
        assert len(rows) == score.n
        assert 100 * sum(r.value for r in rows) / len(rows) == pytest.approx(score.value)
        assert all(Path(path).exists() for row in rows for path in row.media)
        assert (reference.directory / score.benchmark / "vlmevalkit").is_dir()
    assert read_run(reference.directory / "run.json") == run


def test_the_record_has_the_cost_of_each_benchmark(reference: Reference) -> None:
    stages = {"predict", "build", "read", "tiles", "wait"}
    stages |= {"vision", "prefill", "decode", "other", "score"}
    for score in reference.run.scores:
        assert set(score.cost.seconds) == stages
        spent = score.cost.seconds
        assert min(spent["vision"], spent["prefill"], spent["decode"], spent["build"]) > 0
        told = read_predictions(reference.journal(score.benchmark)).values()
        assert score.cost.tokens["generated"] == sum(p.tokens for p in told)
        assert score.cost.tokens["read"] <= score.cost.tokens["prompt"]
        # A picture of the demo is 2 x 2 tiles and a global one; a frame is one tile.
        assert score.modality == "video" or score.cost.tokens["tiles"] % 5 == 0
        assert score.cost.host_memory_bytes == score.cost.peak_memory_bytes, "on the CPU"
    # On one device one after the other; the first may have begun while the data was read.
    working = ("vision", "prefill", "decode", "other")
    busy = sum(score.cost.seconds[stage] for score in reference.run.scores for stage in working)
    assert busy <= sum(score.cost.seconds["predict"] for score in reference.run.scores)


@pytest.mark.parametrize("batch_size", [7, 64])
def test_batch_size_does_not_change_results(
    bench: Bench, reference: Reference, tmp_path: Path, batch_size: int
) -> None:
    run = bench.run(tmp_path, demo(), batch_size=batch_size, noise=0)
    assert scores(run) == scores(reference.run)
    same_files(tmp_path, bench, reference, [b.name for b in demo()])


def test_batch_size_1_does_not_change_results(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    """A fifth of the samples, because batch size 1 is slow."""
    run = bench.run(tmp_path, demo(), batch_size=1, limit="0.2", noise=0)
    assert [score.benchmark for score in run.scores] == [b.name for b in demo()]
    for score in run.scores:
        directory = bench.directory(tmp_path) / score.benchmark
        whole = reference.directory / score.benchmark
        assert 40 <= score.n < 100
        for part, all_of_it in (("predictions", "predictions"), ("samples@0.2", "samples")):
            lines = (directory / f"{part}.jsonl").read_text().splitlines()[-score.n :]
            known = (whole / f"{all_of_it}.jsonl").read_text().splitlines()
            assert len(lines) == len(set(lines) & set(known)) == score.n


@pytest.mark.parametrize(
    "names",
    [["DemoVideo", "DemoShapes"], ["DemoShapes", "DemoVideo", "DemoYesNo"], ["DemoDigits"]],
    ids=["video first", "video between", "alone"],
)
def test_order_and_batch_neighbours_do_not_change_results(
    bench: Bench, reference: Reference, tmp_path: Path, names: list[str]
) -> None:
    run = bench.run(tmp_path, demo(*names))
    assert scores(run) == {n: s for n, s in scores(reference.run).items() if n in names}
    same_files(tmp_path, bench, reference, names)


def test_separate_runs_of_benchmarks_are_merged(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    bench.run(tmp_path, demo("DemoOCR"))
    merged = bench.run(tmp_path, demo("DemoYesNo"))
    assert {s.benchmark for s in merged.scores} == {"DemoOCR", "DemoYesNo"}
    assert scores(merged) == {
        n: s for n, s in scores(reference.run).items() if n in ("DemoOCR", "DemoYesNo")
    }


def test_a_limit_is_nested_and_shares_the_journal(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    few = bench.run(tmp_path, demo("DemoOCR"), limit="30")
    watched = Watched()
    more = bench.run(tmp_path, demo("DemoOCR"), limit="60", progress=watched)
    assert [s.n for s in (*few.scores, *more.scores)] == [30, 60]
    assert (few.limit, more.limit) == ("30", "60")
    plan = watched.plans[0][0]
    assert (plan.total, plan.done) == (60, 30)
    directory = bench.directory(tmp_path)
    assert not (directory / "run.json").exists()
    ids = {
        n: [r.id for r in read_samples(directory / "DemoOCR" / f"samples@{n}.jsonl")]
        for n in (30, 60)
    }
    assert set(ids[30]) < set(ids[60])
    everything = {r.id: r for r in read_samples(reference.directory / "DemoOCR" / "samples.jsonl")}
    values = [everything[i].value for i in ids[60]]
    assert more.scores[0].value == pytest.approx(100 * sum(values) / 60)
    journal = read_predictions(directory / "DemoOCR" / "predictions.jsonl")
    assert len(journal) == 60


def test_predict_first_and_score_later(bench: Bench, reference: Reference, tmp_path: Path) -> None:
    early = bench.run(tmp_path, demo("DemoOCR"), mode="eval")
    assert early.failures[0].stage == "predict"
    assert "no prediction for 360 of 360 samples" in early.failures[0].message
    predicted = bench.run(tmp_path, demo("DemoOCR"), mode="infer")
    assert predicted.scores == ()
    scored = bench.run(tmp_path, demo("DemoOCR"), mode="eval")
    assert scores(scored) == {"DemoOCR": scores(reference.run)["DemoOCR"]}


def test_an_unreadable_sample_fails_alone_and_is_retried(bench: Bench, tmp_path: Path) -> None:
    images = [png((200, 0, 0)), base64.b64encode(b"noise" * 60).decode(), png((0, 0, 200))]
    benchmark = own(tmp_path / "Broken.tsv", images)
    first = bench.run(tmp_path / "out", [benchmark]).scores[0]
    assert (first.n, first.counts.failed) == (3, 1)
    row = read_samples(bench.directory(tmp_path / "out") / "Broken" / "samples.jsonl")[1]
    assert (row.ended, row.value) == ("error", 0)
    assert row.error
    assert "\n" not in row.error
    watched = Watched()
    bench.run(tmp_path / "out", [benchmark], progress=watched)
    assert not watched.plans[0][0].scored, "failed samples are predicted again"
    assert watched.plans[0][0].done == 2


def test_a_benchmark_that_cannot_be_loaded_does_not_stop_the_others(
    bench: Bench, tmp_path: Path
) -> None:
    benchmark = own(tmp_path / "Headless.tsv", [png((1, 2, 3))])
    (tmp_path / "Headless.tsv").write_text("index\timage\n1\tabc\n")
    good = own(tmp_path / "Fine.tsv", [png((9, 2, 3)), png((8, 2, 3))])
    run = bench.run(tmp_path / "out", [benchmark, good])
    (failure,) = run.failures
    assert isinstance(failure, Failure)
    assert failure.stage == "data"
    assert "question" in failure.message
    assert failure.remedy
    assert [s.benchmark for s in run.scores] == ["Fine"]
    plain = json.loads((bench.directory(tmp_path / "out") / "run.json").read_text())
    assert plain["outcomes"][0].keys() == {"benchmark", "failure"}


def test_changed_data_is_predicted_again(bench: Bench, tmp_path: Path) -> None:
    """A TSV that is changed in place is predicted again with its new images."""
    path = tmp_path / "Changing.tsv"
    bench.run(tmp_path / "out", [own(path, [png((200, 0, 0)), png((0, 200, 0))])])
    directory = bench.directory(tmp_path / "out") / "Changing"
    before = read_samples(directory / "samples.jsonl")
    run = bench.run(tmp_path / "out", [own(path, [png((0, 0, 200)), png((0, 200, 0))])])
    after = read_samples(directory / "samples.jsonl")
    assert run.scores[0].n == 2
    assert before[0].prompt_digest != after[0].prompt_digest
    assert before[1].prompt_digest == after[1].prompt_digest
    with Image.open(after[0].media[0]) as image:
        assert image.getpixel((0, 0)) == (0, 0, 200)


def test_the_processor_of_another_directory_gives_the_same_answers(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    """A trainer writes only weights and config; the processor comes from another directory."""
    bare = tmp_path / "sft" / "checkpoint-500"
    bare.mkdir(parents=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(bench.checkpoint.path / name, bare)
    with pytest.raises(UsageError, match="--processor"):
        checkpoint.read(str(bare))
    trained = checkpoint.read(str(bare), processor=str(bench.checkpoint.path))
    assert (trained.name, trained.step) == ("sft-checkpoint-500", 500)
    run = bench.of(trained).run(tmp_path / "out", demo("DemoOCR"))
    assert scores(run) == {"DemoOCR": scores(reference.run)["DemoOCR"]}


def test_run_from_python(tmp_path: Path) -> None:
    run = evalsuite.run("demo", benchmarks=["DemoOCR"], limit=5, output_dir=tmp_path)
    assert isinstance(run, evalsuite.Run)
    assert [(s.benchmark, s.n) for s in run.scores] == [("DemoOCR", 5)]
    (path,) = tmp_path.glob("*/*/run@5.json")
    assert evalsuite.load_run(path) == run


def test_fresh_discards_only_the_predictions_of_this_run(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path, demo("DemoOCR"), limit="40")
    journal = bench.directory(tmp_path) / "DemoOCR" / "predictions.jsonl"
    spoilt = journal.read_bytes().replace(b'"tokens":', b'"tokens":9')
    journal.write_bytes(spoilt)
    watched = Watched()
    bench.run(tmp_path, demo("DemoOCR"), limit="20", fresh=True, progress=watched)
    assert watched.plans[0][0].done == 0
    tokens = [p.tokens >= 90 for p in read_predictions(journal).values()]
    assert (tokens.count(False), tokens.count(True)) == (20, 20)


def test_fresh_scoring_keeps_the_predictions(bench: Bench, tmp_path: Path) -> None:
    first = bench.run(tmp_path, demo("DemoOCR"), limit="20")
    again = bench.run(tmp_path, demo("DemoOCR"), limit="20", mode="eval", fresh=True)
    assert scores(again) == scores(first)
    assert again.scores[0].cost.samples_per_second == first.scores[0].cost.samples_per_second


@pytest.mark.parametrize(
    "change", [{"split": "dev"}, {"metric": "choice"}, {"max_new_tokens": 3}, {"prompt": "brief"}]
)
def test_a_changed_definition_is_scored_again(
    bench: Bench, reference: Reference, change: dict[str, Any]
) -> None:
    (benchmark,) = demo("DemoOCR")

    def asked(which: Benchmark) -> dict[str, Conditions]:
        settings = reference.run.settings
        return {"DemoOCR": conditions_of(which, data_digest(which), settings)}

    where = RunPaths(reference.directory, None)
    assert look(where, [benchmark], asked(benchmark), fresh=False).todo == []
    other = dataclasses.replace(benchmark, **change)
    assert look(where, [other], asked(other), fresh=False).todo == [other]
    assert bench.checkpoint.name == "demo"


def test_image_files_of_a_table_are_part_of_its_data(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "t.tsv").write_text("index\timage_path\tquestion\n1\ta.png\tWhat?\n")
    benchmark = dataclasses.replace(demo("DemoShapes")[0], data=str(tmp_path / "t.tsv"))
    before = data_digest(benchmark)
    (tmp_path / "notes.txt").write_text("not data")
    assert data_digest(benchmark) == before
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "a.png")
    assert data_digest(benchmark) != before


def test_a_worker_that_dies_is_replaced(bench: Bench, reference: Reference, tmp_path: Path) -> None:
    class Killer(Watched):
        killed: int = 0

        def advanced(self, benchmark: str, done: int) -> None:
            super().advanced(benchmark, done)
            if not self.killed:
                self.killed = worker_pid()
                os.kill(self.killed, signal.SIGKILL)

    assert bench.kept is not None
    bench.kept.close()  # else it might be one of those
    killer = Killer()
    run = bench.run(tmp_path, demo("DemoOCR"), progress=killer, batch_size=16)
    assert killer.killed
    assert any("was killed" in note for note in killer.notes)
    assert scores(run) == {"DemoOCR": scores(reference.run)["DemoOCR"]}
    same_files(tmp_path, bench, reference, ["DemoOCR"])


def worker_pid() -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"evalsuite.runner.workers.worker" in command and parent == os.getpid():
                return int(entry.name)
    raise AssertionError("no worker")


def test_a_directory_in_use_is_refused(bench: Bench, tmp_path: Path) -> None:
    with (
        run_lock(bench.directory(tmp_path)),
        pytest.raises(UsageError, match=f"pid {os.getpid()}"),
    ):
        bench.run(tmp_path, demo("DemoOCR"))


def test_a_benchmark_without_answers_has_no_score(bench: Bench, tmp_path: Path) -> None:
    table = tmp_path / "noise.tsv"
    noise = base64.b64encode(b"noise" * 40).decode()
    table.write_text(f"index\timage\tquestion\tanswer\n0\t{noise}\twhat?\tred\n")
    benchmark = Benchmark(
        name="Noise", dataset="Noise", data=str(table), modality="image", prompt="default",
        metric="exact-match", max_new_tokens=4,
    )  # fmt: skip
    run = bench.run(tmp_path / "out", [benchmark])
    (failure,) = run.failures
    assert failure.stage == "predict"
    assert failure.message.startswith("all samples failed (1 sample): 0: ")
    assert not run.scores


def test_failed_samples_have_reasons(bench: Bench, tmp_path: Path) -> None:
    table = tmp_path / "half.tsv"
    noise = base64.b64encode(b"noise" * 40).decode()
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(picture, "PNG")
    good = base64.b64encode(picture.getvalue()).decode()
    rows = [f"{n}\t{good if n == 2 else noise}\twhat?\tred\n" for n in range(6)]
    table.write_text("index\timage\tquestion\tanswer\n" + "".join(rows))
    benchmark = Benchmark(
        name="Half", dataset="Half", data=str(table), modality="image", prompt="default",
        metric="exact-match", max_new_tokens=4,
    )  # fmt: skip
    (score,) = bench.run(tmp_path / "out", [benchmark]).scores
    assert (score.n, score.counts.failed) == (6, 5)
    (reason,) = score.failure_reasons
    assert reason == "0, 1, 3 and 2 more: its image: 200 bytes: not an image in a known format"


def test_predicting_keeps_earlier_scores(bench: Bench, tmp_path: Path) -> None:
    (benchmark,) = demo("DemoOCR")
    before = bench.run(tmp_path, [benchmark], limit="4")
    other = dataclasses.replace(benchmark, judge=JudgeId("some-model", "http://localhost/v1"))
    after = bench.run(tmp_path, [other], limit="4", mode="infer")
    assert after.scores == before.scores


def test_a_failed_benchmark_is_retried(bench: Bench, tmp_path: Path) -> None:
    (benchmark,) = demo("DemoOCR")
    (wanted,) = bench.run(tmp_path / "whole", [benchmark], limit="4").scores
    whole = bench.directory(tmp_path / "whole") / "DemoOCR" / "predictions.jsonl"
    failed = bench.directory(tmp_path / "failed") / "DemoOCR" / "predictions.jsonl"
    failed.parent.mkdir(parents=True)
    head, *lines = whole.read_text().splitlines()
    gone = {"text": "", "tokens": 0, "ended": "error", "error": "out of memory"}
    broken = [json.dumps({**json.loads(line), **gone}) for line in lines]
    failed.write_text("\n".join([head, *broken]) + "\n")
    run = bench.run(tmp_path / "failed", [benchmark], limit="4")
    assert not run.failures
    assert comparable(run.scores[0]) == comparable(wanted)
