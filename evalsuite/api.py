"""The Python interface: what the command line does, as functions."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsuite.benchmarks.catalogue import load
from evalsuite.comparison import comparison, policy
from evalsuite.comparison import gate as gating
from evalsuite.errors import UsageError
from evalsuite.runner.config import OPTIONS, RunConfig
from evalsuite.runner.events import OnEvent, ignore
from evalsuite.runner.session import run_all
from evalsuite.runs.baseline import find_baseline
from evalsuite.runs.find import find, find_one
from evalsuite.runs.records import Run

if TYPE_CHECKING:
    import pandas as pd


def run(ckpt: str | Path, *, on_event: OnEvent = ignore, **options: Any) -> Run:
    """Evaluate a checkpoint and return its run. Finished work is not repeated.

    `options` are those of ``evalsuite run``, named as in a ``--config`` file: ``limit=50``,
    ``benchmarks=["DemoOCR"]``, ``set=["Video-MME.frames=8"]``. `evalsuite.runner.config` lists
    them. Nothing is printed unless `on_event` prints it.

    Raises `evalsuite.errors.UsageError` for wrong options, `IncompleteError` for missing data or
    workers that keep crashing. A benchmark that failed is a `Failure` in ``run.outcomes``.
    """
    config = RunConfig.read({"ckpt": str(ckpt), **options}, command="evalsuite.run()")
    if config.dry_run:
        raise UsageError("dry_run: evalsuite.run() returns a run; use 'evalsuite run --dry-run'")
    return run_all(config, on_event).runs[0]


def _signature() -> inspect.Signature:
    """The signature of `run` with its options by name, for help() and editors."""
    first, on_event, _ = inspect.signature(run).parameters.values()
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option.default)
        for name, option in OPTIONS.items()
        if name not in ("ckpt", "dry_run")
    ]
    return inspect.Signature([first, *options, on_event], return_annotation="Run")


run.__signature__ = _signature()  # type: ignore[attr-defined]


def compare(
    baseline: str | Path,
    candidate: str | Path,
    *,
    benchmarks: list[str] | None = None,
    output_dir: str | Path = "results",
) -> comparison.Comparison:
    """Compare two runs sample by sample, as ``evalsuite compare`` does.

    A run is a directory, a run.json, or a name under `output_dir`. Differences are candidate minus
    baseline, in points.

    Raises `evalsuite.errors.UsageError` if there is no such run, `IncompleteError` if no benchmark
    can be compared.
    """
    ours, theirs = (find_one(str(name), Path(output_dir)) for name in (baseline, candidate))
    return comparison.compare([ours], [theirs], benchmarks or ())


def gate(
    baseline: str | Path | None,
    candidate: str | Path,
    *,
    anchor: str | Path | None = None,
    policy_file: str | Path | None = None,
    margin: float | None = None,
    cliff: float | None = None,
    alpha: float | None = None,
    power: float | None = None,
    benchmarks: list[str] | None = None,
    benchmarks_file: str | Path | None = None,
    output_dir: str | Path = "results",
    partial: bool = False,
) -> gating.GateResult:
    """Decide whether a candidate may replace its baseline, as ``evalsuite gate`` does.

    A run is a directory, a run.json, or a name under `output_dir`; `baseline` None is the promoted
    baseline. `margin` and `cliff` are allowed drops in points. `partial` accepts a comparison of
    the samples that both runs have, if one run has others. The verdict is ``pass``,
    ``regression``, ``inconclusive`` or ``incomplete``.

    Raises `evalsuite.errors.UsageError` if there is no such run or the policy is wrong.
    """
    known = load(None if benchmarks_file is None else Path(benchmarks_file)).benchmarks
    allowed = policy.load(
        None if policy_file is None else Path(policy_file),
        known,
        margin=margin,
        cliff=cliff,
        alpha=alpha,
        power=power,
        benchmarks=benchmarks or (),
    )
    results = Path(output_dir)
    against = find_baseline(
        None if baseline is None else str(baseline),
        None if anchor is None else str(anchor),
        results,
    )
    found = find_one(str(candidate), results)
    return gating.gate(against.baseline, found, allowed, known, against.anchor, partial=partial)


def to_dataframe(*runs: str | Path, output_dir: str | Path = "results") -> pd.DataFrame:
    """Return the results of `runs`, or of all runs under `output_dir`, as a pandas data frame.

    It has a row for each run and benchmark and the columns of ``evalsuite report --format csv``
    (docs/reference/reports.md). Scores and standard errors are in points.

    Raises `evalsuite.errors.UsageError` if there is no such run, or pandas is not installed.
    """
    from evalsuite.report.model.columns import RESULT, results
    from evalsuite.report.model.select import tables
    from evalsuite.report.writers.csv import to_dataframe
    from evalsuite.system.packages import require

    require("pandas", "evalsuite.to_dataframe()")
    found = find([str(run) for run in runs], Path(output_dir))
    return to_dataframe(list(RESULT.values()), results(tables(found)))
