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
    REGRESSION,
    USAGE,
    DiskError,
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
    typer.Option(help="Take data as it lies there, without any download (docs/data.md)."),
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
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...",
        help="Run directories, run.json files or checkpoint directories under the results; "
        "all runs there if none is named.",
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A YAML file with margin, cliff, cliffs, alpha, power, benchmarks (docs/gate.md).",
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
    from evalsuite.files import read_mapping

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
        if parameter.multiple:
            value = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        elif isinstance(value, list):
            value = ",".join(str(item) for item in value)
        defaults[str(parameter.name)] = value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@app.command()
def run(
    ckpt: Annotated[
        list[str] | None,
        typer.Option(
            help="A checkpoint: a directory (a LoRA adapter's too), a Hub id, [bold]demo[/bold] or "
            "[bold]demo:early[/bold]. May be repeated, or be a pattern: 'sft/checkpoint-*'."
        ),
    ] = None,
    suite: Suite = None,
    benchmarks: Names = None,
    limit: Annotated[
        str | None,
        typer.Option(help="So many samples a benchmark (50), or that share of them (0.1)."),
    ] = None,
    batch_size: Annotated[
        str, typer.Option(help="Questions answered at a time; never changes a float32 answer.")
    ] = "auto",
    dtype: Dtype = "auto",
    device: Device = "auto",
    workers: Annotated[
        str, typer.Option(metavar="auto|N", help="Processes; auto: one a GPU, or one on the CPU.")
    ] = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="Workers on a Ray cluster, one a GPU, or --workers N on so many CPUs: the cluster "
            "this machine is in (auto), or the one whose head is HOST.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Predict only part I of N, beside others that do the rest (a Slurm array, "
            "say); --mode eval then scores all of them.",
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option(help="all; infer: predict only; eval: score what was predicted.")
    ] = "all",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="BENCH.KEY=VALUE", help="Change frames or max_new_tokens."
        ),
    ] = None,
    max_new_tokens: MaxNewTokens = None,
    longest_edge: Annotated[
        int | None, typer.Option(min=1, help="Resize images to this longest edge instead.")
    ] = None,
    prompts: Annotated[
        str,
        typer.Option(
            help="vlmevalkit: word for word what VLMEvalKit's own SmolVLM classes ask; native: the "
            "checkpoint's chat template, and the video format it was trained on."
        ),
    ] = "vlmevalkit",
    judge: Annotated[
        str,
        typer.Option(
            metavar="exact|MODEL",
            help="exact: rules alone; or a model that reads what rules cannot.",
        ),
    ] = "exact",
    judge_base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The judge's OpenAI-compatible endpoint; its key is read from "
            "$EVALSUITE_JUDGE_KEY or $OPENAI_API_KEY.",
        ),
    ] = None,
    processor: Annotated[
        str | None, typer.Option(help="Where to find processor files a trainer left out.")
    ] = None,
    base: Base = None,
    name: Annotated[str | None, typer.Option(help="What to call the checkpoint.")] = None,
    output_dir: ResultsDir = Path("results"),
    data_dir: DataDir = None,
    allow_modified_data: AllowModified = False,
    benchmarks_file: BenchmarksFile = None,
    available: Available = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Fetch missing data even if it is more than 5 GB.")
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
        benchmarks=_names(benchmarks),
        limit=limit,
        batch_size=batch_size,
        dtype=dtype,
        device=device,
        workers=workers,
        ray=ray,
        shard=shard,
        mode=mode,
        settings=tuple(set_ or ()),
        max_new_tokens=max_new_tokens,
        longest_edge=longest_edge,
        prompts=prompts,
        judge=judge,
        judge_base_url=judge_base_url,
        processor=processor,
        base=base,
        name=name,
        output_dir=output_dir,
        data_dir=data_dir,
        allow_modified_data=allow_modified_data,
        benchmarks_file=benchmarks_file,
        available=available,
        yes=yes,
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
    benchmarks_file: BenchmarksFile = None,
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


