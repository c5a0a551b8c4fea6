"""What a user can cause and mend. Each class carries its exit code; each message says the remedy.

Anything else that is raised is a defect of ours and exits with 70.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

GOOD, REGRESSION, USAGE, INCONCLUSIVE, INCOMPLETE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130


class EvalsuiteError(Exception):
    """The base of all errors below: one line that says what, where and what to do."""

    exit_code = INTERNAL


class UsageError(EvalsuiteError):
    """A wrong argument, file or checkpoint; nothing was started."""

    exit_code = USAGE


class IncompleteError(EvalsuiteError):
    """Work that could not be finished; what was done is kept, and running again continues."""

    exit_code = INCOMPLETE


class DiskError(IncompleteError):
    """The disk is full or the results directory cannot be written."""


class PlaceError(DiskError):
    """A file where a directory is to be, or the other way round: the argument is wrong."""

    exit_code = USAGE


class InterruptedRun(EvalsuiteError):
    """Ctrl-C or SIGTERM; everything answered so far is on disk."""

    exit_code = INTERRUPTED


def nearest(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'MMStar'?)"`` if a known word is close to `word`, else an empty string."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f" (did you mean '{lowered[close[0]]}'?)" if close else ""
