"""Arguments in, calls, exit code out; nothing else lives here."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evalsuite.errors import (
    GOOD,
    INCOMPLETE,
    INTERNAL,
    INTERRUPTED,
    USAGE,
    EvalsuiteError,
    UsageError,
    nearest,
)
from evalsuite.version import VERSION

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

ResultsDir = Annotated[
    Path, typer.Option("--output-dir", "--output-path", help="Where runs are kept.")
]
Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...",
        help="Run directories, run.json files or checkpoint directories under the results; "
        "all runs there if none is named.",
    ),
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Handle what goes before a command."""
    if version:
        print(f"evalsuite {VERSION}")
        raise typer.Exit


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make the options of a ``--config`` file the defaults of this command."""
    if path is None:
        return None
    import yaml

    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UsageError(f"--config {path}: is not valid YAML") from None
    if not isinstance(options, dict):
        raise UsageError(f"--config {path}: expected options like 'ckpt: path', one a line")
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
        if parameter.multiple:
            value = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        elif isinstance(value, list):
            value = ",".join(str(item) for item in value)
        defaults[str(parameter.name)] = value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


@app.command()
def run(
    ckpt: Annotated[
        list[str] | None,
        typer.Option(
            help="A checkpoint: a directory, a Hub id, [bold]demo[/bold] or "
            "[bold]demo:early[/bold]. May be repeated."
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="A suite of benchmarks; for the demo checkpoints it is demo."),
    ] = None,
    benchmarks: Annotated[
        str | None,
        typer.Option(
            "--benchmarks", "--tasks", "--data", "-b", help="Benchmarks, separated by commas."
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(help="So many samples a benchmark (50), or that share of them (0.1)."),
    ] = None,
    batch_size: Annotated[
        str, typer.Option(help="Questions answered at a time; never changes a float32 answer.")
    ] = "auto",
    dtype: Annotated[
        str,
        typer.Option(help="auto (bfloat16 on CUDA, else float32), float32, bfloat16, float16."),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    mode: Annotated[
        str, typer.Option(help="all; infer: predict only; eval: score what was predicted.")
    ] = "all",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="BENCH.KEY=VALUE", help="Change frames, max_new_tokens or margin."
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Token limit of every benchmark.")
    ] = None,
    longest_edge: Annotated[
        int | None, typer.Option(min=1, help="Resize images to this longest edge instead.")
    ] = None,
    processor: Annotated[
        str | None, typer.Option(help="Where to find processor files a trainer left out.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the checkpoint.")] = None,
    output_dir: ResultsDir = Path("results"),
    data_dir: Annotated[
        Path | None, typer.Option(help="Where benchmark data lies; default $LMUData.")
    ] = None,
    benchmarks_file: Annotated[
        Path | None, typer.Option(help="Another benchmarks.yaml, which may extend ours.")
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Leave out benchmarks whose data is missing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget earlier predictions of these benchmarks.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and stop.")
    ] = False,
    config: Annotated[  # noqa: ARG001 - read by its callback
        Path | None,
        typer.Option(
            is_eager=True, callback=_read_config,
            help="A YAML file with these options; the command line wins.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Evaluate checkpoints; the same command again continues, or finds everything done."""
    from evalsuite.report import progress, text
    from evalsuite.session import Request, run_all

    request = Request(
        checkpoints=tuple(ckpt or ()),
        command=shlex.join(["evalsuite", *sys.argv[1:]]),
        suite=suite,
        benchmarks=tuple(b.strip() for b in (benchmarks or "").split(",") if b.strip()),
        limit=limit,
        batch_size=batch_size,
        dtype=dtype,
        device=device,
        mode=mode,
        settings=tuple(set_ or ()),
        max_new_tokens=max_new_tokens,
        longest_edge=longest_edge,
        processor=processor,
        name=name,
        output_dir=output_dir,
        data_dir=data_dir,
        benchmarks_file=benchmarks_file,
        available=available,
        fresh=fresh,
        dry_run=dry_run,
    )
    with progress.make() as shown:
        evaluated = run_all(request, shown)
    text.print_runs(evaluated.runs)
    if not evaluated.complete:
        raise typer.Exit(INCOMPLETE)


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="benchmarks, suites or runs.")] = "benchmarks",
    output_dir: ResultsDir = Path("results"),
    benchmarks_file: Annotated[Path | None, typer.Option(help="Another benchmarks.yaml.")] = None,
) -> None:
    """Name the benchmarks, suites or runs there are."""
    from evalsuite.report import catalogue

    catalogue.show(what, output_dir, benchmarks_file)


@app.command()
def report(
    runs: Runs = None,
    format_: Annotated[str, typer.Option("--format", help="table, markdown or json.")] = "table",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write there instead of printing.")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show scores of one run, or of several side by side."""
    from evalsuite.report import find, render

    render.write(find.find_runs(runs or [], output_dir), format_, output)


@app.command()
def leaderboard(
    runs: Runs = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The markdown file; default LEADERBOARD.md there."),
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Write a markdown leaderboard of complete runs."""
    from evalsuite.report import find, leaderboard

    path = output or output_dir / "LEADERBOARD.md"
    leaderboard.write(find.find_runs(runs or [], output_dir), path)
    print(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # SIGTERM ends a run as Ctrl-C does: within seconds, with everything answered on disk.
    signal.signal(signal.SIGTERM, interrupt)
    command = typer.main.get_command(app)
    words = _dashed(sys.argv[1:] if arguments is None else arguments)
    try:
        code = command.main(words, prog_name="evalsuite", standalone_mode=False)
    except EvalsuiteError as error:
        return _say(str(error), error.exit_code)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # The reader of our output (a pager, head) has gone, which is its right; to typer and
            # rich that is exit 1, which here means a regression.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return GOOD
        raise
    except Exception as error:
        # typer does not export the class of its usage errors; this method is theirs alone.
        if not hasattr(error, "format_message"):
            raise
        return _say(error.format_message(), USAGE)
    if code == INTERRUPTED:  # typer's word for a KeyboardInterrupt, which it keeps to itself
        return _say("interrupted; run the same command again to continue", INTERRUPTED)
    return code if isinstance(code, int) else GOOD


def _dashed(words: list[str]) -> list[str]:
    """``--batch_size`` as ``--batch-size``: both spellings are in use among harnesses."""
    dashed = []
    for word in words:
        flag, equals, value = word.partition("=")
        dashed.append((flag.replace("_", "-") if word.startswith("--") else flag) + equals + value)
    return dashed


def _say(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"evalsuite: {line}", file=sys.stderr)
    return code


def run_safely() -> int:
    """`main`, with an error of ours reported as such and its traceback kept in a file."""
    try:
        return main()
    except Exception:  # noqa: BLE001 - the process boundary: whatever it was, it is ours
        import tempfile
        import traceback

        with tempfile.NamedTemporaryFile(
            "w", prefix="evalsuite-error-", suffix=".txt", delete=False
        ) as file:
            traceback.print_exc(file=file)
        return _say(f"internal error, please report it with {file.name}", INTERNAL)
