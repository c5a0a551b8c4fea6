"""The command line itself, before any command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from evalsuite.errors import DiskError
from evalsuite.system.environment import VERSION

MACHINE_PANEL = "Data and machine"

app = typer.Typer(
    name="evalsuite",
    help="Evaluate SmolVLM checkpoints under VLMEvalKit's own prompts and metrics.\n\n"
    "Try it:  evalsuite run --ckpt demo\n\n"
    "Exit codes: 0 good, 1 regression, 2 usage, 3 inconclusive, 4 incomplete, 70 internal error, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Handle what goes before a command."""
    if version:
        print(f"evalsuite {VERSION}")
        raise typer.Exit


def say(message: str, code: int) -> int:
    """Say one line on standard error; returns `code`."""
    from evalsuite.report.format import sentence, visible

    print(f"evalsuite: {visible(sentence(message))}", file=sys.stderr)
    return code


def note(line: str) -> None:
    """Print one line on standard error."""
    from evalsuite.report.format import visible

    print(f"evalsuite: {visible(line)}", file=sys.stderr)


@contextmanager
def printing() -> Iterator[None]:
    """Print within: that a reader has gone is no error, that a disk is full a `DiskError`."""
    try:
        yield
        if sys.stdout is not None:  # closed from the start
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich exits then
        drop_output()
    except OSError as error:
        drop_output()
        raise DiskError(
            f"standard output cannot be written: {error.strerror}; mend that and run the same "
            "command again"
        ) from error


def drop_output() -> None:
    """Send what is still to be printed nowhere: nobody reads it any more."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
