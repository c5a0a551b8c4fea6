"""Commands that run a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import app
from evalsuite.cli.options import (
    AllowModified,
    Available,
    Base,
    BenchmarksFile,
    Config,
    DataDir,
    Device,
    Dtype,
    MaxNewTokens,
    Names,
    Processor,
    ResultsDir,
    Suite,
    Yes,
    names,
    to,
    typed,
)
from evalsuite.errors import INCOMPLETE

PANEL = "Evaluate"


@app.command(rich_help_panel=PANEL)
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
        typer.Option("--set", metavar="BENCH.KEY=VALUE", help="Change frames or max_new_tokens."),
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
    processor: Processor = None,
    base: Base = None,
    name: Annotated[str | None, typer.Option(help="What to call the checkpoint.")] = None,
    output_dir: ResultsDir = Path("results"),
    data_dir: DataDir = None,
    allow_modified_data: AllowModified = False,
    benchmarks_file: BenchmarksFile = None,
    available: Available = False,
    yes: Yes = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget earlier predictions of these benchmarks.")
    ] = False,
    blind: Annotated[
        bool,
        typer.Option(
            "--blind",
            help="Keep images and frames from the checkpoint: what it scores without looking.",
        ),
    ] = False,
    noise: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Ask N samples again at batch size 1, to see what batching does to the scores; "
            "64 if nobody says, 0: none.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and stop.")
    ] = False,
    config: Config = None,  # noqa: ARG001 - read by its callback
) -> None:
    """Evaluate checkpoints; the same command again continues, or finds everything done."""
    from evalsuite.report.progress import runs
    from evalsuite.report.writers import terminal as text
    from evalsuite.runner.session import Request, run_all

    request = Request(
        checkpoints=tuple(ckpt or ()),
        command=typed(),
        suite=suite,
        benchmarks=names(benchmarks),
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
        blind=blind,
        noise=noise,
        dry_run=dry_run,
    )
    with runs.make() as shown:
        evaluated = run_all(request, shown)
    text.print_runs(evaluated.found)
    if not evaluated.complete:
        raise typer.Exit(INCOMPLETE)


@app.command(rich_help_panel=PANEL)
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
    from evalsuite.report.progress import runs
    from evalsuite.report.tables import verify as verified
    from evalsuite.runner import verify as both_roads
    from evalsuite.runner.session import Request

    request = Request(
        checkpoints=(ckpt,),
        command=typed(),
        base=base,
        suite=suite,
        benchmarks=names(benchmarks),
        limit=limit,
        dtype=dtype,
        device=device,
        max_new_tokens=max_new_tokens,
        data_dir=data_dir,
        allow_modified_data=allow_modified_data,
        benchmarks_file=benchmarks_file,
        available=available,
    )
    with runs.make() as shown:
        found = both_roads.verify(request, shown)
    verified.show(found)
    if not found.complete or (found.dtype == "float32" and not found.identical):
        raise typer.Exit(INCOMPLETE)


@app.command(rich_help_panel=PANEL)
def profile(
    ckpt: Annotated[str, typer.Option(help="A checkpoint, as for run.")],
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: Annotated[str, typer.Option(help="Batch sizes, separated by commas.")] = "1,64",
    image_size: Annotated[str, typer.Option(help="Of the images shown.")] = "1024x768",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of an answer, at most.")] = 16,
    processor: Processor = None,
    base: Base = None,
    output: Annotated[
        Path | None,
        to("Where profile.json and the plots go; default beside the checkpoint's runs.", "DIR"),
    ] = None,
    output_dir: ResultsDir = Path("results"),
) -> None:
    """Measure memory and throughput by batch size, and how far the hardware's floor is.

    One image a question, as in SmolVLM's paper. Nothing else should be running.
    """
    from evalsuite.report.tables import profile as profiled
    from evalsuite.runner import profile as profiling

    request = profiling.Request(
        checkpoint=ckpt,
        command=typed(),
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
