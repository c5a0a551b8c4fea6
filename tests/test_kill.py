"""Ten kills, at chosen writes of one run, and the files equal an uninterrupted run's.

The program under test is the real command; only the operating system's ``fsync`` is wrapped, to
send SIGKILL at the n-th write of a certain file: the worst moment, with data written and not named.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalsuite.journal import read_predictions
from evalsuite.results import Run, read_run
from tests.conftest import Reference
from tests.test_run import scores

BENCHMARKS = ["DemoOCR", "DemoVideo"]
COMMAND = ["run", "--ckpt", "demo", "-b", ",".join(BENCHMARKS), "--batch-size", "16"]

KILLER = """
import os, signal, sys
needle, nth, text = sys.argv.pop(1), int(sys.argv.pop(1)), sys.argv.pop(1)
seen, real = 0, os.fsync

def fsync(handle):
    global seen
    path = os.readlink(f"/proc/self/fd/{handle}")
    if needle in path and text in open(path).read():
        seen += 1
        if seen == nth:
            os.kill(os.getpid(), signal.SIGKILL)
    real(handle)

os.fsync = fsync
from evalsuite.__main__ import main
main()
"""

# (file, n, text in it): from the first journal line to the last, scoring, and writing run.json.
KILLS = [
    ("DemoOCR/predictions.jsonl", 1, '"id"'),
    ("DemoOCR/predictions.jsonl", 6, '"id"'),
    ("DemoOCR/predictions.jsonl", 9, '"id"'),
    ("DemoOCR/.samples.jsonl", 1, ""),  # while scoring
    (".run.json", 1, '"score":'),  # the record, with its first score
    ("DemoVideo/predictions.jsonl", 2, '"id"'),
    ("DemoVideo/predictions.jsonl", 12, '"id"'),
    ("DemoVideo/.predictions.jsonl", 1, '"id"'),  # the journal being put in order
    ("DemoVideo/.samples.jsonl", 1, ""),
    (".run.json", 1, '"finished": "2'),  # the finished record
]


def killed_at(needle: str, nth: int, text: str, output: Path) -> int:
    command = [sys.executable, "-c", KILLER, needle, str(nth), text, *COMMAND]
    # Small batches, so that there are many lines to be killed at.
    command += ["--batch-size", "16", "--output-dir", str(output)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def run(output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evalsuite", *COMMAND, "--output-dir", str(output), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def only_run(output: Path) -> tuple[Path, Run]:
    (path,) = output.glob("*/*/run.json")
    return path.parent, read_run(path)


def test_ten_kills(reference: Reference, tmp_path: Path) -> None:
    lines = 0
    for needle, nth, text in KILLS:
        code = killed_at(needle, nth, text, tmp_path)
        assert code == -signal.SIGKILL, (needle, nth, code)
        journals = list(tmp_path.glob("*/*/*/predictions.jsonl"))
        answered = sum(len(read_predictions(journal)) for journal in journals)
        assert answered >= lines, "an answer was lost"
        lines = answered
    assert run(tmp_path).returncode == 0
    directory, continued = only_run(tmp_path)
    assert continued.finished
    wanted = {n: s for n, s in scores(reference.run).items() if n in BENCHMARKS}
    assert scores(continued) == wanted
    for name in BENCHMARKS:
        assert (directory / name / "predictions.jsonl").read_bytes() == reference.predictions(name)
        assert (directory / name / "samples.jsonl").read_bytes() == reference.samples(name)
    left = {p.name for p in directory.rglob("*") if p.is_file()}
    assert not [name for name in left if name.startswith(".")], "scratch files were left behind"

    # A finished run is found finished: no inference, nothing heavy, nothing rewritten.
    before = {p: p.stat().st_mtime_ns for p in directory.rglob("*") if p.is_file()}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    again = run(tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert again.returncode == 0
    assert "DemoOCR" in again.stdout
    seconds = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    assert seconds < 2, f"{seconds:.2f} CPU-seconds"
    assert {p: p.stat().st_mtime_ns for p in directory.rglob("*") if p.is_file()} == before

    code = (
        "import sys; from evalsuite.cli import main\n"
        f"assert main({[*COMMAND, '--output-dir', str(tmp_path)]!r}) == 0\n"
        "heavy = {'torch', 'transformers', 'vlmeval', 'pandas', 'decord'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


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


def test_a_full_disk_ends_a_run_with_a_clear_word_and_it_continues(
    reference: Reference, tmp_path: Path
) -> None:
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "import evalsuite.process, subprocess\n"
        "from evalsuite.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = [*COMMAND, "--output-dir", str(tmp_path)]
    full = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert full.returncode == 4, full.stderr
    assert "the disk is full" in full.stderr
    assert "run the same command again to continue" in full.stderr.lower()
    assert "Traceback" not in full.stderr
    for journal in tmp_path.glob("*/*/*/predictions.jsonl"):
        assert journal.read_bytes().endswith(b"\n")
    assert run(tmp_path).returncode == 0
    _, continued = only_run(tmp_path)
    wanted = {n: s for n, s in scores(reference.run).items() if n in BENCHMARKS}
    assert scores(continued) == wanted
