"""A run command from beginning to end: check everything, then evaluate checkpoint by checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite import benchmarks as catalogue
from evalsuite import checkpoint as checkpoints
from evalsuite.benchmarks import Benchmark, Catalogue
from evalsuite.checkpoint import Checkpoint
from evalsuite.data import locate
from evalsuite.digests import cache_directory
from evalsuite.errors import IncompleteError, UsageError
from evalsuite.places import DEMOS
from evalsuite.results import Failure, Run
from evalsuite.runner.device import resampling, resolve
from evalsuite.runner.options import Mode, Options
from evalsuite.runner.plan import read_limit
from evalsuite.runner.progress import Progress
from evalsuite.runner.run import evaluate
from evalsuite.runner.source import SampleSource
from evalsuite.vlmevalkit.kit import Kit

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
    mode: str = "all"
    settings: tuple[str, ...] = ()
    max_new_tokens: int | None = None
    longest_edge: int | None = None
    processor: str | None = None
    name: str | None = None
    output_dir: Path = Path("results")
    data_dir: Path | None = None
    benchmarks_file: Path | None = None
    available: bool = False
    fresh: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The runs of a request."""

    runs: list[Run]
    benchmarks: frozenset[str]
    """Those that were asked for; a run may know outcomes of others."""

    @property
    def complete(self) -> bool:
        """Whether everything asked for has a score."""
        return not any(f.benchmark in self.benchmarks for r in self.runs for f in r.failures)


def run_all(request: Request, progress: Progress) -> Evaluated:
    """Evaluate every checkpoint of `request`; a dry run returns no runs.

    Nothing is written before everything the user gave has been checked. Raises `UsageError` for
    what is wrong with it, `IncompleteError` for missing data, and what `evaluate` raises.
    """
    device, dtype = resolve(request.device, request.dtype)
    if request.mode not in MODES:
        raise UsageError(f"--mode {request.mode}: expected one of {', '.join(MODES)}")
    options = Options(
        output=request.output_dir,
        device=device,
        dtype=dtype,
        resampling=resampling(),
        command=request.command,
        limit=read_limit(request.limit),
        mode=request.mode,
        batch_size=_batch_size(request.batch_size),
        longest_edge=request.longest_edge,
        fresh=request.fresh,
    )
    known = catalogue.load(request.benchmarks_file)
    # What was named is checked before a checkpoint is fetched; what was not, after it was found.
    named = _named(known, request)
    read = _read_checkpoints(request)
    if request.data_dir is not None and not request.data_dir.is_dir():
        raise UsageError(
            f"--data-dir {request.data_dir}: no such directory; name the one with data"
        )
    selected = _located(_overridden(named or _default(known, request), request), request, progress)
    if not request.dry_run:
        _check_writable(request.output_dir, "--output-dir", "choose another")
    _check_writable(cache_directory(), "the cache", "name another with $EVALSUITE_CACHE")
    with tempfile.TemporaryDirectory(prefix="evalsuite-") as scratch:
        media = cache_directory() / "media"
        # A dry run leaves nothing behind.
        log = (Path(scratch) if request.dry_run else request.output_dir) / "kit.log"
        with Kit(work=Path(scratch), media=media, log=log) as kit:
            source = SampleSource(kit)
            runs = [
                evaluate(c, selected, options, source, progress, dry_run=request.dry_run)
                for c in read
            ]
    return Evaluated([run for run in runs if run is not None], frozenset(b.name for b in selected))


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise UsageError(f"--batch-size {text}: expected auto or a number of samples like 16")


def _named(known: Catalogue, request: Request) -> list[Benchmark] | None:
    if request.benchmarks and request.suite is not None:
        raise UsageError("--suite and --benchmarks exclude each other; give one of them")
    if request.benchmarks:
        return known.select(list(request.benchmarks))
    return known.suite(request.suite) if request.suite is not None else None


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


def _located(chosen: Sequence[Benchmark], request: Request, progress: Progress) -> list[Benchmark]:
    """The benchmarks whose data is there; raises `IncompleteError` unless ``--available``."""
    found = [locate(benchmark, request.data_dir) for benchmark in chosen]
    missing = [item for item in found if isinstance(item, Failure)]
    present = [item for item in found if isinstance(item, Benchmark)]
    if missing and not (request.available and present):
        listed = "; ".join(f"{f.benchmark}: {f.message}" for f in missing)
        hint = "or leave those out with --available" if present else "and run again"
        raise IncompleteError(f"data is missing: {listed}: {missing[0].remedy}, {hint}")
    for failure in missing:
        progress.note(f"left out: {failure.benchmark}: {failure.message}")
    return present


def _read_checkpoints(request: Request) -> list[Checkpoint]:
    if not request.checkpoints:
        raise UsageError("which checkpoint? name one with --ckpt (or try --ckpt demo)")
    if request.name is not None and len(request.checkpoints) > 1:
        raise UsageError("--name names one checkpoint, but several --ckpt were given")
    return [
        checkpoints.read(source, processor=request.processor, name=request.name)
        for source in dict.fromkeys(request.checkpoints)
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
