"""Processes that launchers, containers and schedulers start: what is missing, and scratch files."""

import getpass
import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from evalsuite.cli import _ended_by_signals
from evalsuite.errors import UsageError
from evalsuite.runner.config import RunConfig
from evalsuite.runner.session import _check_cache, prepare
from evalsuite.system.hashing import cache_directory
from evalsuite.system.process import Child, usable_cpus
from evalsuite.system.scratch import scratch_directory
from evalsuite.system.startup import _name_home

SHOW_STREAMS = """
import os
from evalsuite.system.startup import prepare_process
prepare_process()
import sys
print("output")
print("error", file=sys.stderr)
sys.stdin.read()
for number in range(3):
    os.fstat(number)
assert os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT) > 2
subprocess = __import__("subprocess")
subprocess.run([sys.executable, "-c", "print(1)"], check=True)
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_opened_so_that_no_file_gets_their_number(
    tmp_path: Path, closed: str
) -> None:
    command = f"exec '{sys.executable}' -c \"$1\" '{tmp_path}/file' {closed}"
    subprocess.run(["bash", "-c", command, "bash", SHOW_STREAMS], check=True, stdin=subprocess.PIPE)
    assert (tmp_path / "file").read_bytes() == b""


def test_the_command_and_its_children_keep_their_docstrings(tmp_path: Path) -> None:
    out = subprocess.run(
        [sys.executable, "-m", "evalsuite", "card", "--help"],
        env={**os.environ, "PYTHONOPTIMIZE": "2"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "model card" in out.lower()
    (tmp_path / "optimised.py").write_text(
        "import sys\nfrom evalsuite.system.process import serve\nserve().send(sys.flags.optimize)\n"
    )
    child = Child("optimised", {"PYTHONOPTIMIZE": "2", "PYTHONPATH": str(tmp_path)})
    assert child.receive(60) == 0
    child.kill()


def test_a_user_without_a_passwd_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("HOME", "USER", "LOGNAME", "EVALSUITE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert cache_directory() == tmp_path / f"evalsuite-{os.getuid()}"
    _name_home()
    assert Path.home() == tmp_path / f"evalsuite-{os.getuid()}"
    assert getpass.getuser() == str(os.getuid())
    assert cache_directory() == Path.home() / ".cache/evalsuite"


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALSUITE_CACHE")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache/evalsuite"
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert cache_directory() == tmp_path / f"evalsuite-{os.getuid()}"


def test_a_cache_of_another_user_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path))
    private = tmp_path / "media" / "ab"
    private.mkdir(parents=True)
    _check_cache(cache_directory())
    real = os.access

    def access(path: Path, mode: int) -> bool:
        return Path(path) != private and real(path, mode)

    monkeypatch.setattr(os, "access", access)  # root may read everything
    with pytest.raises(UsageError, match=r"media/ab: cannot be .*\$EVALSUITE_CACHE"):
        _check_cache(cache_directory())


@pytest.mark.parametrize("shard", [None, "2/8"])
def test_only_the_first_process_of_a_launcher_evaluates(
    monkeypatch: pytest.MonkeyPatch, shard: str | None
) -> None:
    config = RunConfig(ckpt=("/nonexistent",), shard=shard)
    monkeypatch.setenv("WORLD_SIZE", "8")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        refused = rank == "1" and shard is None
        with pytest.raises(UsageError, match="2 of 8" if refused else "/nonexistent"):
            prepare(config, lambda _: None)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU]
)
def test_a_signal_ends_a_command_once(number: signal.Signals) -> None:
    cleaned = False

    def command() -> None:
        nonlocal cleaned
        with _ended_by_signals():
            try:
                os.kill(os.getpid(), number)
                time.sleep(10)
            finally:
                for _ in range(5):
                    os.kill(os.getpid(), number)
                    os.kill(os.getpid(), signal.SIGINT)
                cleaned = True

    with pytest.raises(KeyboardInterrupt):
        command()
    assert cleaned
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nohup_keeps_its_effect() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_scratch_directories_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import sys; from evalsuite.system.scratch import scratch_directory\n"
        "with scratch_directory() as scratch:\n"
        "    (scratch / 'file').touch(); print(scratch, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        abandoned = Path(process.stdout.readline().strip())
        with scratch_directory() as own:
            assert own.is_dir()
            assert (abandoned / "file").exists(), "its process is alive"
        assert not own.exists()
        process.kill()
    with scratch_directory():
        assert not abandoned.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 8), ("", 8), ("0 0\n", 8)],
)
def test_the_quota_of_a_container_limits_the_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    limit = tmp_path / "cpu.max"
    assert usable_cpus(limit) == 8
    limit.write_text(content)
    assert usable_cpus(limit) == expected
