"""Locks between processes."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evalsuite.errors import DiskError, UsageError
from evalsuite.system import locks
from evalsuite.system.locks import LockHeld, exclusive, is_held, run_lock, shared

HOLD = """
import sys
from pathlib import Path
from evalsuite.system.locks import *
with {lock}(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(lock: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock until it is killed or its input is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(lock=lock), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_an_exclusive_lock_excludes_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.lock"
    assert not is_held(path)
    with exclusive(path, holder="me"):
        assert is_held(path)
        assert path.read_text() == "me"
        for lock in (exclusive, shared):
            with pytest.raises(LockHeld), lock(path, wait=False):
                pass
    assert list(path.parent.iterdir()) == []
    with exclusive(path, wait=False):
        pass


def test_shared_locks_exclude_only_exclusive_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with shared(path), shared(path, wait=False):
        with pytest.raises(LockHeld), exclusive(path, wait=False):
            pass
        with shared(path, wait=False):
            pass
        assert is_held(path), "a shared holder does not remove the file of the others"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_can_be_locked_and_stays(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        with pytest.raises(LockHeld), exclusive(tmp_path, wait=False):
            pass
        assert list(tmp_path.iterdir()) == []
    assert tmp_path.is_dir()


def test_waiting_processes_hold_the_lock_one_after_another(tmp_path: Path) -> None:
    path, inside = tmp_path / "a.lock", []

    def work(number: int) -> None:
        for _ in range(50):
            with exclusive(path):
                inside.append(number)
                assert inside == [number]
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert inside == []
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with other_process("exclusive", path) as process:
        assert is_held(path)
        process.kill()
        process.wait()
        assert path.exists()
        assert not is_held(path)
        with exclusive(path, wait=False):
            pass
    assert not path.exists()


def test_a_lock_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file"), exclusive(tmp_path / "file" / "a.lock"):
        pass


def test_a_run_lock_names_its_holder(tmp_path: Path) -> None:
    with other_process("run_lock", tmp_path) as process:
        name = f"pid {process.pid} on {os.uname().nodename}"
        with pytest.raises(UsageError, match=f"{tmp_path}: in use by {name}; "), run_lock(tmp_path):
            pass
        process.kill()
        process.wait()
        for _ in range(2):
            with run_lock(tmp_path):
                pass
    assert list(tmp_path.iterdir()) == []


def test_shards_exclude_the_whole_run_and_themselves(tmp_path: Path) -> None:
    mine = f"pid {os.getpid()} on .*"
    with run_lock(tmp_path, "shard-1-of-2"), run_lock(tmp_path, "shard-2-of-2"):
        with pytest.raises(UsageError, match=f"in use by {mine} and {mine}; "), run_lock(tmp_path):
            pass
        with pytest.raises(UsageError, match="in use by"), run_lock(tmp_path, "shard-2-of-2"):
            pass
    with (
        run_lock(tmp_path),
        pytest.raises(UsageError, match=f"in use by {mine}; "),
        run_lock(tmp_path, "shard-1-of-2"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_without_effect_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On some network file systems `flock` does nothing."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.05)
    with run_lock(tmp_path):
        (tmp_path / "lock").write_text("pid 1 on another-host")
        with pytest.raises(UsageError, match="in use by pid 1 on another-host"), run_lock(tmp_path):
            pass


@pytest.mark.parametrize("holder", ["pid 999999999 on {}", "pid 1 on another-host", "garbage"])
def test_a_dead_holder_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.05)
    (tmp_path / "lock").write_text(holder.format(socket.gethostname()))
    with run_lock(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"pid {os.getpid()} on ")


def test_processes_of_srun_are_told_how_to_share_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with (
        run_lock(tmp_path),
        pytest.raises(UsageError, match=r"process 3 of 4 of srun.*--shard"),
        run_lock(tmp_path),
    ):
        pass
