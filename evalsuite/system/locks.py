"""Locks between processes, on files. The system releases a lock when its process ends.

All use ``flock``. The last process that holds a lock removes its file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from evalsuite.errors import UsageError
from evalsuite.system.files import disk_errors, open_regular

HEARTBEAT_SECONDS = 5.0
"""How often the holder of a run's lock renews the time of its file."""
HEARTBEATS = 3
"""A holder that renews nothing for this number of times is dead."""


class LockHeld(Exception):
    """Another process holds the lock."""


class _HolderAlive(LockHeld):
    """Another process holds the lock, although the file system let us lock it too."""


@contextmanager
def exclusive(path: Path, *, wait: bool = True, holder: str = "") -> Iterator[None]:
    """Hold the lock `path`, a file or an existing directory, alone.

    Waits for other holders, or raises `LockHeld` if `wait` is false. `holder` is written into the
    file, see `_refuse_live_holder`. Raises `DiskError` if the file cannot be written or the file
    system has no locks.
    """
    with _locked(path, fcntl.LOCK_EX, wait=wait) as handle, ExitStack() as stack:
        if holder:
            with disk_errors(path):
                _refuse_live_holder(path, holder)
                os.ftruncate(handle, 0)
                os.write(handle, holder.encode())
            stack.enter_context(_heartbeat(handle))
        yield


def _refuse_live_holder(path: Path, own: str) -> None:
    """Raise `LockHeld` if another process renews the file's time, although we hold the lock.

    On some network file systems locks do nothing, or only within a machine. A dead process leaves
    its name and renews nothing.
    """
    found = path.read_text("utf-8", errors="replace")
    match = re.fullmatch(r"pid (\d+) on (.+)", found)
    if match is None or found == own:
        return
    if match[2] == socket.gethostname() and not _is_alive(int(match[1])):
        return
    before = path.stat().st_mtime_ns
    for _ in range(HEARTBEATS):
        time.sleep(HEARTBEAT_SECONDS)
        if path.stat().st_mtime_ns != before:
            raise _HolderAlive(path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


@contextmanager
def _heartbeat(handle: int) -> Iterator[None]:
    """Renew the time of an open file while the context lasts."""
    stopped = threading.Event()

    def renew() -> None:
        while not stopped.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(handle)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@contextmanager
def shared(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock `path` together with other processes that call `shared`.

    Waits for an exclusive holder, or raises `LockHeld` if `wait` is false. Raises `DiskError`.
    """
    with _locked(path, fcntl.LOCK_SH, wait=wait):
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds the lock at `path`."""
    try:
        # Opened for writing because an exclusive lock requires it on NFS.
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def run_lock(directory: Path, part: str = "") -> Iterator[None]:
    """Lock the run in `directory`, or its shard `part`: shards lock each other only out of a part.

    Raises `UsageError` that names the process which holds the lock.
    """
    holder = f"pid {os.getpid()} on {socket.gethostname()}"
    with ExitStack() as stack:
        try:
            if part:
                stack.enter_context(shared(directory / "lock", wait=False))
            own = directory / (f"lock.{part}" if part else "lock")
            stack.enter_context(exclusive(own, wait=False, holder=holder))
        except LockHeld:
            rank = _rank("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
            hint = f". This is process {rank} of srun: start one, or use --shard" if rank else ""
            raise UsageError(
                f"{directory}: in use by {_holders(directory)}; wait for it, stop it, or choose "
                f"another --output-dir{hint}"
            ) from None
        yield


def other_rank() -> str | None:
    """``3 of 8`` for all but the first process that torchrun, accelerate or the like started."""
    return _rank("RANK", "WORLD_SIZE")


def _rank(rank: str, size: str) -> str | None:
    number, count = os.environ.get(rank, ""), os.environ.get(size, "")
    several = number.isdecimal() and count.isdecimal() and 0 < int(number) < int(count)
    return f"{int(number) + 1} of {count}" if several else None


def _holders(directory: Path) -> str:
    named = []
    for path in sorted(directory.glob("lock*")):
        with contextlib.suppress(OSError):  # removed meanwhile
            named.append(path.read_text("utf-8", errors="replace").strip())
    return " and ".join(filter(None, named)) or "another process"


@contextmanager
def _locked(path: Path, kind: int, *, wait: bool) -> Iterator[int]:
    handle = _acquire(path, kind if wait else kind | fcntl.LOCK_NB)
    try:
        yield handle
    except _HolderAlive:
        raise
    except BaseException:
        _remove(path, handle)
        raise
    else:
        _remove(path, handle)
    finally:
        os.close(handle)


def _acquire(path: Path, how: int) -> int:
    while True:
        with disk_errors(path):
            handle = _open(path)
        try:
            with disk_errors(path):
                try:
                    fcntl.flock(handle, how)
                except BlockingIOError:
                    raise LockHeld(path) from None
            # The previous holder may have removed the file: then another process could lock a new
            # file of that name.
            if _is_current(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _open(path: Path) -> int:
    if path.is_dir():
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    path.parent.mkdir(parents=True, exist_ok=True)
    return open_regular(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)


def _remove(path: Path, handle: int) -> None:
    """Remove the lock's file, unless it is a directory or another process shares the lock."""
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.is_dir() and _is_current(path, handle):
            path.unlink()


def _is_current(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
