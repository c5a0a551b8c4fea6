"""Evaluate checkpoints on benchmarks: find what is left to do, and do it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping, Sequence

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.data.digest import data_digest
from evalsuite.checkpoint.adapter import require_peft
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import IncompleteError
from evalsuite.runner.events import BenchmarkPlan, OnEvent, RunPlanned
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.runner.loop import Evaluation
from evalsuite.runner.plan import choose_scorable
from evalsuite.runner.prompting import PromptBuilder, count_answered
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run_record import Assignment, State, header, look
from evalsuite.runner.scoring import conditions_of
from evalsuite.runner.workers.pool import StartWorker
from evalsuite.runner.workers.worker import Worker
from evalsuite.runs.comparable import Conditions
from evalsuite.runs.journal import answered, answers_to_prompts, peek
from evalsuite.runs.layout import RunPaths, run_paths
from evalsuite.runs.records import Run
from evalsuite.system.locks import run_lock
from evalsuite.vlmevalkit.client import KitError


def evaluate_all(
    checkpoints: Sequence[Checkpoint],
    benchmarks: Sequence[Benchmark],
    options: ResolvedConfig,
    source: SampleSource,
    emit: OnEvent,
    *,
    start_worker: StartWorker = Worker,
) -> list[Run]:
    """Run `checkpoints` on `benchmarks`, whose data is located. Earlier work is continued.

    Workers are started by `start_worker`, or on the Ray cluster of `options`.
    Returns a run for each checkpoint with all outcomes so far, also those of other benchmarks; no
    runs for a dry run. Raises `UsageError` (a directory is in use, a checkpoint cannot be loaded),
    `IncompleteError` (workers keep crashing, the disk is full) and `InterruptedRun`. Predictions
    made before the error are on disk.
    """
    places = [
        run_paths(
            options.config.output_dir, checkpoint, options.settings, options.limit, options.shard
        )
        for checkpoint in checkpoints
    ]
    # The same weights under two names are one run.
    named = dict(zip(places, checkpoints, strict=True))
    conditions = {b.name: conditions_of(b, data_digest(b), options.settings) for b in benchmarks}
    look_at = functools.partial(
        look,
        benchmarks=benchmarks,
        conditions=conditions,
        fresh=options.config.fresh,
        noise=options.reruns_required,
    )
    runs: dict[RunPaths, Run] = {}
    todo: list[Assignment] = []
    with contextlib.ExitStack() as locks:
        for where, checkpoint in named.items():
            state = look_at(where)
            if state.complete:
                emit(RunPlanned("", checkpoint, where.directory, state.standing))
                if state.previous is not None and not options.config.dry_run:
                    runs[where] = state.previous
                continue
            if checkpoint.base_path is not None and options.config.mode != "eval":
                require_peft()
            if options.config.dry_run:
                prompts = PromptBuilder.of(checkpoint, options.config)
                left = _dry_run(state, where, conditions, options, source, prompts)
                emit(RunPlanned("", checkpoint, where.directory, [*state.standing, *left]))
                continue
            locks.enter_context(run_lock(where.directory, where.part))
            # The previous owner of the lock may have done some of the work.
            state = look_at(where)
            todo.append(Assignment(checkpoint, benchmarks, conditions, where, state))
        if todo:
            with Evaluation(todo, options, source, emit, start_worker) as evaluation:
                done = evaluation.work()
            runs.update((given.where, run) for given, run in zip(todo, done, strict=True))
    return [runs[where] for where in places if where in runs]


def _dry_run(
    state: State,
    where: RunPaths,
    conditions: Mapping[str, Conditions],
    options: ResolvedConfig,
    source: SampleSource,
    prompts: PromptBuilder,
) -> list[BenchmarkPlan]:
    """What a run would do. Writes nothing. Raises `IncompleteError` for unreadable data."""
    plan = []
    for benchmark in state.todo:
        digest = conditions[benchmark.name].data_digest
        place = where.journal(benchmark.name), header(benchmark, conditions[benchmark.name])
        try:
            chosen = choose_scorable(benchmark, source.outline(benchmark, digest), options).asked
            known = {} if options.config.fresh else peek(*place)
            left = [id_ for id_ in chosen if not answered(known, id_)]
            done = len(chosen) - len(left)
            earlier = {} if options.config.fresh else answers_to_prompts(*place)
            if left and earlier:
                built = source.samples(benchmark, digest, left)
                done += count_answered(built, benchmark, prompts, earlier)
        except KitError as error:
            raise IncompleteError(f"{benchmark.name}: {error}") from error
        plan.append(BenchmarkPlan(benchmark, len(chosen), done))
    return plan
