"""The command line: arguments in, exit code out."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

# Importing a module adds its commands; this is their order in --help.
# isort: off
from evalsuite.cli import run, verify, profile, compare, gate, power, promote  # noqa: F401
from evalsuite.cli import listing, report, show, leaderboard, page  # noqa: F401
from evalsuite.cli import curve, plot, card, export  # noqa: F401
from evalsuite.cli import fetch, doctor, cache  # noqa: F401

# isort: on
from evalsuite.cli.app import app, drop_output, printing, say
from evalsuite.errors import GOOD, INCOMPLETE, INTERNAL, INTERRUPTED, USAGE, EvalsuiteError
from evalsuite.system.files import DISK_FULL


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    with _ended_by_signals():
        return _run(_dashed(sys.argv[1:] if arguments is None else arguments))


_ENDING = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU,
)  # fmt: skip
"""Ctrl-C, and what terminals and schedulers send before they kill a process."""


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End a command by signals as by Ctrl-C: within seconds, with all answers on disk.

    Further signals are ignored, so that nothing is left behind.
    """

    def interrupt(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    ignored = [number for number in _ENDING if signal.getsignal(number) == signal.SIG_IGN]  # nohup
    before = {
        number: signal.signal(number, interrupt) for number in _ENDING if number not in ignored
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(words: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(words, prog_name="evalsuite", standalone_mode=False)
        with printing():
            pass  # flushes buffered output, so that a full disk is noticed
    except EvalsuiteError as error:
        return say(str(error), error.exit_code)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # The reader of the output (a pager, head) has gone. Typer and rich then exit with 1,
            # which here means a regression.
            drop_output()
            return GOOD
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        # A full disk is reported where a file is written, so this is standard output.
        drop_output()
        return say("standard output cannot be written: the disk is full", INCOMPLETE)
    except Exception as error:
        # Typer does not export the class of its usage errors. Only they have this method.
        if not hasattr(error, "format_message"):
            raise
        return say(error.format_message(), USAGE)
    if code == INTERRUPTED:  # typer returns it for a KeyboardInterrupt
        return say("interrupted; run the same command again to continue", INTERRUPTED)
    return code if isinstance(code, int) else GOOD


def _dashed(words: list[str]) -> list[str]:
    """Accept ``--batch_size`` for ``--batch-size``: other harnesses use either."""
    dashed = []
    for word in words:
        flag, equals, value = word.partition("=")
        dashed.append((flag.replace("_", "-") if word.startswith("--") else flag) + equals + value)
    return dashed


def run_safely() -> int:
    """Run `main`. An internal error is one line, and its traceback goes to a file."""
    # Characters the terminal cannot show are escaped.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return main()
    except Exception:  # noqa: BLE001 - the process boundary
        import tempfile
        import traceback

        with tempfile.NamedTemporaryFile(
            "w", prefix="evalsuite-error-", suffix=".txt", delete=False
        ) as file:
            traceback.print_exc(file=file)
        return say(f"internal error, please report it with {file.name}", INTERNAL)
