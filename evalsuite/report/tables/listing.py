"""What `evalsuite list` shows: benchmarks, suites and runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalsuite.benchmarks.benchmark import Benchmark
from evalsuite.benchmarks.catalogue import Catalogue, load
from evalsuite.errors import UsageError, nearest
from evalsuite.report.format import ABSENT, day, listed, points
from evalsuite.report.model.notes import is_blind
from evalsuite.report.model.table import average
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line, entries
from evalsuite.runs.find import find_all
from evalsuite.runs.records import FoundRun

SUBJECTS = ("benchmarks", "suites", "runs")


def grid(what: str, results: Path, benchmarks_file: Path | None) -> Grid:
    """List benchmarks, suites or runs; raises `UsageError` for another `what` or without runs."""
    if what not in SUBJECTS:
        raise UsageError(
            f"list {what}: unknown{nearest(what, SUBJECTS)}; expected {listed(SUBJECTS)}"
        )
    if what == "runs":
        return runs(find_all(results), results)
    known = load(benchmarks_file)
    return benchmarks(known) if what == "benchmarks" else suites(known)


def benchmarks(known: Catalogue) -> Grid:
    """List the benchmarks, image before video."""
    ordered = sorted(known.benchmarks.values(), key=lambda b: b.modality)
    return Grid(
        headings=(
            Heading("benchmark", numeric=False),
            *(Heading(name, numeric=False) for name in ("metric", "prompt")),
            *(Heading(name) for name in ("tokens", "frames")),
            Heading("description", numeric=False, wraps=True),
        ),
        lines=tuple(Line(_benchmark(b), b.modality) for b in ordered),
        remarks=("tokens: the most an answer may have",),
    )


def _benchmark(benchmark: Benchmark) -> tuple[Entry, ...]:
    return entries((
        benchmark.name,
        benchmark.metric,
        benchmark.prompt,
        str(benchmark.max_new_tokens),
        ABSENT if benchmark.frames is None else str(benchmark.frames),
        benchmark.description,
    ))  # fmt: skip


def suites(known: Catalogue) -> Grid:
    """List the suites and what is in them."""
    return Grid(
        headings=(
            Heading("suite", numeric=False),
            Heading("benchmarks", numeric=False, wraps=True),
        ),
        lines=tuple(
            Line(entries((s.name, listed(s.benchmarks)))) for s in known.suites.values()
        ),
    )  # fmt: skip


def runs(found: Sequence[FoundRun], results: Path) -> Grid:
    """List runs, named as they may be given to other commands."""
    return Grid(
        headings=(
            Heading("run", numeric=False),
            *(Heading(name) for name in ("scores", "average", "limit")),
            *(Heading(name, numeric=False) for name in ("dtype", "finished")),
        ),
        lines=tuple(Line(_run(item, results)) for item in found),
        remarks=(
            "scores: benchmarks with a score, of those that were run",
            "average: mean over the run's own benchmarks, each counting the same",
            *(
                ["blind: asked without the images or videos"]
                if any(is_blind(item.run) for item in found)
                else []
            ),
        ),
    )


def _run(found: FoundRun, results: Path) -> tuple[Entry, ...]:
    run = found.run
    return entries((
        found.path.parent.relative_to(results).as_posix(),
        f"{len(run.scores)} of {len(run.outcomes)}",
        points(average(run.outcomes)) + (" blind" if is_blind(run) else ""),
        run.limit or ABSENT,
        str(run.settings.get("dtype", ABSENT)),
        day(run.finished),
    ))  # fmt: skip
