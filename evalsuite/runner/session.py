"""Run checkpoints on benchmarks: check all inputs, then evaluate."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.benchmarks import catalogue
from evalsuite.benchmarks.benchmark import JUDGED_METRICS, Benchmark
from evalsuite.benchmarks.catalogue import Catalogue
from evalsuite.benchmarks.data import cache
from evalsuite.benchmarks.data.fetch import ensure_data
from evalsuite.benchmarks.data.search_paths import check_data_dir
from evalsuite.checkpoint import checkpoint as checkpoints
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.checkpoint.locate import DEMOS, expand
from evalsuite.checkpoint.processor import START
from evalsuite.errors import UsageError, nearest
from evalsuite.runner.config import RunConfig
from evalsuite.runner.events import Note, OnEvent
from evalsuite.runner.kit_requests import SampleSource
from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run import evaluate_all
from evalsuite.runner.workers import ray_client
from evalsuite.runner.workers.ray_nodes import uses_gpu
from evalsuite.runs.comparable import EXACT, JudgeId
from evalsuite.runs.layout import RunPaths, read_limit, read_shard, run_paths
from evalsuite.runs.records import FoundRun, Run, Score
from evalsuite.system import devices
from evalsuite.system.hashing import cache_directory
from evalsuite.system.locks import other_rank
from evalsuite.system.packages import require_run
from evalsuite.system.scratch import scratch_directory
from evalsuite.system.text import counted
from evalsuite.vlmevalkit.client import Kit
from evalsuite.vlmevalkit.judge import read_settings


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The runs of a command."""

    found: list[FoundRun]
    benchmarks: frozenset[str]
    """Names of the requested benchmarks. A run may also have outcomes of others."""
    max_failed: float = 1
    """Percentage of failed samples up to which a score is accepted."""
    unread: tuple[str, ...] = ()
    """Why directories that match a pattern are not evaluated."""

    @property
    def runs(self) -> list[Run]:
        """The runs without their paths."""
        return [item.run for item in self.found]

    @property
    def complete(self) -> bool:
        """Whether all requested scores exist and rest on few failed samples."""
        failures = (f.benchmark for run in self.runs for f in run.failures)
        return not self.unread and not self.doubtful and self.benchmarks.isdisjoint(failures)

    @property
    def doubtful(self) -> list[tuple[Run, Score]]:
        """The requested scores with more failed samples than accepted, and their runs."""
        return [
            (run, score)
            for run in self.runs
            for score in run.scores
            if score.benchmark in self.benchmarks
            and 100 * score.counts.failed > self.max_failed * score.n
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A configuration with all its inputs found and checked."""

    checkpoints: list[Checkpoint]
    unread: tuple[str, ...]
    """Why other directories that match a pattern are not evaluated."""
    benchmarks: list[Benchmark]
    """With ``data`` located, and with the judge where the metric uses one."""
    options: ResolvedConfig
    judge: JudgeId | None

    def paths(self, checkpoint: Checkpoint) -> RunPaths:
        """Where the run of `checkpoint` is on disk."""
        options = self.options
        return run_paths(options.config.output_dir, checkpoint, options.settings, options.limit)


def run_all(config: RunConfig, emit: OnEvent) -> Evaluated:
    """Evaluate every checkpoint of `config`; a dry run returns no runs.

    All inputs are checked before anything is written. Raises `UsageError` for wrong options,
    `IncompleteError` for missing data, and the errors of `evaluate_all`.
    """
    max_failed = read_max_failed(config.max_failed)
    prepared = prepare(config, emit)
    runs = evaluate_prepared(prepared, emit)
    places = [] if config.dry_run else map(prepared.paths, prepared.checkpoints)
    found = [FoundRun(at.run_json, run) for at, run in zip(places, runs, strict=True)]
    names = frozenset(benchmark.name for benchmark in prepared.benchmarks)
    for why in prepared.unread:  # again, below the other checkpoints' progress
        emit(Note(f"not evaluated: {why}"))
    evaluated = Evaluated(found, names, max_failed, prepared.unread)
    for run, score in evaluated.doubtful:
        emit(Note(_why_doubtful(run, score, config.max_failed)))
    return evaluated


def read_max_failed(text: str) -> float:
    """Parse ``--max-failed``: ``1%`` or ``0.5``, a percentage. Raises `UsageError`."""
    if re.fullmatch(r"\d{1,3}(\.\d+)?%?", text) and (share := float(text.rstrip("%"))) <= 100:
        return share
    raise UsageError(f"--max-failed {text}: expected a percentage from 0 to 100, like 1%")


def _why_doubtful(run: Run, score: Score, limit: str) -> str:
    failed, share = score.counts.failed, 100 * score.counts.failed / score.n
    samples = f"{failed} of {counted(score.n, 'sample')}"
    return (
        f"{run.checkpoint.name}: {score.benchmark}: {samples} failed and counted as wrong: "
        f"{share:.2g}%, more than --max-failed {limit.rstrip('%')}% "
        f"({score.failure_reasons[0]}); fix it and run again"
    )


def prepare(config: RunConfig, emit: OnEvent) -> Prepared:
    """Find and check all inputs of `config`. Raises `UsageError`, `IncompleteError`."""
    require_run()
    if config.shard is None and (rank := other_rank()) is not None:
        raise UsageError(
            f"this is process {rank} of a launcher such as torchrun (RANK and WORLD_SIZE are set): "
            "each would evaluate the same. Start evalsuite once, as it uses all devices itself; or "
            "give each process its --shard; or unset RANK"
        )
    options = _resolve(config, emit)
    judge = _judge(config)
    known = catalogue.load(config.benchmarks_file)
    # Benchmark names are checked before a checkpoint is downloaded. The default depends on it.
    named = known.named(config.suite, config.benchmarks)
    read, unread = _read_checkpoints(config)
    for why in unread:
        emit(Note(f"not evaluated: {why}"))
    check_data_dir(config.data_dir)
    chosen = _overridden(named or _default(known, config), config)
    cache.limit_bytes()  # raises if the limit is not a size
    stored = [run_paths(config.output_dir, c, options.settings, options.limit) for c in read]
    if not config.dry_run and not all(place.run_json.exists() for place in stored):
        # Finished runs can be on a read-only disk.
        _check_writable(config.output_dir, "--output-dir", "choose another")
    elif any(place.is_file() for place in (config.output_dir, *config.output_dir.parents)):
        raise UsageError(
            f"--output-dir {config.output_dir}: is a file or in a file; choose another"
        )
    _check_cache(cache_directory())
    ready = ensure_data(
        chosen,
        config.data_dir,
        allow_modified=config.allow_modified_data,
        available=config.available,
        fetching=not config.dry_run,
        yes=config.yes,
        note=lambda text: emit(Note(text)),
        on_step=emit,
    )
    return Prepared(
        checkpoints=read,
        unread=unread,
        benchmarks=[_judged(benchmark, judge) for benchmark in ready],
        options=options,
        judge=judge,
    )


def evaluate_prepared(prepared: Prepared, emit: OnEvent, *, media: Path | None = None) -> list[Run]:
    """Evaluate; images and frames are written to `media`, or to the cache."""
    options = prepared.options
    with scratch_directory() as scratch, cache.session():
        # A dry run writes nothing to the results.
        log = (scratch if options.config.dry_run else options.config.output_dir) / "kit.log"
        with Kit(
            work=scratch,
            media=media or cache_directory() / "media",
            log=log,
            lossless=options.config.prompts == "native",
            judge=prepared.judge,
        ) as kit:
            return evaluate_all(
                prepared.checkpoints, prepared.benchmarks, options, SampleSource(kit), emit
            )


def _resolve(config: RunConfig, emit: OnEvent) -> ResolvedConfig:
    chosen, threads, dtype = _devices(config, emit)
    shard = read_shard(config.shard)
    if shard is not None and config.mode == "eval":
        raise UsageError("--shard: a shard is not scored on its own; omit it with --mode eval")
    return ResolvedConfig(
        config=config,
        devices=chosen,
        dtype=dtype,
        resampling=devices.resampling(),
        limit=read_limit(config.limit),
        shard=shard,
        batch_size=devices.read_count(
            "--batch-size", config.batch_size, "a number of samples like 16"
        ),
        threads=threads,
    )


def _devices(config: RunConfig, emit: OnEvent) -> tuple[tuple[str, ...], int | None, str]:
    if config.ray is None:
        first, dtype = devices.resolve(config.device, config.dtype)
        chosen = devices.spread(config.device, first, config.workers)
        return chosen, devices.share_of_threads(len(chosen)), dtype
    devices.check(config.device, config.dtype)
    if config.shard is not None:
        raise UsageError(
            "--shard and --ray exclude each other: a cluster has one queue; omit one of them"
        )
    chosen, notes = ray_client.survey(config.ray, config.device, config.workers)
    for note in notes:
        emit(Note(note))
    # A CPU worker of the cluster has one CPU. Threads of a GPU worker depend on its machine.
    threads = None if uses_gpu(chosen[0]) else 1
    return chosen, threads, devices.dtype_for(chosen[0], config.dtype)


def _check_prompts(checkpoint: Checkpoint, prompts: str) -> None:
    """Raise `UsageError` if no prompt of the style `prompts` can be made for `checkpoint`."""
    if prompts != "native":
        if not checkpoint.has_start_token:
            raise UsageError(
                f"{checkpoint.source}: the tokenizer has no {START}, with which VLMEvalKit's "
                "prompts for SmolVLM begin; use --prompts native (VLMEvalKit asks "
                "Idefics3-8B-Llama3 with another class, which is not supported)"
            )
        return
    from evalsuite.smolvlm import chat_template  # only --prompts native needs it

    chat_template.check(checkpoint.chat_template, str(checkpoint.processor_path))


def _judge(config: RunConfig) -> JudgeId | None:
    if config.judge != EXACT:
        return read_settings(config.judge, config.judge_base_url)
    if config.judge_base_url is not None:
        raise UsageError("--judge-base-url: requires --judge MODEL")
    return None


def _judged(benchmark: Benchmark, judge: JudgeId | None) -> Benchmark:
    if judge is None or benchmark.metric not in JUDGED_METRICS:
        return benchmark
    return dataclasses.replace(benchmark, judge=judge)


def _default(known: Catalogue, config: RunConfig) -> list[Benchmark]:
    wanted = "demo" if set(config.ckpt) <= set(DEMOS) else "paper"
    if wanted in known.suites:
        return known.suite(wanted)
    raise UsageError(
        "no benchmarks: name some with --benchmarks, or a suite with --suite "
        f"({known.path.name} has: {', '.join(known.suites)})"
    )


def _overridden(chosen: Sequence[Benchmark], config: RunConfig) -> list[Benchmark]:
    if config.max_new_tokens is not None:
        every = [f"{b.name}.max_new_tokens={config.max_new_tokens}" for b in chosen]
        chosen = catalogue.override(chosen, every)
    return catalogue.override(chosen, config.set)


def _read_checkpoints(config: RunConfig) -> tuple[list[Checkpoint], tuple[str, ...]]:
    """Read the checkpoints; also returns why some directories of a pattern cannot be read."""
    if not config.ckpt:
        raise UsageError("no checkpoint: name one with --ckpt (for a first try: --ckpt demo)")
    sources = dict.fromkeys(found for given in config.ckpt for found in expand(given))
    if config.name is not None and len(sources) > 1:
        raise UsageError("--name: names one checkpoint, but --ckpt gives several")
    found, unread = [], []
    for source in sources:
        try:
            checkpoint = checkpoints.read(
                source, processor=config.processor, base=config.base, name=config.name
            )
            _check_prompts(checkpoint, config.prompts)
            found.append(checkpoint)
        except UsageError as error:
            # A pattern may match a directory that is not complete yet, or another one.
            if source in config.ckpt:
                raise
            unread.append(error)
    if unread and not found:
        raise unread[0]
    return found, tuple(map(str, unread))


def _check_writable(directory: Path, what: str, remedy: str) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UsageError(
            f"{what} {directory}: cannot be written: {error.strerror}; {remedy}"
        ) from None


def run_like(
    baseline: FoundRun, config: RunConfig, emit: OnEvent, only: Sequence[str] = ()
) -> FoundRun:
    """Evaluate the checkpoint of `config` on the benchmarks of `baseline`, or on those in `only`.

    Earlier work is continued. Raises what `evalsuite.runner.session.run_all`
    raises, and `UsageError` for several checkpoints.
    """
    prepared = prepare(as_run(baseline, config, only), emit)
    if (count := len(prepared.checkpoints) + len(prepared.unread)) > 1:
        raise UsageError(
            f"--ckpt {config.ckpt[0]}: names {count} checkpoints, but "
            "one is gated at a time; name one of them"
        )
    (run,) = evaluate_prepared(prepared, emit)
    return FoundRun(prepared.paths(prepared.checkpoints[0]).run_json, run)


def as_run(baseline: FoundRun, config: RunConfig, only: Sequence[str] = ()) -> RunConfig:
    """`config` with the benchmarks and conditions of `baseline`.

    An explicit limit or dtype of `config` is kept. Raises `UsageError` if `baseline` has no score.
    """
    settings = baseline.run.settings
    known = [score.benchmark for score in baseline.run.scores]
    for name in only:
        if name not in known:
            raise UsageError(f"{baseline.path}: has no score of '{name}'{nearest(name, known)}")
    if not known:
        raise UsageError(f"{baseline.path}: has no score; finish it, or name another baseline")
    scores = [s for s in baseline.run.scores if not only or s.benchmark in only]
    judge = next((s.conditions.judge for s in scores if s.conditions.judge is not None), None)
    return dataclasses.replace(
        config,
        benchmarks=tuple(score.benchmark for score in scores),
        limit=config.limit or baseline.run.limit,
        dtype=str(settings.get("dtype", "auto")) if config.dtype == "auto" else config.dtype,
        prompts=settings.get("prompts", config.prompts),
        longest_edge=settings.get("longest_edge"),
        blind=bool(settings.get("blind")),
        judge=EXACT if judge is None else judge.model,
        judge_base_url=None if judge is None else judge.base_url,
        set=tuple(setting for score in scores for setting in _settings(score)),
    )


def _settings(score: Score) -> Iterator[str]:
    if score.conditions.max_new_tokens:
        yield f"{score.benchmark}.max_new_tokens={score.conditions.max_new_tokens}"
    if score.conditions.frames is not None:
        yield f"{score.benchmark}.frames={score.conditions.frames}"


def _check_cache(root: Path) -> None:
    """Raise `UsageError` if `root` or a directory in it belongs to another user."""
    remedy = "choose another with $EVALSUITE_CACHE"
    _check_writable(root, "the cache", remedy)
    for path in (*root.glob("*"), *root.glob("media/*"), *root.glob("media/frames/*")):
        if path.is_dir() and not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise UsageError(f"the cache {path}: cannot be read and written; {remedy}")
