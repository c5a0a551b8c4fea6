"""The Python interface: what the command line does, as functions."""

from __future__ import annotations

from pathlib import Path

from evalsuite.benchmarks.catalogue import EXACT, load
from evalsuite.comparison import comparison, policy
from evalsuite.comparison import gate as gating
from evalsuite.report import sides
from evalsuite.report.progress.runs import Silent
from evalsuite.runner.events import Progress
from evalsuite.runner.session import Request, run_all
from evalsuite.runs.find import find_one
from evalsuite.runs.records import Run


def run(
    ckpt: str | Path,
    *,
    suite: str | None = None,
    benchmarks: list[str] | None = None,
    limit: int | float | None = None,
    batch_size: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    workers: int | None = None,
    ray: str | None = None,
    mode: str = "all",
    settings: list[str] | None = None,
    max_new_tokens: int | None = None,
    longest_edge: int | None = None,
    prompts: str = "vlmevalkit",
    judge: str = EXACT,
    judge_base_url: str | None = None,
    processor: str | Path | None = None,
    base: str | Path | None = None,
    name: str | None = None,
    output_dir: str | Path = "results",
    data_dir: str | Path | None = None,
    allow_modified_data: bool = False,
    benchmarks_file: str | Path | None = None,
    available: bool = False,
    yes: bool = False,
    fresh: bool = False,
    blind: bool = False,
    noise: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Evaluate a checkpoint and return its run; what was done before is not done again.

    Arguments are those of ``evalsuite run``; `limit` is a number of samples (``50``) or a share
    (``0.1``), `settings` are ``BENCH.key=value``. Silent unless a `progress` is given.

    Raises `evalsuite.errors.UsageError` for wrong arguments, `IncompleteError` for missing data or
    a worker that keeps dying. A benchmark that failed is a `Failure` among ``run.outcomes``.
    """
    request = Request(
        checkpoints=(str(ckpt),),
        command="evalsuite.run()",
        suite=suite,
        benchmarks=tuple(benchmarks or ()),
        limit=None if limit is None else str(limit),
        batch_size="auto" if batch_size is None else str(batch_size),
        dtype=dtype,
        device=device,
        workers="auto" if workers is None else str(workers),
        ray=ray,
        mode=mode,
        settings=tuple(settings or ()),
        max_new_tokens=max_new_tokens,
        longest_edge=longest_edge,
        prompts=prompts,
        judge=judge,
        judge_base_url=judge_base_url,
        processor=None if processor is None else str(processor),
        base=None if base is None else str(base),
        name=name,
        output_dir=Path(output_dir),
        data_dir=None if data_dir is None else Path(data_dir),
        allow_modified_data=allow_modified_data,
        benchmarks_file=None if benchmarks_file is None else Path(benchmarks_file),
        available=available,
        yes=yes,
        fresh=fresh,
        blind=blind,
        noise=noise,
    )
    return run_all(request, progress or Silent()).runs[0]


def compare(
    baseline: str | Path,
    candidate: str | Path,
    *,
    benchmarks: list[str] | None = None,
    output_dir: str | Path = "results",
) -> comparison.Comparison:
    """Hold two runs against each other, sample by sample, as ``evalsuite compare`` does.

    Runs are named as there: a directory, a run.json, or a name under `output_dir`. Differences are
    candidate minus baseline, in points.

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
) -> gating.Gated:
    """Decide whether one run may take another's place, as ``evalsuite gate`` does.

    Runs are named as there; without a baseline the promoted one counts. `margin` and `cliff` are in
    points. The verdict is a word: pass, regression, inconclusive or incomplete.

    Raises `evalsuite.errors.UsageError` if there is no such run or the policy is wrong.
    """
    known = load(None if benchmarks_file is None else Path(benchmarks_file)).benchmarks
    allowed = policy.override(
        policy.read(None if policy_file is None else Path(policy_file), known),
        margin=margin,
        cliff=cliff,
        alpha=alpha,
        power=power,
        benchmarks=benchmarks or (),
    )
    results = Path(output_dir)
    against = sides.find(
        None if baseline is None else str(baseline),
        None if anchor is None else str(anchor),
        results,
    )
    found = find_one(str(candidate), results)
    return gating.gate(against.baseline, found, allowed, known, against.anchor)
