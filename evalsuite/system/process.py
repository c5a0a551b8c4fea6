"""Child processes that can be killed, and that die with the process that started them.

A child is ``python -m MODULE`` with a duplex connection to its parent. It is never forked, so it
shares neither threads nor CUDA state, and it does not re-import the user's main script.
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


class ChildDied(Exception):
    """The child is gone: it crashed, was killed, or ran out of memory."""


class ChildTimedOut(Exception):
    """The child did not answer in time and was killed."""


class Child:
    """One child process and the connection to it."""

    def __init__(self, module: str, env: Mapping[str, str] | None = None) -> None:
        ours, theirs = Pipe()
        # Nothing is ever written to the life line: it reads as closed once this process is gone,
        # however it went.
        life_read, self._life_line = os.pipe()
        self.name = module
        self.connection: Connection[Any, Any] = ours
        self._process = subprocess.Popen(
            # -P: modules come from where they are installed, not from the folder the user is in.
            [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(life_read)],
            pass_fds=(theirs.fileno(), life_read),
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            # Ctrl-C in a terminal reaches a whole process group; only the parent acts on it.
            process_group=0,
        )
        theirs.close()
        os.close(life_read)

    def send(self, message: object) -> None:
        """Send `message`; raises `ChildDied`."""
        try:
            self.connection.send(message)
        except OSError as error:
            raise ChildDied(self._epitaph()) from error

    def receive(self, timeout: float | None = None) -> Any:
        """The next message; raises `ChildDied`, or `ChildTimedOut` after killing the child."""
        try:
            if timeout is not None and not self.connection.poll(timeout):
                self.kill()
                raise ChildTimedOut(f"no answer within {timeout:.0f} seconds")
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise ChildDied(self._epitaph()) from error

    def kill(self) -> None:
        """End the child at once and release what it held. May be called twice."""
        if self._life_line >= 0:
            os.close(self._life_line)
            self._life_line = -1
        self._process.kill()
        self._process.wait()
        self.connection.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def _epitaph(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code == -signal.SIGKILL:
            return "was killed (out of memory?)"
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def write_to(log: Path) -> None:
    """In the child: send whatever this process and its libraries print to the end of `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a text file
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a text file


def serve() -> Connection[Any, Any]:
    """In the child: the connection to the parent, from the command line `Child` made."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    life_line = int(sys.argv[2])

    def die_with_parent() -> None:
        os.read(life_line, 1)
        os._exit(1)

    threading.Thread(target=die_with_parent, daemon=True).start()
    return connection
