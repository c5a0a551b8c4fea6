"""Errors that users can cause and fix. Each class has an exit code; each message has a remedy.

Any other exception is a defect of evalsuite and exits with code 70.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

GOOD, REGRESSION, USAGE, INCONCLUSIVE, INCOMPLETE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130


class EvalsuiteError(Exception):
    """Base class. The message is one line: what is wrong, where, and what to do."""

    exit_code = INTERNAL


class UsageError(EvalsuiteError):
    """A wrong argument, file or checkpoint. Nothing was started."""

    exit_code = USAGE


class IncompleteError(EvalsuiteError):
    """Work that could not be finished. Results so far are kept; a rerun continues."""

    exit_code = INCOMPLETE


class DiskError(IncompleteError):
    """A file cannot be written: the disk is full or read-only, or permission is missing."""


class PathError(DiskError):
    """A path has the wrong type: a file where a directory is needed, or the reverse."""

    exit_code = USAGE


class InterruptedRun(EvalsuiteError):
    """Ctrl-C or SIGTERM. All predictions so far are on disk."""

    exit_code = INTERRUPTED


def nearest(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'MMStar'?)"`` if a known word is close to `word`, else an empty string."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f" (did you mean '{lowered[close[0]]}'?)" if close else ""


def check_known(what: str, word: str, known: Iterable[str]) -> None:
    """Raise `UsageError` if `word`, the value of `what`, is not one of the `known` words."""
    names = list(known)
    if word not in names:
        raise UsageError(
            f"{what} {word}: unknown{nearest(word, names)}; expected {', '.join(names)}"
        )
