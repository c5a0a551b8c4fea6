"""Options that several commands have, and how their texts are read."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evalsuite.errors import UsageError, nearest

ResultsDir = Annotated[
    Path, typer.Option("--output-dir", "--output-path", help="Where runs are kept.")
]
Suite = Annotated[
    str | None, typer.Option(help="A suite of benchmarks; 'evalsuite list suites' names them.")
]
Names = Annotated[
    str | None,
    typer.Option(
        "--benchmarks", "--tasks", "--data", "-b", help="Benchmarks, separated by commas."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Take data as it lies there, without any download (docs/reference/data.md)."),
]
AllowModified = Annotated[
    bool,
    typer.Option(
        "--allow-modified-data",
        help="Take data that is not what was published; the score gets a footnote.",
    ),
]
Available = Annotated[
    bool, typer.Option("--available", help="Leave out benchmarks whose data is missing.")
]
BenchmarksFile = Annotated[
    Path | None, typer.Option(help="Another benchmarks.yaml, which may extend ours.")
]
MaxNewTokens = Annotated[int | None, typer.Option(min=1, help="Token limit of every benchmark.")]
Dtype = Annotated[
    str, typer.Option(help="auto (bfloat16 on CUDA, else float32), float32, bfloat16, float16.")
]
Base = Annotated[
    str | None,
    typer.Option(metavar="PATH|HUB_ID", help="The model a LoRA adapter was trained on."),
]
Processor = Annotated[
    str | None, typer.Option(help="Where to find processor files a trainer left out.")
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Fetch missing data even if it is more than 5 GB.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...",
        help="Run directories, run.json files or checkpoint directories under the results; "
        "all runs there if none is named.",
    ),
]


def to(what: str, metavar: str | None = None) -> Any:
    """Make the option that says where something is written."""
    return typer.Option("-o", "--output", metavar=metavar, help=what)


Output = Annotated[Path | None, to("Write there instead of printing.")]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A YAML file with margin, cliff, cliffs, alpha, power, benchmarks "
        "(docs/reference/gate.md).",
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        help="What the mean may lose; if nobody says, what its benchmarks have in benchmarks.yaml "
        "on average (1).",
    ),
]
Cliff = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        help="What each benchmark may lose; if nobody says, its own in benchmarks.yaml (5).",
    ),
]
Alpha = Annotated[float | None, typer.Option(help="One-sided error rate; 0.05 if nobody says.")]
Power = Annotated[
    float | None,
    typer.Option(help="With which probability a drop is to be found; 0.8 if nobody says."),
]


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the options of a ``--config`` file the defaults of this command."""
    if path is None:
        return None
    from evalsuite.system.files import read_mapping

    options = read_mapping(path, f"--config {path}", "options like 'ckpt: path'")
    known = {
        flag.lstrip("-"): parameter
        for parameter in context.command.params
        for flag in parameter.opts
        if flag.startswith("--") and flag not in ("--config", "--help")
    }
    defaults: dict[str, Any] = {}
    for key, value in options.items():
        if value is None:  # a key with nothing behind it says nothing
            continue
        flag = str(key).replace("_", "-")
        if flag not in known:
            raise UsageError(f"--config {path}: unknown key '{key}'{nearest(flag, known)}")
        parameter = known[flag]
        if parameter.name in defaults:
            raise UsageError(f"--config {path}: '{key}' is said twice, in two spellings")
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
    """Read what is separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


Config = Annotated[
    Path | None,
    typer.Option(
        is_eager=True,
        callback=read_config,
        help="A YAML file with these options; the command line wins.",
    ),
]