@app.command()
def compare(
    baseline: Annotated[
        str, typer.Argument(metavar="BASELINE", help="A run, as for report; of a group A1,A2,A3.")
    ],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="Another; of a group B1,B2,B3.")
    ],
    group: Annotated[
        bool,
        typer.Option(
            "--group",
            help="Each side is several training runs of one recipe, separated by commas: how much "
            "runs differ then counts too.",
        ),
    ] = False,
    benchmarks: Names = None,
    by_category: Annotated[
        bool, typer.Option("--by-category", help="Show each benchmark by category, too.")
    ] = False,
    samples: Annotated[
        int, typer.Option(metavar="N", min=0, help="Show N changed answers of each benchmark.")
    ] = 0,
    samples_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every changed answer there, as JSON lines."),
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="table, markdown, json or csv.")
    ] = "table",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write there instead of printing.")
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Show how a candidate differs from a baseline, sample by sample, and how sure that is.

    Differences are CANDIDATE minus BASELINE in points, on the samples both have, with 95 %
    intervals that mind shared images and p adjusted for the number of benchmarks
    (docs/statistics.md). Benchmarks with other prompts, data, metric or judge are not compared;
    exit code 4 if none can be.
    """
    from evalsuite.comparison import compare
    from evalsuite.report import compared, compared_plain, find

    compared.check_format(format_)
    if group and (samples or samples_file):
        raise UsageError("--samples is about two runs, not --group; name one run a side")
    ours, theirs = find.find_sides(baseline, candidate, output_dir, group=group)
    comparison = compare(ours, theirs, _names(benchmarks))
    if samples_file is not None:
        compared_plain.write_changed(comparison, samples_file)
    compared.write(
        comparison,
        format_,
        output,
        leading=compared.find_lead(comparison, output_dir),
        categories=by_category,
        samples=samples,
    )


@app.command()
def gate(
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="The run to be held against, named as for report; the promoted one if not given.",
        ),
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run that may take its place; or")
    ] = None,
    ckpt: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|HUB_ID",
            help="a checkpoint, which is first run as the baseline was: same benchmarks, prompts, "
            "limit, dtype and judge.",
        ),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="A fixed older run to be held against as well, as small losses add up; the worst "
            "verdict counts.",
        ),
    ] = None,
    policy: PolicyFile = None,
    margin: Margin = None,
    cliff: Cliff = None,
    alpha: Alpha = None,
    power: Power = None,
    benchmarks: Names = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdict there as JUnit XML.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append it there as markdown.")
    ] = None,
    github: Annotated[
        bool | None,
        typer.Option(
            "--github/--no-github",
            help="Append it to $GITHUB_STEP_SUMMARY and print ::error lines; on by itself where "
            "$GITHUB_ACTIONS is true.",
        ),
    ] = None,
    limit: Annotated[
        str | None, typer.Option(help="Of --ckpt: so many samples, not as many as the baseline.")
    ] = None,
    dtype: Dtype = "auto",
    device: Device = "auto",
    workers: Annotated[str, typer.Option(metavar="auto|N", help="As for run.")] = "auto",
    batch_size: Annotated[str, typer.Option(help="As for run.")] = "auto",
    processor: Annotated[
        str | None, typer.Option(help="Where to find processor files a trainer left out.")
    ] = None,
    base: Base = None,
    data_dir: DataDir = None,
    allow_modified_data: AllowModified = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Fetch missing data even if it is more than 5 GB.")
    ] = False,
    benchmarks_file: BenchmarksFile = None,
    output_dir: ResultsDir = Path("results"),
    config: Annotated[  # noqa: ARG001 - read by its callback
        Path | None,
        typer.Option(
            is_eager=True, callback=_read_config,
            help="A YAML file with these options; the command line wins.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Decide whether a candidate may take its baseline's place.

    Pass: the mean is shown to have dropped by less than its margin, and every benchmark by less
    than its cliff. Regression: a drop is real and larger than that. Inconclusive: neither.
    Incomplete: something cannot be compared, or failed samples would decide (docs/gate.md).

    Exit codes: 0 pass, 1 regression, 3 inconclusive, 4 incomplete; 2 wrong arguments.
    """
    from evalsuite import gating
    from evalsuite import policy as policies
    from evalsuite.benchmarks import load
    from evalsuite.report import gated, sides

    if (candidate is None) == (ckpt is None):
        raise UsageError(
            "which candidate? name a run with --candidate, or a checkpoint with --ckpt"
        )
    known = load(benchmarks_file).benchmarks
    allowed = policies.override(
        policies.read(policy, known), margin=margin, cliff=cliff, alpha=alpha, power=power,
        benchmarks=_names(benchmarks),
    )  # fmt: skip
    against = sides.find(baseline, anchor, output_dir)
    if ckpt is None:
        given = [("--limit", limit), ("--processor", processor), ("--base", base),
                 ("--data-dir", data_dir)]  # fmt: skip
        for flag, value in given:
            if value is not None:
                raise UsageError(f"{flag}: goes with --ckpt, which is run; a --candidate was run")
        found = sides.find_one(str(candidate), output_dir)
    else:
        from evalsuite import candidate as candidates
        from evalsuite.report import progress
        from evalsuite.session import Request

        request = Request(
            checkpoints=(ckpt,),
            command=shlex.join(["evalsuite", *sys.argv[1:]]),
            limit=limit,
            dtype=dtype,
            device=device,
            workers=workers,
            batch_size=batch_size,
            processor=processor,
            base=base,
            data_dir=data_dir,
            allow_modified_data=allow_modified_data,
            yes=yes,
            benchmarks_file=benchmarks_file,
            output_dir=output_dir,
        )
        with progress.make() as shown:
            found = candidates.run_like(against.baseline, request, shown, allowed.benchmarks)
    made = gating.gate(against.baseline, found, allowed, known, against.anchor)
    if github is None:
        github = os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        gated.show(made, github=github)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # Whoever read it has gone (rich exits then); the verdict stands.
        _drop_output()
    try:
        gated.write(made, junit=junit, summary=summary, github=github)
    except DiskError as error:
        if made.exit_code != REGRESSION:
            raise
        _say(str(error), error.exit_code)
    raise typer.Exit(made.exit_code)


