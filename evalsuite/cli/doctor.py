"""What `evalsuite doctor` shows: data, versions, device, disks, caches and the judge's key."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from evalsuite.benchmarks.catalogue import load
from evalsuite.benchmarks.data import cache
from evalsuite.benchmarks.data.search_paths import check_data_dir, lmu_directory
from evalsuite.benchmarks.data.sizes import written
from evalsuite.benchmarks.data.status import State, state
from evalsuite.errors import UsageError
from evalsuite.report.format import ABSENT, counted
from evalsuite.report.tables.grid import Grid, Heading, Line, entries
from evalsuite.report.writers.terminal import print_grid
from evalsuite.system import devices
from evalsuite.system.environment import VERSION, versions
from evalsuite.system.hashing import cache_directory
from evalsuite.system.packages import require_run
from evalsuite.vlmevalkit.left_out import absent

KEYS = ("EVALSUITE_JUDGE_KEY", "OPENAI_API_KEY")
_COUNT_SECONDS = 1.5


def show(
    suite: str | None,
    benchmarks: Sequence[str],
    data_dir: Path | None,
    results: Path,
    benchmarks_file: Path | None,
    *,
    verify: bool,
    console: Console | None = None,
) -> bool:
    """Print it; says whether all the data asked for is ready. Raises `UsageError`."""
    console = console or Console()
    known = load(benchmarks_file)
    check_data_dir(data_dir)
    chosen = known.named(suite, benchmarks) or known.benchmarks.values()
    states = [state(b, data_dir, verify=verify) for b in chosen]
    print_grid(data_grid(states), console)
    print_grid(machine_grid(machine(data_dir, results)), console)
    return all(found.ready for found in states)


def data_grid(states: Sequence[State]) -> Grid:
    """Lay out how it stands with each benchmark's data."""
    ready = sum(found.ready for found in states)
    return Grid(
        headings=(
            *(Heading(name, numeric=False) for name in ("benchmark", "data")),
            Heading("size"),
            Heading("MD5", numeric=False),
            Heading("where", numeric=False, wraps=True),
            Heading("what to do", numeric=False, wraps=True),
        ),
        lines=tuple(
            Line(entries((
                found.benchmark,
                found.status,
                ABSENT if found.bytes is None else written(found.bytes),
                _checked(found),
                _short(found.path),
                _advice(found),
            )))
            for found in states
        ),
        remarks=(
            f"data of {ready} of {counted(len(states), 'benchmark')} is ready",
            *(("MD5 not compared: --verify hashes every table",)
              if any(found.checked is False for found in states) else ()),
        ),
    )  # fmt: skip


def _advice(found: State) -> str:
    if found.ready:
        return found.message
    if found.status == "missing":
        return found.remedy
    return f"{found.message}: {found.remedy}"


def _checked(found: State) -> str:
    if found.status == "modified":
        return "differs"
    return (
        ABSENT if found.checked is None else ("as published" if found.checked else "not compared")
    )


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def machine_grid(facts: Iterable[tuple[str, str]]) -> Grid:
    """Lay out facts about this machine."""
    return Grid(
        headings=(Heading("this machine", numeric=False), Heading("", numeric=False, wraps=True)),
        lines=tuple(Line(entries(fact)) for fact in facts),
    )


def machine(data_dir: Path | None, results: Path) -> Iterable[tuple[str, str]]:
    """What a run depends on besides its data."""
    yield "evalsuite", VERSION
    for name, version in versions().items():
        yield name, version or "not installed"
    yield "packages", _packages()
    yield "packages left out", _left_out()
    yield "device", device()
    places = {"results": results, "cache": cache_directory(), "data": data_dir or lmu_directory()}
    for name, place in places.items():
        yield f"free for {name}", _free(place)
    yield "cache", _held()
    yield "cache limit", f"{written(cache.limit_bytes())} of images and frames"
    key = next((key for key in KEYS if os.environ.get(key)), None)
    yield (
        "judge's key",
        f"set (${key})" if key else f"not set ({' or '.join('$' + k for k in KEYS)})",
    )


def _packages() -> str:
    """Whether checkpoints can be run here, or what to install for that."""
    try:
        require_run()
    except UsageError as error:
        return str(error)
    return "all that a run needs"


def _left_out() -> str:
    """The packages that VLMEvalKit asks for and that are not installed."""
    names = [one.package for one in absent()]
    return f"{', '.join(names)}; a benchmark that needs one says so" if names else "none"


def device() -> str:
    """The device and dtype that ``evalsuite run`` uses by default, and the other devices."""
    chosen, dtype = devices.resolve("auto", "auto")
    cuda = devices.cuda_devices()
    if not cuda.names:
        return f"{chosen}, {dtype} ({cuda.reason})"
    named = ", ".join(f"cuda:{index} ({name})" for index, name in enumerate(cuda.names))
    return f"{named}; {dtype}"


def _held() -> str:
    """What the cache holds, if that can be counted in time: it may be millions of files."""
    found: list[str] = []

    def count() -> None:
        held = [f"{kind.name} {written(kind.bytes)}" for kind in cache.kinds() if kind.entries]
        found.append(", ".join(held) or "empty")

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    counting.join(_COUNT_SECONDS)
    return found[0] if found else "too much to count in passing: `evalsuite cache` does"


def _free(place: Path) -> str:
    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    try:
        return f"{written(shutil.disk_usage(there).free)} at {_short(place.absolute())}"
    except OSError as error:
        return f"unknown at {_short(place)}: {error.strerror}"
