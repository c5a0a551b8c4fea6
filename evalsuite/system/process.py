"""Child processes that can be killed, and that end when their parent process ends.

A child is ``python -m MODULE`` with a duplex connection to its parent. It is not forked, so it
shares neither threads nor CUDA state, and it does not import the user's main script.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from evalsuite.system.files import open_for_append


def usable_cpus(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The CPUs that this process may use: by its affinity, and by the quota of its container."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = limit.read_text().split()
        return max(1, min(cpus, -(-int(quota) // int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no quota: "max 100000", or no such file
        return cpus


class ChildDied(Exception):
    """The child ended: it crashed, was killed, or ran out of memory."""


class ChildTimedOut(Exception):
    """The child did not answer in time and was killed."""


_UNSET = ("PYTHONOPTIMIZE",)
"""Variables that children do not get: transformers reads docstrings when it is imported."""


class Child:
    """One child process and the connection to it."""

    def __init__(
        self,
        module: str,
        env: Mapping[str, str] | None = None,
        *,
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        """Start `module` with the variables `inherited` (None: all of ours) and `env`."""
        ours, theirs = Pipe()
        # Nothing is written to this pipe. The child reads its end of file when this process ends,
        # for whatever reason.
        lifetime_read, self._lifetime = os.pipe()
        self.name = module
        self.connection: Connection[Any, Any] = ours
        given = {**(os.environ if inherited is None else inherited), **(env or {})}
        self._process = subprocess.Popen(
            # -P: modules are not imported from the current directory.
            [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(lifetime_read)],
            pass_fds=(theirs.fileno(), lifetime_read),
            env={k: v for k, v in given.items() if k not in _UNSET},
            stdin=subprocess.DEVNULL,
            # Ctrl-C in a terminal reaches a whole process group; only the parent handles it.
            process_group=0,
        )
        theirs.close()
        os.close(lifetime_read)

    def send(self, message: object) -> None:
        """Send `message`; raises `ChildDied`."""
        try:
            self.connection.send(message)
        except OSError as error:
            raise ChildDied(self._exit_reason()) from error

    def receive(self, timeout: float | None = None) -> Any:
        """The next message; raises `ChildDied`, or `ChildTimedOut` after killing the child."""
        try:
            if timeout is not None and not self.connection.poll(timeout):
                self.kill()
                raise ChildTimedOut(f"no answer within {timeout:.0f} seconds")
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise ChildDied(self._exit_reason()) from error

    def kill(self) -> None:
        """Kill the child and release its resources. Can be called twice."""
        if self._lifetime >= 0:
            os.close(self._lifetime)
            self._lifetime = -1
        self._process.kill()
        self._process.wait()
        self.connection.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def _exit_reason(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code == -signal.SIGKILL:
            return "was killed (out of memory?)"
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def write_to(log: Path) -> None:
    """In the child: append the output of this process and its libraries to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(open_for_append(log), "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a text file
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a text file


def serve() -> Connection[Any, Any]:
    """In the child: the connection to the parent, from the command line that `Child` set."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    lifetime = int(sys.argv[2])

    def exit_with_parent() -> None:
        os.read(lifetime, 1)
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()
    return connection
