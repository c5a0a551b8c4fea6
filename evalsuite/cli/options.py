"""Options that several commands share."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from evalsuite.errors import UsageError, check_known, nearest
from evalsuite.runner.config import OPTIONS, RunConfig

Command = Callable[..., None]


def option(name: str, panel: str | None = None) -> Any:
    """The command line option of one field of `RunConfig`."""
    known = OPTIONS[name]
    return typer.Option(
        *known.flags,
        help=known.help,
        metavar=known.metavar,
        min=known.minimum,
        rich_help_panel=panel,
    )


def with_run_options(*only: str, **defaults: str) -> Callable[[Command], Command]:
    """Give a command the options in `only`, or all, of a run, in place of a `RunConfig`.

    The command takes one parameter annotated with `RunConfig`. `defaults` replace those of the
    fields.
    """
    chosen = only or tuple(OPTIONS)

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        (taken,) = (p.name for p in signature.parameters.values() if p.annotation is RunConfig)

        def call(**given: Any) -> None:
            values = {name: given.pop(name) for name in chosen}
            command(**given, **{taken: RunConfig.read(values, typed())})

        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.name == taken:
                parameters += (_parameter(name, defaults.get(name)) for name in chosen)
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return call

    return decorate


def _parameter(name: str, default: str | None) -> inspect.Parameter:
    known = OPTIONS[name]
    several = known.kind is tuple
    given = list[str] if several and not known.separated else known.kind
    if given is tuple or get_args(known.kind):
        given = str  # of a Literal too: RunConfig reports a wrong word, as it does in Python
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default or (None if several else known.default),
        annotation=Annotated[
            given if known.kind is bool else given | None,  # typer: a flag cannot be None
            option(name, known.panel),
        ],
    )


ResultsDir = Annotated[Path, option("output_dir")]
Suite = Annotated[str | None, option("suite")]
Names = Annotated[str | None, option("benchmarks")]
DataDir = Annotated[Path | None, option("data_dir")]
BenchmarksFile = Annotated[Path | None, option("benchmarks_file")]
Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...",
        help="Runs: directories, run.json files, or names under the results directory "
        "\\[default: all runs there].",
    ),
]


def to(what: str, metavar: str | None = None) -> Any:
    """The option for the file or directory to write to."""
    return typer.Option("-o", "--output", metavar=metavar, help=what)


def formats(*known: str) -> Any:
    """The option ``--format`` with the `known` formats."""

    def check(value: str) -> str:
        check_known("--format", value, known)
        return value

    words = " or ".join([", ".join(known[:-1]), known[-1]]) if len(known) > 1 else known[0]
    return typer.Option("--format", callback=check, help=f"{words}.")


FORMATS = ("table", "markdown", "html", "csv", "json")
Format = Annotated[str, formats(*FORMATS)]
Output = Annotated[Path | None, to("Write to this file instead of printing.", "FILE")]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="YAML file with margin, cliff, cliffs, alpha, power, benchmarks "
        "(docs/reference/gate.md). Options take precedence.",
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        help="Allowed drop of the mean score, in points.",
        show_default="mean of the margins in benchmarks.yaml, 1 if not set",
    ),
]
Cliff = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        help="Allowed drop of each benchmark (max drop), in points.",
        show_default="its cliff in benchmarks.yaml, 5 if not set",
    ),
]
Alpha = Annotated[
    float | None, typer.Option(help="One-sided significance level.", show_default="0.05")
]
Power = Annotated[
    float | None,
    typer.Option(help="Target statistical power.", show_default="0.8"),
]


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the options of a ``--config`` file the defaults of this command."""
    if path is None:
        return None
    from evalsuite.system.yaml_config import read_mapping

    options = read_mapping(path, f"--config {path}", "options like 'ckpt: path'")
    known = {
        flag.lstrip("-"): parameter
        for parameter in context.command.params
        for flag in parameter.opts
        if flag.startswith("--") and flag not in ("--config", "--help")
    }
    defaults: dict[str, Any] = {}
    for key, value in options.items():
        if value is None:  # a key without a value
            continue
        key = "yes" if key is True else key  # YAML 1.1 reads the bare word as a boolean
        flag = str(key).replace("_", "-")
        if flag not in known:
            raise UsageError(f"--config {path}: unknown key '{key}'{nearest(flag, known)}")
        parameter = known[flag]
        if parameter.name in defaults:
            raise UsageError(f"--config {path}: duplicate option '{key}', in two spellings")
        if parameter.multiple:
            value = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        elif isinstance(value, list):
            value = ",".join(str(item) for item in value)
        defaults[str(parameter.name)] = value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def typed() -> str:
    """The command line, as run.json keeps it."""
    return shlex.join(["evalsuite", *sys.argv[1:]])


def names(text: str | None) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=read_config,
        help="YAML file with these options. The command line takes precedence.",
    ),
]