@app.command()
def power(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Take the sizes of benchmarks from this run; or say"),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="BENCH=N[:IMAGES],…",
            help="how many questions a benchmark has, and about how many images if fewer.",
        ),
    ] = None,
    discordance: Annotated[
        str, typer.Option(metavar="SHARES", help="Shares of answers that differ by luck.")
    ] = "0.05,0.15,0.25",
    icc: Annotated[
        float,
        typer.Option(min=0, max=1, help="How differences about one image correlate."),
    ] = 0.1,
    policy: PolicyFile = None,
    margin: Margin = None,
    cliff: Cliff = None,
    alpha: Alpha = None,
    power: Power = None,
    benchmarks: Names = None,
    benchmarks_file: BenchmarksFile = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Say what a gate's policy can find and whom it lets pass, before any GPU is spent.

    For each share of answers that differ by luck: the smallest drop that would be found, the
    smallest margin and cliff that an equal checkpoint passes, the samples that takes, and how often
    it passes this policy; with a warning where that is rarely or never.
    """
    from evalsuite import policy as policies
    from evalsuite.benchmarks import load
    from evalsuite.report import planned, sides

    if (run is None) == (sizes is None):
        raise UsageError("sizes of what? name a run, or say --sizes BENCH=QUESTIONS")
    known = load(benchmarks_file).benchmarks
    allowed = policies.override(
        policies.read(policy, known), margin=margin, cliff=cliff, alpha=alpha, power=power,
        benchmarks=_names(benchmarks),
    )  # fmt: skip
    shares = planned.read_shares(discordance, "--discordance")
    found = (
        planned.read_sizes(str(sizes), list(known))
        if run is None
        else planned.sizes_of(sides.find_one(run, output_dir).run, allowed.benchmarks)
    )
    planned.show(found, allowed.terms(list(found), known), shares, icc)


@app.command()
def promote(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run, named as for report.")],
    anchor: Annotated[
        bool,
        typer.Option(
            "--anchor", help="Make it the anchor as well: the fixed run that gate minds besides."
        ),
    ] = False,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Make a run the baseline of 'evalsuite gate', in baseline.json among the results.

    Commit that file and the run, and everybody's gate holds candidates against the same.
    """
    from evalsuite.report import sides

    for line in sides.promote(sides.find_one(run, output_dir), output_dir, anchor=anchor):
        print(line)


