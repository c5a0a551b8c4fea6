"""Benchmarks and suites of a benchmarks file."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.benchmark import Benchmark, parse_frames
from evalsuite.errors import UsageError, nearest

PACKAGE = Path(__file__).parents[1]
SETTABLE = ("frames", "max_new_tokens")
"""Keys that ``--set BENCH.key=value`` can change; others would define another benchmark."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All benchmarks and suites of a benchmarks file and of the files that it extends."""

    benchmarks: Mapping[str, Benchmark]
    suites: Mapping[str, tuple[str, ...]]
    """The benchmarks of each, in the order in which they run."""
    path: Path

    def select(self, names: Sequence[str]) -> list[Benchmark]:
        """The named benchmarks in the given order, without repetition; raises `UsageError`."""
        known = {name.lower(): name for name in self.benchmarks}
        chosen: dict[str, Benchmark] = {}
        for wanted in names:
            if wanted.lower() not in known:
                raise UsageError(
                    f"unknown benchmark '{wanted}'{nearest(wanted, self.benchmarks)}; "
                    "`evalsuite list` shows all benchmarks"
                )
            name = known[wanted.lower()]
            chosen[name] = self.benchmarks[name]
        return list(chosen.values())

    def suite(self, name: str) -> list[Benchmark]:
        """The benchmarks of suite `name`; raises `UsageError`."""
        if name not in self.suites:
            raise UsageError(
                f"unknown suite '{name}'{nearest(name, self.suites)}; "
                f"{self.path.name} has: {', '.join(self.suites)}"
            )
        return self.select(self.suites[name])

    def named(self, suite: str | None, names: Sequence[str]) -> list[Benchmark] | None:
        """The benchmarks of `suite` or `names`; None if neither is given. Raises `UsageError`."""
        if names and suite is not None:
            raise UsageError("--suite and --benchmarks cannot be combined")
        if names:
            return self.select(names)
        return None if suite is None else self.suite(suite)


def packaged_file() -> Path:
    """Evalsuite's own benchmarks.yaml: in the package if installed, above it in a checkout."""
    installed = PACKAGE / "benchmarks.yaml"
    return installed if installed.exists() else PACKAGE.parent / "benchmarks.yaml"


def load(path: Path | None = None) -> Catalogue:
    """Read a benchmarks file, by default evalsuite's own. Raises `UsageError`."""
    return _load(path or packaged_file(), seen=())


def _load(path: Path, seen: tuple[Path, ...]) -> Catalogue:
    # Imported here because pydantic takes time and many commands read no benchmarks file.
    from evalsuite.benchmarks import schema

    real = Path(os.path.realpath(path))  # unlike resolve(), without an error for a loop of links
    if real in seen:
        raise UsageError(f"{path}: extends itself; remove the 'extends' line")
    file = schema.read_file(path)
    benchmarks: dict[str, Benchmark] = {}
    suites: dict[str, tuple[str, ...]] = {}
    if file.extends is not None:
        base = packaged_file() if file.extends == "packaged" else path.parent / file.extends
        inherited = _load(base, (*seen, real))
        benchmarks.update(inherited.benchmarks)
        suites.update(inherited.suites)
    for name, model in file.benchmarks.items():
        benchmarks[name] = model.to_benchmark(name, path)
    for name, members in file.suites.items():
        if not members:
            raise UsageError(f"{path.name}: suite {name}: has no benchmarks; add at least one")
        for member in members:
            if member not in benchmarks:
                raise UsageError(
                    f"{path.name}: suite {name}: unknown benchmark '{member}'"
                    f"{nearest(member, benchmarks)}"
                )
        suites[name] = tuple(members)
    return Catalogue(benchmarks, suites, path)


def override(benchmarks: Sequence[Benchmark], settings: Sequence[str]) -> list[Benchmark]:
    """Apply settings of the form ``BENCH.key=value``; raises `UsageError`."""
    by_name = {b.name: b for b in benchmarks}
    for setting in settings:
        match = re.fullmatch(r"([^=]+)\.([a-z_]+)=(.+)", setting)
        if not match:
            raise UsageError(f"--set {setting}: expected BENCH.key=value, as in MVBench.frames=16")
        name, key, value = match.groups()
        if name not in by_name:
            raise UsageError(
                f"--set {setting}: '{name}' is not among the benchmarks of this run"
                f"{nearest(name, by_name)}"
            )
        if key == "frames" and by_name[name].modality != "video":
            raise UsageError(f"--set {setting}: {name} has images and no frames")
        if key not in SETTABLE:
            raise UsageError(
                f"--set {setting}: '{key}' cannot be set{nearest(key, SETTABLE)}; "
                f"expected one of {', '.join(SETTABLE)}"
            )
        by_name[name] = dataclasses.replace(by_name[name], **{key: _parse(key, value, setting)})
    return list(by_name.values())


def _parse(key: str, value: str, setting: str) -> Any:
    if key == "frames":
        return parse_frames(value, f"--set {setting}")
    if not (value.isdecimal() and int(value) > 0):
        raise UsageError(f"--set {setting}: expected a positive whole number, not '{value}'")
    return int(value)
