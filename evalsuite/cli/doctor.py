"""``evalsuite doctor``."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.app import MACHINE_PANEL, app
from evalsuite.cli.options import BenchmarksFile, DataDir, Names, ResultsDir, Suite, names
from evalsuite.errors import INCOMPLETE, UsageError

KEYS = ("EVALSUITE_JUDGE_KEY", "OPENAI_API_KEY")
_COUNT_SECONDS = 1.5


@app.command(rich_help_panel=MACHINE_PANEL)
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
    """Show the state of each benchmark's data, and the versions, devices and disks of this machine.

    Exits with 4 if the data of a requested benchmark is not ready.
    """
    from rich.console import Console

    from evalsuite.benchmarks.catalogue import load
    from evalsuite.benchmarks.data.search_paths import check_data_dir
    from evalsuite.benchmarks.data.status import data_status
    from evalsuite.report.tables import data as tables
    from evalsuite.report.writers.terminal import print_grid

    known = load(benchmarks_file)
    check_data_dir(data_dir)
    chosen = known.named(suite, names(benchmarks)) or known.benchmarks.values()
    found = [data_status(benchmark, data_dir, verify=verify) for benchmark in chosen]
    console = Console()
    print_grid(tables.data_status(found), console)
    print_grid(tables.machine(machine(data_dir, output_dir)), console)
    if not all(status.ready for status in found):
        raise typer.Exit(INCOMPLETE)


def machine(data_dir: Path | None, results: Path) -> Iterator[tuple[str, str]]:
    """Names and values of everything a run depends on, except its data."""
    from rich.filesize import decimal

    from evalsuite.benchmarks.data import cache
    from evalsuite.benchmarks.data.search_paths import lmu_directory
    from evalsuite.system import devices
    from evalsuite.system.environment import VERSION, versions
    from evalsuite.system.hashing import cache_directory

    yield "evalsuite", VERSION
    for name, version in versions().items():
        yield name, version or "not installed"
    yield "packages", _packages()
    yield "packages left out", _left_out()
    yield "device", devices.describe()
    places = {"results": results, "cache": cache_directory(), "data": data_dir or lmu_directory()}
    for name, place in places.items():
        yield f"free for {name}", _free_space(place)
    yield "cache", _cache_content()
    yield "cache limit", f"{decimal(cache.limit_bytes())} of images and frames"
    key = next((key for key in KEYS if os.environ.get(key)), None)
    unset = f"not set ({' or '.join('$' + k for k in KEYS)})"
    yield "judge's key", f"set (${key})" if key else unset


def _packages() -> str:
    """Whether checkpoints can be run on this machine, or what to install."""
    from evalsuite.system.packages import require_run

    try:
        require_run()
    except UsageError as error:
        return str(error)
    return "complete: checkpoints can be run"


def _left_out() -> str:
    """The packages that VLMEvalKit requires and that are not installed."""
    from evalsuite.vlmevalkit.left_out import absent

    names = [package.package for package in absent()]
    return f"{', '.join(names)}; benchmarks that need them fail" if names else "none"


def _free_space(place: Path) -> str:
    from rich.filesize import decimal

    from evalsuite.report.tables.data import short_path

    place = place.absolute()
    existing = next(path for path in (place, *place.parents) if path.exists())
    try:
        return f"{decimal(shutil.disk_usage(existing).free)} at {short_path(place)}"
    except OSError as error:
        return f"unknown at {short_path(place)}: {error.strerror}"


def _cache_content() -> str:
    """Size of the cache by kind, if it is counted in time: there may be millions of files."""
    from rich.filesize import decimal

    from evalsuite.benchmarks.data import cache

    found: list[str] = []

    def count() -> None:
        kinds = [f"{kind.name} {decimal(kind.bytes)}" for kind in cache.kinds() if kind.entries]
        found.append(", ".join(kinds) or "empty")

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    counting.join(_COUNT_SECONDS)
    return found[0] if found else "too large to count here; run `evalsuite cache`"
