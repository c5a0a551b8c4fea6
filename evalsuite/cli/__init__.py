"""Arguments in, calls, exit code out; nothing else lives here."""

from __future__ import annotations

import io
import signal
import sys

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

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # SIGTERM ends a run as Ctrl-C does: within seconds, with everything answered on disk.
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        return _run(_dashed(sys.argv[1:] if arguments is None else arguments))
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(words: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(words, prog_name="evalsuite", standalone_mode=False)
        with printing():
            pass  # what is buffered still: a full disk is to be noticed before the end
    except EvalsuiteError as error:
        return say(str(error), error.exit_code)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # The reader of our output (a pager, head) has gone, which is its right; to typer and
            # rich that is exit 1, which here means a regression.
            drop_output()
            return GOOD
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        # A file that is full is reported where it is written; this can only be our output.
        drop_output()
        return say("standard output cannot be written: the disk is full", INCOMPLETE)
    except Exception as error:
        # typer does not export the class of its usage errors; this method is theirs alone.
        if not hasattr(error, "format_message"):
            raise
        return say(error.format_message(), USAGE)
    if code == INTERRUPTED:  # typer's word for a KeyboardInterrupt, which it keeps to itself
        return say("interrupted; run the same command again to continue", INTERRUPTED)
    return code if isinstance(code, int) else GOOD


def _dashed(words: list[str]) -> list[str]:
    """``--batch_size`` as ``--batch-size``: both spellings are in use among harnesses."""
    dashed = []
    for word in words:
        flag, equals, value = word.partition("=")
        dashed.append((flag.replace("_", "-") if word.startswith("--") else flag) + equals + value)
    return dashed


def run_safely() -> int:
    """`main`, with an error of ours reported as such and its traceback kept in a file."""
    # A terminal that cannot show a letter shows its number.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return main()
    except Exception:  # noqa: BLE001 - the process boundary: whatever it was, it is ours
        import tempfile
        import traceback

        with tempfile.NamedTemporaryFile(
            "w", prefix="evalsuite-error-", suffix=".txt", delete=False
        ) as file:
            traceback.print_exc(file=file)
        return say(f"internal error, please report it with {file.name}", INTERNAL)
