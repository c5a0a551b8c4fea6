"""A run killed at ten different writes resumes, and its files equal those of a run without kills.

The tests run the real command. Only the operating system's ``fsync`` is wrapped, to act at the n-th
write of a file: the worst moment, with data written but not yet renamed. Three times it sends
SIGKILL. At seven other moments it copies the results directory, which is what a kill would leave,
and continues; each copy is resumed too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from evalsuite.runs.journal import read_predictions
from evalsuite.runs.records import Run
from evalsuite.runs.storage import read_run
from tests.builders.cpu_time import cpu_units
from tests.builders.run_files import scores
from tests.conftest import Bench, Reference, Watched, demo

pytestmark = pytest.mark.integration

BENCHMARKS = ["DemoOCR", "DemoVideo"]
COMMAND = ["run", "--ckpt", "demo", "-b", ",".join(BENCHMARKS), "--batch-size", "16"]

AT = """
import json, os, shutil, signal, sys
output, moments, real = sys.argv[-1], json.loads(sys.argv.pop(1)), os.fsync

def fsync(handle):
    path = os.readlink(f"/proc/self/fd/{handle}")
    for moment in moments:
        if moment["file"] in path and moment["text"] in open(path).read():
            moment["write"] -= 1
            if moment["write"] == 0 and moment["copy"]:
                try:
                    shutil.copytree(output, moment["copy"])
                except shutil.Error:
                    pass  # the kit process has deleted a temporary file meanwhile
            elif moment["write"] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    real(handle)