@app.command()
def verify(
    ckpt: Annotated[str, typer.Option(help="A checkpoint, as for run.")],
    base: Base = None,
    suite: Suite = None,
    benchmarks: Names = None,
    limit: Annotated[str, typer.Option(help="So many samples a benchmark.")] = "50",
    dtype: Dtype = "auto",
    device: Device = "auto",
    max_new_tokens: MaxNewTokens = None,
    data_dir: DataDir = None,
    allow_modified_data: AllowModified = False,
    benchmarks_file: BenchmarksFile = None,
    available: Available = False,
) -> None:
    """Run VLMEvalKit's own SmolVLM class and loop beside ours, and compare answers and speed.

    Exit code 4 if answers differ in float32, where they must not, or one road has none.
    """
    from evalsuite import verify as both_roads
    from evalsuite.report import progress, verified
    from evalsuite.session import Request

    request = Request(
        checkpoints=(ckpt,),
        command=shlex.join(["evalsuite", *sys.argv[1:]]),
        base=base,
        suite=suite,
        benchmarks=_names(benchmarks),
        limit=limit,
        dtype=dtype,
        device=device,
        max_new_tokens=max_new_tokens,
        data_dir=data_dir,
        allow_modified_data=allow_modified_data,
        benchmarks_file=benchmarks_file,
        available=available,
    )
    with progress.make() as shown:
        found = both_roads.verify(request, shown)
    verified.show(found)
    if not found.complete or (found.dtype == "float32" and not found.identical):
        raise typer.Exit(INCOMPLETE)


@app.command()
def profile(
    ckpt: Annotated[str, typer.Option(help="A checkpoint, as for run.")],
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: Annotated[str, typer.Option(help="Batch sizes, separated by commas.")] = "1,64",
    image_size: Annotated[str, typer.Option(help="Of the images shown.")] = "1024x768",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of an answer, at most.")] = 16,
    processor: Annotated[
        str | None, typer.Option(help="Where to find processor files a trainer left out.")
    ] = None,
    base: Base = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Where profile.json and the plots go; default beside the checkpoint's runs.",
        ),
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Measure memory and throughput by batch size, and how far the hardware's floor is.

    One image a question, as in SmolVLM's paper. Nothing else should be running.
    """
    from evalsuite import profiling
    from evalsuite.report import profiled

    request = profiling.Request(
        checkpoint=ckpt,
        command=shlex.join(["evalsuite", *sys.argv[1:]]),
        processor=processor,
        base=base,
        device=device,
        dtype=dtype,
        batch_sizes=batch_size,
        image_size=image_size,
        new_tokens=max_new_tokens,
    )
    made = profiling.profile(request, lambda text: print(text, file=sys.stderr))
    profiled.show(made)
    for path in profiled.write(made, output or profiled.place(made, output_dir)):
        print(path)
    if not made.measured:
        raise typer.Exit(INCOMPLETE)


@app.command()
def fetch(
    suite: Suite = None,
    benchmarks: Names = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Load more than 5 GB without being asked.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash the tables that are there already once more.")
    ] = False,
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """Download benchmarks' data ahead of time; says how much and under which licence first.

    Interrupted, it continues where it was. What is there is never overwritten.
    """
    from evalsuite.report import fetching

    if not fetching.run(suite, _names(benchmarks), benchmarks_file, yes=yes, verify=verify):
        raise typer.Exit(INCOMPLETE)


@app.command()
def doctor(
    suite: Suite = None,
    benchmarks: Names = None,
    data_dir: DataDir = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every table, however large.")
    ] = False,
    output_dir: ResultsDir = Path("results"),
    benchmarks_file: BenchmarksFile = None,
) -> None:
    """Say for every benchmark whether its data is there, and how this machine is equipped.

    Exit code 4 unless the data of all that were asked for is ready.
    """
    from evalsuite.report import doctor

    ready = doctor.show(
        suite, _names(benchmarks), data_dir, output_dir, benchmarks_file, verify=verify
    )
    if not ready:
        raise typer.Exit(INCOMPLETE)


@app.command()
def cache(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KIND]...", help="images, frames, data, judge or digests; or all."),
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Drop these kinds, but for what is in use.")
    ] = False,
    limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Drop images and frames until they take 50GB, say."),
    ] = None,
) -> None:
    """Show what is kept because it can be computed again; empty it, or make it smaller."""
    from evalsuite.report import cached

    cached.show(kinds or [], limit, empty=empty)


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
    except EvalsuiteError as error:
        return _say(str(error), error.exit_code)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # The reader of our output (a pager, head) has gone, which is its right; to typer and
            # rich that is exit 1, which here means a regression.
            _drop_output()
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


def _drop_output() -> None:
    """Send what is still to be printed nowhere: nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
