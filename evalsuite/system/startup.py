"""What launchers, containers and schedulers leave out of a process, before anything is imported."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def prepare_process() -> None:
    """Open closed standard streams, undo PYTHONOPTIMIZE, and name a home directory."""
    _open_standard_streams()
    if sys.flags.optimize and os.environ.pop("PYTHONOPTIMIZE", None) is not None:
        # transformers reads docstrings when it is imported; our help is made of them.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "evalsuite", *sys.argv[1:]])
    _name_home()


def _open_standard_streams() -> None:
    """Without this, the next opened file gets the number of a closed stream, and its output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _name_home() -> None:
    """Name a home and a user where a container's user id has no passwd entry."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(user_temporary())
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("USER", str(os.getuid()))  # torch asks for the user's name


def user_temporary() -> Path:
    """A directory for this user in the directory of temporary files; it may not exist."""
    return Path(tempfile.gettempdir()) / f"evalsuite-{os.getuid()}"