os.fsync = fsync
from evalsuite.__main__ import main
main()
"""


@dataclass(frozen=True)
class Moment:
    """The n-th write of a file with a certain text in it."""

    file: str
    write: int
    text: str = ""


LINE = '"id"'

# From the first journal line to the last, scoring, and writing run.json: of each run, where it is
# copied and where it is killed. The fourth is let go.
RUNS: list[tuple[list[Moment], Moment | None]] = [
    (
        [
            Moment("DemoOCR/predictions.jsonl", 1, LINE),
            Moment("DemoOCR/predictions.jsonl", 6, LINE),
        ],
        Moment("DemoOCR/predictions.jsonl", 9, LINE),
    ),
    ([], Moment("DemoOCR/.samples.jsonl", 1)),  # while scoring
    (
        [
            Moment(".run.json", 1, '"score":'),  # the record, with its first score
            Moment("DemoVideo/predictions.jsonl", 2, LINE),
        ],
        Moment("DemoVideo/predictions.jsonl", 9, LINE),
    ),
    (
        [
            Moment("DemoVideo/.predictions.jsonl", 1, LINE),  # the journal being put in order
            Moment("DemoVideo/.samples.jsonl", 1),
            Moment(".run.json", 1, '"finished": "2'),  # the finished record
        ],
        None,
    ),
]


def run_at(
    copied: Mapping[Path, Moment],
    killed: Moment | None,
    output: Path,
    # The time of the reruns depends on the clock.
    more: Sequence[str] = ("--noise", "0"),
) -> int:
    """Run the command, copy `output` at the moments `copied`, and kill it at `killed`."""
    told = [{**asdict(moment), "copy": str(path)} for path, moment in copied.items()]
    if killed is not None:
        told.append({**asdict(killed), "copy": ""})
    # Small batches write many lines.
    command = [sys.executable, "-c", AT, json.dumps(told), *COMMAND, *more]
    command += ["--output-dir", str(output)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def run(output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evalsuite", *COMMAND, "--output-dir", str(output), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def only_run(output: Path) -> tuple[Path, Run]:
    (path,) = output.glob("*/*/run.json")
    return path.parent, read_run(path)


def answers(output: Path) -> int:
    """Number of predictions in the journals."""
    return sum(len(read_predictions(path)) for path in output.glob("*/*/*/predictions.jsonl"))


def as_uninterrupted(output: Path, reference: Reference) -> None:
    directory, continued = only_run(output)
    assert continued.finished
    wanted = {n: s for n, s in scores(reference.run).items() if n in BENCHMARKS}
    assert scores(continued) == wanted
    for name in BENCHMARKS:
        assert (directory / name / "predictions.jsonl").read_bytes() == reference.predictions(name)
        assert (directory / name / "samples.jsonl").read_bytes() == reference.samples(name)
    left = {p.name for p in directory.rglob("*") if p.is_file()}
    assert not [name for name in left if name.startswith(".")], "scratch files were left behind"


def test_a_run_resumes_after_a_kill_at_ten_different_writes(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    output, lines = tmp_path / "killed", 0
    for number, (copied, killed) in enumerate(RUNS):
        copies = {tmp_path / f"{number}.{n}": moment for n, moment in enumerate(copied)}
        code = run_at(copies, killed, output)
        assert code == (-signal.SIGKILL if killed else 0), (number, code)
        for copy, moment in copies.items():
            assert copy.is_dir(), moment
            known, watched = answers(copy), Watched()
            assert known >= lines, "an answer was lost"
            bench.run(copy, demo(*BENCHMARKS), progress=watched, noise=0)
            (plan,) = watched.plans
            assert sum(benchmark.done for benchmark in plan) == known, "predicted twice"
            as_uninterrupted(copy, reference)
        assert answers(output) >= lines, "an answer was lost"
        lines = answers(output)
    as_uninterrupted(output, reference)

    # A finished run is found finished: no inference, nothing heavy, nothing rewritten.
    directory, _ = only_run(output)
    before = {p: p.stat().st_mtime_ns for p in directory.rglob("*") if p.is_file()}

    def repeat() -> None:
        again = run(output)
        assert again.returncode == 0
        assert "DemoOCR" in again.stdout

    units = cpu_units(repeat, 1)
    print(f"{units:.2f} units")
    assert units < 12
    assert {p: p.stat().st_mtime_ns for p in directory.rglob("*") if p.is_file()} == before

    code = (
        "import sys; from evalsuite.cli import main\n"
        f"assert main({[*COMMAND, '--output-dir', str(output)]!r}) == 0\n"
        "heavy = {'torch', 'transformers', 'vlmeval', 'pandas', 'decord'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_run_resumes_after_a_kill_during_reruns(bench: Bench, tmp_path: Path) -> None:
    some = ["-b", "DemoOCR", "--limit", "40"]
    killed = Moment("DemoOCR/rerun.jsonl", 5, LINE)
    assert run_at({}, killed, tmp_path / "killed", some) == -signal.SIGKILL
    journal = bench.directory(tmp_path / "killed") / "DemoOCR" / "rerun.jsonl"
    known = read_predictions(journal)
    assert 0 < len(known) < 40
    runs = [bench.run(tmp_path / name, demo("DemoOCR"), limit="40") for name in ("killed", "whole")]
    assert runs[0].batch_sensitivity == runs[1].batch_sensitivity
    whole = bench.directory(tmp_path / "whole") / "DemoOCR"
    for name in (
        "rerun.jsonl",
        "batch_sensitivity@40.jsonl",
        "predictions.jsonl",
        "samples@40.jsonl",
    ):
        assert (journal.parent / name).read_bytes() == (whole / name).read_bytes(), name
    assert known.items() <= read_predictions(journal).items()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_within_seconds(how: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evalsuite", *COMMAND, "--batch-size", "2"]
    with subprocess.Popen(
        [*command, "--output-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            journals = list(tmp_path.glob("*/*/DemoOCR/predictions.jsonl"))
            if journals and journals[0].read_bytes().count(b"\n") > 4:
                break
            time.sleep(0.05)
        asked = time.monotonic()
        # As a terminal does: the whole process group.
        os.killpg(process.pid, how) if how is signal.SIGINT else process.send_signal(how)
        _, errors = process.communicate(timeout=60)
        took = time.monotonic() - asked
    assert process.returncode == 130
    assert took < 5, f"{took:.1f} seconds"
    assert "Run the same command again to continue" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert journals[0].read_bytes().endswith(b"\n")
    assert 3 < len(read_predictions(journals[0])) < 360
    assert only_run(tmp_path)[1].finished is None


def test_a_run_resumes_after_a_full_disk(
    bench: Bench, reference: Reference, tmp_path: Path
) -> None:
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "import evalsuite.system.process, subprocess\n"
        "from evalsuite.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = [*COMMAND, "--output-dir", str(tmp_path)]
    full = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert full.returncode == 4, full.stderr
    assert "the disk is full" in full.stderr
    assert "rerun the same command to continue" in full.stderr
    assert "Traceback" not in full.stderr
    for journal in tmp_path.glob("*/*/*/predictions.jsonl"):
        assert journal.read_bytes().endswith(b"\n")
    bench.run(tmp_path, demo(*BENCHMARKS))
    as_uninterrupted(tmp_path, reference)
