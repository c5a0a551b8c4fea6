"""Several workers, checkpoints and shards write the same files as one worker."""

import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from evalsuite.checkpoint import checkpoint
from evalsuite.checkpoint.locate import expand
from evalsuite.errors import UsageError
from evalsuite.runner.run import evaluate_all
from evalsuite.runs.journal import read_predictions
from evalsuite.runs.layout import read_shard, run_paths
from evalsuite.runs.records import Run
from evalsuite.runs.storage import read_run, read_samples
from tests.builders.run_files import own, png, same_files, scores
from tests.conftest import Bench, Reference, Watched, demo

pytestmark = pytest.mark.integration

NAMES = ["DemoOCR", "DemoVideo"]
COMMAND = [sys.executable, "-m", "evalsuite", "run", "--ckpt", "demo", "-b", ",".join(NAMES)]


def workers_of(parent: int) -> list[int]:
    """The worker processes that process `parent` started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                theirs = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"evalsuite.runner.workers.worker" in command and theirs == parent:
                found.append(int(entry.name))
    return found


def wanted(reference: Reference) -> dict[str, object]:
    return {n: s for n, s in scores(reference.run).items() if n in NAMES}


class Counting(Watched):
    """Counts predictions; kills a worker at the first ones if `kill` is true."""

    def __init__(self, *, kill: bool = False) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.workers: set[int] = set()
        self._others = set(workers_of(os.getpid()))
        self._kill = kill

    def advanced(self, benchmark: str, done: int) -> None:
        self.counts[benchmark] += done - self.done.get(benchmark, 0)
        super().advanced(benchmark, done)
        self.workers.update(set(workers_of(os.getpid())) - self._others)
        if self._kill and len(self.workers) == 2:
            self._kill = False
            os.kill(min(self.workers), signal.SIGKILL)


def test_two_workers_write_the_same_files_as_one(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    watched = Counting()
    run = bench.run(tmp_path, demo(), progress=watched, workers=2)
    assert len(watched.workers) == 2
    assert scores(run) == scores(reference.run)
    same_files(tmp_path, bench, reference, [b.name for b in demo()])
    assert run.environment["workers"] == 2
    assert run.environment["device"] == "cpu"
    assert reference.run.environment["workers"] == 1
    assert dict(watched.counts) == {s.benchmark: s.n for s in run.scores}, "nothing twice"


def test_only_the_questions_of_a_killed_worker_are_retried(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    watched = Counting(kill=True)
    run = bench.run(tmp_path, demo(*NAMES), progress=watched, workers=2, batch_size=8)
    assert len(watched.workers) == 3, "another worker took its place"
    assert [note for note in watched.notes if "was killed" in note and "starting another" in note]
    assert scores(run) == wanted(reference)
    same_files(tmp_path, bench, reference, NAMES)
    # Predictions on disk are not repeated: every sample is written once.
    assert dict(watched.counts) == {s.benchmark: s.n for s in run.scores}


def test_two_checkpoints_share_the_workers(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    early = checkpoint.read("demo:early")
    alone = bench.of(early).run(tmp_path / "alone", demo("DemoOCR"), limit="150")
    watched = Counting()
    options = bench.options(tmp_path / "both", limit="150", workers=2)
    again = checkpoint.read(str(bench.checkpoint.path), name="demo")
    assert again.digest == bench.checkpoint.digest
    runs = evaluate_all(
        [bench.checkpoint, early, again], demo("DemoOCR"), options, bench.source, watched
    )
    assert [run.checkpoint.name for run in runs] == ["demo", "demo-early", "demo"]
    assert runs[0] is runs[2], "the same weights under two names are one run"
    assert all(run.finished for run in runs)
    assert scores(runs[1]) == scores(alone)
    assert watched.counts == {"demo DemoOCR": 150, "demo-early DemoOCR": 150}
    assert set(watched.finished) == {("demo", "DemoOCR"), ("demo-early", "DemoOCR")}
    for found, output in ((runs[1], "alone"), (runs[1], "both")):
        where = run_paths(tmp_path / output, early, found.settings, None).directory / "DemoOCR"
        assert len(read_predictions(where / "predictions.jsonl")) == 150
    texts = [
        (
            run_paths(tmp_path / o, early, alone.settings, None).directory / "DemoOCR" / f
        ).read_bytes()
        for o in ("alone", "both")
        for f in ("predictions.jsonl", "samples@150.jsonl")
    ]
    assert texts[:2] == texts[2:]
    rows = read_samples(bench.directory(tmp_path / "both") / "DemoOCR" / "samples@150.jsonl")
    whole = {r.id: r for r in read_samples(reference.directory / "DemoOCR" / "samples.jsonl")}
    assert all(whole[row.id] == row for row in rows)


def test_one_worker_evaluates_several_checkpoints(bench: Bench, tmp_path: Path) -> None:
    for step in (1000, 500, 50):
        shutil.copytree(bench.checkpoint.path, tmp_path / "sft" / f"checkpoint-{step}")
    chain = [checkpoint.read(found) for found in expand(f"{tmp_path}/sft/checkpoint-*")]
    watched = Counting()
    options = bench.options(tmp_path / "out", limit="20")
    runs = evaluate_all(chain, demo("DemoOCR"), options, bench.source, watched)
    assert [(run.checkpoint.name, run.checkpoint.step) for run in runs] == [
        ("sft-checkpoint-50", 50), ("sft-checkpoint-500", 500), ("sft-checkpoint-1000", 1000),
    ]  # fmt: skip
    assert [[(s.benchmark, s.n) for s in run.scores] for run in runs] == [[("DemoOCR", 20)]] * 3
    assert len({run.scores[0].value for run in runs}) == 1, "they are copies"
    assert all(run.finished for run in runs)
    assert len(watched.workers) == 3, "one for each checkpoint"
    # Found finished: nothing is started.
    again = Counting()
    assert evaluate_all(chain, demo("DemoOCR"), options, bench.source, again) == runs
    assert again.notes == []


def test_a_checkpoint_that_cannot_be_loaded_does_not_stop_the_others(
    bench: Bench, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in bench.checkpoint.path.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    bad = checkpoint.read(str(broken))
    # Found good, then spoilt: its weights end in the middle.
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    options = bench.options(tmp_path / "out", limit="10")
    watched = Watched()
    with pytest.raises(UsageError, match=r"broken: cannot be loaded: "):
        evaluate_all([bad, bench.checkpoint], demo("DemoOCR"), options, bench.source, watched)
    assert any("continuing with the others" in note for note in watched.notes)
    where = run_paths(tmp_path / "out", bench.checkpoint, options.settings, options.limit)
    assert [s.n for s in read_run(where.run_json).scores] == [10]


# A worker that is killed by one picture, wherever it meets it: the worst a decoder can do.
POISONED = """
import os, signal, sys
from evalsuite.smolvlm import media_loader

