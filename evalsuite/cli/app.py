"""The application, and what is printed outside of commands."""

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
    help="Evaluate SmolVLM and SmolVLM2 checkpoints with VLMEvalKit's prompts and metrics.\n\n"
    "First try:  evalsuite run --ckpt demo\n\n"
    "Exit codes: 0 success, 1 regression, 2 usage, 3 inconclusive, 4 incomplete, "
    "70 internal error, 130 interrupted.",
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
    """Handle options before a command."""
    if version:
        print(f"evalsuite {VERSION}")
        raise typer.Exit


def say(message: str, code: int) -> int:
    """Print one line on standard error; returns `code`."""
    from evalsuite.report.format import sentence, visible

    print(f"evalsuite: {visible(sentence(message))}", file=sys.stderr)
    return code


def note(line: str) -> None:
    """Print one line on standard error."""
    from evalsuite.report.format import visible

    print(f"evalsuite: {visible(line)}", file=sys.stderr)


@contextmanager
def printing() -> Iterator[None]:
    """Context for printing: a closed pipe is no error, a full disk is a `DiskError`."""
    try:
        yield
        if sys.stdout is not None:  # it was closed from the start
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich exits if the pipe is closed
        drop_output()
    except OSError as error:
        drop_output()
        raise DiskError(
            f"standard output cannot be written: {error.strerror}; fix it and run the same "
            "command again"
        ) from error


def drop_output() -> None:
    """Discard all further output, because its reader has gone."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
