"""Evaluate one checkpoint on benchmarks: what is left to do, and doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalsuite.benchmarks import Benchmark
from evalsuite.checkpoint import Checkpoint
from evalsuite.data import data_digest
from evalsuite.errors import IncompleteError
from evalsuite.files import RunLock
from evalsuite.journal import answered, peek
from evalsuite.lora import require_peft
from evalsuite.results import Run
from evalsuite.runner.evaluation import Evaluation
from evalsuite.runner.options import Options
from evalsuite.runner.plan import Place, choose_scorable, place
from evalsuite.runner.progress import Planned, Progress
from evalsuite.runner.source import SampleSource
from evalsuite.runner.state import State, header, look
from evalsuite.vlmevalkit.kit import KitError


def evaluate(
    checkpoint: Checkpoint,
    benchmarks: Sequence[Benchmark],
    options: Options,
    source: SampleSource,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> Run | None:
    """Run `checkpoint` on `benchmarks`, whose data is located; continue what was begun before.

    Returns the run with all outcomes known so far, those of other benchmarks included; None for a
    dry run. Raises `UsageError` (the directory is in use, the checkpoint cannot be loaded),
    `IncompleteError` (the worker keeps dying, the disk is full) and `InterruptedRun`; whatever was
    answered before is on disk.
    """
    where = place(options.output, checkpoint, options.settings, options.limit)
    digests = {benchmark.name: data_digest(benchmark) for benchmark in benchmarks}
    state = look(where, benchmarks, digests, fresh=options.fresh)
    if state.complete:
        progress.planned(checkpoint, where.directory, state.standing)
        return state.previous
    if checkpoint.base_path is not None and options.mode != "eval":
        require_peft()
    if dry_run:
        left = _outlook(state, where, digests, options, source)
        progress.planned(checkpoint, where.directory, [*state.standing, *left])
        return None
    with RunLock(where.directory):
        # Whoever held the lock may have done some of it since.
        state = look(where, benchmarks, digests, fresh=options.fresh)
        with Evaluation(
            checkpoint, benchmarks, digests, options, source, progress, where, state
        ) as evaluation:
            return evaluation.work()


def _outlook(
    state: State,
    where: Place,
    digests: Mapping[str, str],
    options: Options,
    source: SampleSource,
) -> list[Planned]:
    """What a run would do, touching nothing. Raises `IncompleteError` for unreadable data."""
    plan = []
    for benchmark in state.todo:
        digest = digests[benchmark.name]
        try:
            chosen = choose_scorable(
                benchmark,
                source.outline(benchmark, digest),
                options.limit,
                all_parts=options.mode == "infer",
            ).asked
        except KitError as error:
            raise IncompleteError(f"{benchmark.name}: {error}") from error
        wanted = header(benchmark, digest)
        known = {} if options.fresh else peek(where.journal(benchmark.name), wanted)
        plan.append(Planned(benchmark, len(chosen), sum(answered(known, i) for i in chosen)))
    return plan
