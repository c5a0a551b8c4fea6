"""The command line: in this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from evalsuite.cli import main

Result = subprocess.CompletedProcess[str]


class Captured(io.TextIOWrapper):
    """A standard stream that keeps what is written to it, as a pipe would."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="surrogateescape", newline="")

    def text(self) -> str:
        """What was written."""
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("utf-8", "surrogateescape")


def evalsuite(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Result:
    """Run the command in this process: it costs no start of Python.

    An exception that a user would see as a traceback is raised.
    """
    out, err = Captured(), Captured()
    with (
        mock.patch.dict(os.environ, environment or {}),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(list(arguments))
    return subprocess.CompletedProcess(arguments, code, out.text(), err.text())


def evalsuite_process(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Result:
    """Run the command as a process: for start-up time, signals and standard streams."""
    return subprocess.run(
        [sys.executable, "-m", "evalsuite", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"
