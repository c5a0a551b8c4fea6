"""A run command from beginning to end: check everything, then evaluate."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.benchmarks import catalogue as catalogue
from evalsuite.benchmarks.catalogue import EXACT, JUDGED_METRICS, Benchmark, Catalogue
from evalsuite.benchmarks.data import cache
from evalsuite.benchmarks.data.ensure import gather
from evalsuite.benchmarks.data.search_paths import check_data_dir
from evalsuite.checkpoint import checkpoint as checkpoints
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.checkpoint.locate import DEMOS, expand
from evalsuite.errors import UsageError, nearest
from evalsuite.runner.batch_sensitivity import SAMPLES
from evalsuite.runner.events import Progress
from evalsuite.runner.options import Mode, Options
from evalsuite.runner.plan import Place, place, read_limit, read_shard
from evalsuite.runner.run import evaluate_all
from evalsuite.runner.source import SampleSource
from evalsuite.runner.workers import ray_client
from evalsuite.runs.records import FoundRun, Run
from evalsuite.smolvlm.prompts import PROFILES, Profile
from evalsuite.system import devices as device
from evalsuite.system.hashing import cache_directory
from evalsuite.system.packages import require_run
from evalsuite.vlmevalkit.client import Kit
from evalsuite.vlmevalkit.judge import JudgeSettings, read_settings

MODES: tuple[Mode, ...] = ("all", "infer", "eval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for, as typed."""

    checkpoints: tuple[str, ...]
    command: str
    suite: str | None = None
    benchmarks: tuple[str, ...] = ()
    limit: str | None = None
    batch_size: str = "auto"
    dtype: str = "auto"
    device: str = "auto"
    workers: str = "auto"
    ray: str | None = None
    shard: str | None = None
    mode: str = "all"
    settings: tuple[str, ...] = ()
    max_new_tokens: int | None = None
    longest_edge: int | None = None
    prompts: str = "vlmevalkit"
    judge: str = EXACT
    judge_base_url: str | None = None
    processor: str | None = None
    base: str | None = None
    name: str | None = None
    output_dir: Path = Path("results")
    data_dir: Path | None = None
    allow_modified_data: bool = False
    benchmarks_file: Path | None = None
    available: bool = False
    yes: bool = False
    """Fetch missing data however large it is."""
    fresh: bool = False
    blind: bool = False
    """Keep images and frames from the checkpoint."""
    noise: int | None = None
    """So many samples are asked again at batch size 1; None: as many as is usual."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The runs of a request."""

    found: list[FoundRun]
    benchmarks: frozenset[str]
    """Those that were asked for; a run may know outcomes of others."""

    @property
    def runs(self) -> list[Run]:
        """As they stand."""
        return [item.run for item in self.found]

    @property
    def complete(self) -> bool:
        """Whether everything asked for has a score."""
        return not any(f.benchmark in self.benchmarks for r in self.runs for f in r.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request with everything it names found and checked."""

    checkpoints: list[Checkpoint]
    benchmarks: list[Benchmark]
    """With ``data`` located, and the judge that can help."""
    options: Options
    judge: JudgeSettings | None
    dry_run: bool

    def place(self, checkpoint: Checkpoint) -> Place:
        """Where the run of `checkpoint` lives."""
        options = self.options
        return place(options.output, checkpoint, options.settings, options.limit)


def run_all(request: Request, progress: Progress) -> Evaluated:
    """Evaluate every checkpoint of `request`; a dry run returns no runs.

    Nothing is written before everything the user gave has been checked. Raises `UsageError` for
    what is wrong with it, `IncompleteError` for missing data, and what `evaluate_all` raises.
    """
    prepared = prepare(request, progress)
    runs = evaluate_prepared(prepared, progress)
    places = [] if prepared.dry_run else map(prepared.place, prepared.checkpoints)
    found = [FoundRun(at.run_json, run) for at, run in zip(places, runs, strict=True)]
    return Evaluated(found, frozenset(b.name for b in prepared.benchmarks))


def prepare(request: Request, progress: Progress) -> Prepared:
    """Find and check all that `request` names; raises `UsageError`, `IncompleteError`."""
    require_run()
    devices, threads, dtype = _devices(request, progress)
    shard = read_shard(request.shard)
    if request.mode not in MODES:
        raise UsageError(f"--mode {request.mode}: expected one of {', '.join(MODES)}")
    if shard is not None and request.mode == "eval":
        raise UsageError("--shard: a part is not scored; leave it out of --mode eval")
    options = Options(
        output=request.output_dir,
        device=devices[0],
        devices=devices,
        threads=threads,
        ray=request.ray,
        shard=shard,
        dtype=dtype,
        resampling=device.resampling(),
        command=request.command,
        prompts=_profile(request.prompts),
        limit=read_limit(request.limit),
        mode=request.mode,
        batch_size=_batch_size(request.batch_size),
        longest_edge=request.longest_edge,
        fresh=request.fresh,
        blind=request.blind,
        noise=SAMPLES if request.noise is None else request.noise,
        noise_named=request.noise is not None,
    )
    judge = _judge(request)
    known = catalogue.load(request.benchmarks_file)
    # What was named is checked before a checkpoint is fetched; what was not, after it was found.
    named = known.named(request.suite, request.benchmarks)
    read = _read_checkpoints(request)
    if options.prompts == "native":
        for checkpoint in read:
            _check_template(checkpoint)
    check_data_dir(request.data_dir)
    chosen = _overridden(named or _default(known, request), request)
    cache.limit_bytes()  # raises if it is set to what is no size
    if not request.dry_run:
        _check_writable(request.output_dir, "--output-dir", "choose another")
    elif any(place.is_file() for place in (request.output_dir, *request.output_dir.parents)):
        raise UsageError(f"--output-dir {request.output_dir}: is or is in a file; choose another")
    _check_writable(cache_directory(), "the cache", "name another with $EVALSUITE_CACHE")
    ready = gather(
        chosen,
        request.data_dir,
        allow_modified=request.allow_modified_data,
        available=request.available,
        fetching=not request.dry_run,
        yes=request.yes,
        note=progress.note,
        say=progress.loading,
    )
    return Prepared(
        checkpoints=read,
        benchmarks=[_judged(benchmark, judge) for benchmark in ready],
        options=options,
        judge=judge,
        dry_run=request.dry_run,
    )


def evaluate_prepared(
    prepared: Prepared, progress: Progress, *, media: Path | None = None
) -> list[Run]:
    """Do what was prepared; images and frames are kept in `media`, or else in the cache."""
    options = prepared.options
    with tempfile.TemporaryDirectory(prefix="evalsuite-") as scratch, cache.session():
        # A dry run leaves nothing behind.
        log = (Path(scratch) if prepared.dry_run else options.output) / "kit.log"
        with Kit(
            work=Path(scratch),
            media=media or cache_directory() / "media",
            log=log,
            lossless=options.prompts == "native",
            judge=prepared.judge,
        ) as kit:
            return evaluate_all(
                prepared.checkpoints, prepared.benchmarks, options, SampleSource(kit), progress,
                dry_run=prepared.dry_run,
            )  # fmt: skip


def _devices(request: Request, progress: Progress) -> tuple[tuple[str, ...], int | None, str]:
    """The device of each worker, how many threads each may have, and the dtype."""
    if request.ray is None:
        first, dtype = device.resolve(request.device, request.dtype)
        devices = device.spread(request.device, first, request.workers)
        return devices, device.share_of_threads(len(devices)), dtype
    device.check(request.device, request.dtype)
    if request.shard is not None:
        raise UsageError("--shard and --ray exclude each other: a cluster has one queue; drop one")
    devices, notes = ray_client.survey(request.ray, request.device, request.workers)
    for note in notes:
        progress.note(note)
    # A worker on a CPU of the cluster has that one; what goes with a GPU, its machine knows.
    threads = None if ray_client.on_gpu(devices[0]) else 1
    return devices, threads, device.dtype_for(devices[0], request.dtype)


def _profile(text: str) -> Profile:
    for known in PROFILES:
        if text == known:
            return known
    raise UsageError(
        f"--prompts {text}: unknown{nearest(text, PROFILES)}; expected {' or '.join(PROFILES)}"
    )


def _check_template(checkpoint: Checkpoint) -> None:
    from evalsuite.smolvlm import chat_template  # jinja2: only --prompts native needs it

    chat_template.check(checkpoint.chat_template, str(checkpoint.processor_path))


def _judge(request: Request) -> JudgeSettings | None:
    if request.judge != EXACT:
        return read_settings(request.judge, request.judge_base_url)
    if request.judge_base_url is not None:
        raise UsageError("--judge-base-url: goes with --judge MODEL, which was not given")
    return None


def _judged(benchmark: Benchmark, judge: JudgeSettings | None) -> Benchmark:
    """`benchmark` as scored with `judge`, if its metric has a use for one."""
    if judge is None or benchmark.metric not in JUDGED_METRICS:
        return benchmark
    # With its address: another endpoint's model of that name is another judge.
    return dataclasses.replace(benchmark, judge=f"{judge.model} at {judge.base_url}")


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"--batch-size {text}: expected auto or a number of samples like 16")


def _default(known: Catalogue, request: Request) -> list[Benchmark]:
    wanted = "demo" if set(request.checkpoints) <= set(DEMOS) else "paper"
    if wanted in known.suites:
        return known.suite(wanted)
    raise UsageError(
        "which benchmarks? name some with --benchmarks, or a suite with --suite "
        f"({known.path.name} has: {', '.join(known.suites)})"
    )


def _overridden(chosen: Sequence[Benchmark], request: Request) -> list[Benchmark]:
    if request.max_new_tokens is not None:
        every = [f"{b.name}.max_new_tokens={request.max_new_tokens}" for b in chosen]
        chosen = catalogue.override(chosen, every)
    return catalogue.override(chosen, request.settings)


def _read_checkpoints(request: Request) -> list[Checkpoint]:
    if not request.checkpoints:
        raise UsageError("which checkpoint? name one with --ckpt (or try --ckpt demo)")
    sources = dict.fromkeys(found for typed in request.checkpoints for found in expand(typed))
    if request.name is not None and len(sources) > 1:
        raise UsageError("--name names one checkpoint, but several --ckpt were given")
    return [
        checkpoints.read(source, processor=request.processor, base=request.base, name=request.name)
        for source in sources
    ]


def _check_writable(directory: Path, what: str, remedy: str) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UsageError(
            f"{what} {directory}: cannot be written: {error.strerror}; {remedy}"
        ) from None