read = media_loader.MediaReader.read

def deadly(self, media):
    if any("{digest}" in key[0] for key in media):
        os.kill(os.getpid(), signal.SIGKILL)
    return read(self, media)

media_loader.MediaReader.read = deadly
"""


def test_a_sample_that_kills_three_workers_is_a_failed_sample(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [png((10 * i, 0, 0)) for i in range(12)]
    benchmark = own(tmp_path / "Deadly.tsv", images)
    clean = bench.run(tmp_path / "clean", [benchmark])
    rows = read_samples(bench.directory(tmp_path / "clean") / "Deadly" / "samples.jsonl")
    digest = Path(rows[5].media[0]).stem
    # The workers' own start-up code: nothing of the parent is changed.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "if any('evalsuite.runner.workers.worker' in word for word in sys.orig_argv):\n"
        + "".join(f"    {line}\n" for line in POISONED.format(digest=digest).splitlines())
    )
    search = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", search.rstrip(os.pathsep))
    watched = Counting()
    run = bench.run(tmp_path / "out", [benchmark], progress=watched, workers=2)
    (score,) = run.scores
    assert (score.n, score.counts.failed, clean.scores[0].counts.failed) == (12, 1, 0)
    again = read_samples(bench.directory(tmp_path / "out") / "Deadly" / "samples.jsonl")
    assert [row.id for row in again if row.ended == "error"] == [rows[5].id]
    assert "was killed (out of memory?) on this sample" in (again[5].error or "")
    assert [row for i, row in enumerate(again) if i != 5] == [
        row for i, row in enumerate(rows) if i != 5
    ]
    assert len([note for note in watched.notes if "was killed" in note]) == 3


def start(output: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--output-dir", str(output), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def the_run(output: Path) -> tuple[Path, Run]:
    (path,) = output.glob("*/*/run.json")
    return path.parent, read_run(path)


def test_a_signal_ends_two_workers_within_seconds(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    with start(tmp_path, "--workers", "2", "--batch-size", "2") as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            journals = list(tmp_path.glob("*/*/*/predictions.jsonl"))
            if any(journal.read_bytes().count(b"\n") > 3 for journal in journals):
                break
            time.sleep(0.05)
        workers = workers_of(process.pid)
        asked = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        code, errors = finish(process)
        took = time.monotonic() - asked
    assert code == 130, errors
    assert took < 5, f"{took:.1f} seconds"
    assert len(workers) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert "Traceback" not in errors
    assert "on cpu with 2 workers" in errors
    assert all(journal.read_bytes().endswith(b"\n") for journal in journals)
    run = bench.run(tmp_path, demo(*NAMES), workers=2)
    assert scores(run) == wanted(reference)
    same_files(tmp_path, bench, reference, NAMES)


def test_three_shards_are_scored_together(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    shards = [start(tmp_path, "--shard", f"{i}/3", "--workers", "1") for i in (1, 2)]
    for shard in shards:
        with shard:
            code, errors = finish(shard)
        assert code == 0, errors
    (directory,) = tmp_path.glob("*/*/")
    journals = {
        name: [read_predictions(directory / name / f"predictions.shard-{i}-of-3.jsonl")
               for i in (1, 2)]
        for name in NAMES
    }  # fmt: skip
    for name in NAMES:
        first, second = (set(journal) for journal in journals[name])
        rows = read_samples(reference.directory / name / "samples.jsonl")
        clusters = {row.id: row.cluster for row in rows}
        assert not {clusters[i] for i in first} & {clusters[i] for i in second}, "whole media"
        assert all(abs(len(part) - len(rows) / 3) < len(rows) / 10 for part in (first, second))
    assert not (directory / "run.json").exists()

    early = bench.run(tmp_path, demo(*NAMES), mode="eval")
    for name, failure in zip(NAMES, early.failures, strict=True):
        missing = len(read_predictions(reference.journal(name))) - sum(map(len, journals[name]))
        total = len(read_predictions(reference.journal(name)))
        assert failure.message == f"no prediction for {missing} of {total} samples"
        assert "every --shard there is" in failure.remedy

    last = dataclasses.replace(bench.options(tmp_path), shard=read_shard("3/3"))
    bench.evaluate(demo(*NAMES), last, Watched(), start_worker=bench.start_worker)
    with start(tmp_path, "--mode", "eval") as process:
        code, errors = finish(process)
    assert code == 0, errors
    _, run = the_run(tmp_path)
    assert scores(run) == wanted(reference)
    assert run.environment["device"] == "cpu"
    same_files(tmp_path, bench, reference, NAMES)
    left = [p.name for p in directory.rglob("*") if "shard" in p.name and "lock" not in p.name]
    assert left == [], "all gathered"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "0/3"], "--shard 0/3"),
        (["--shard", "4/3"], "--shard 4/3"),
        (["--shard", "1/2", "--mode", "eval"], "--mode eval"),
        (["--workers", "0"], "--workers 0"),
        (["--workers", "many"], "--workers many"),
        (["--ckpt", "no/such/checkpoint-*"], "no/such/checkpoint-*"),
    ],
)
def test_refused_options(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evalsuite.cli import main

    command = ["run", "--ckpt", "demo", "--output-dir", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*command, *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(itertools.chain(tmp_path.glob("out/*/*")))
