"""What a candidate may lose: margin, cliffs and how sure one wants to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalsuite.benchmarks.catalogue import CLIFF, MARGIN, Benchmark
from evalsuite.errors import UsageError, nearest
from evalsuite.stats.decision import ALPHA
from evalsuite.stats.power import POWER, Level
from evalsuite.system.yaml_config import read_mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a policy file or flags say; None where they leave it to the benchmarks."""

    margin: float | None = None
    """Points the mean may lose."""
    cliff: float | None = None
    """Points each benchmark may lose."""
    cliffs: Mapping[str, float] = field(default_factory=dict)
    """Points single benchmarks may lose."""
    alpha: float = ALPHA
    """One-sided."""
    power: float = POWER
    """With which probability a drop should be found, or an equal checkpoint pass."""
    benchmarks: tuple[str, ...] = ()
    """The benchmarks it is about; empty: all that a run has."""

    def terms(self, names: Sequence[str], known: Mapping[str, Benchmark]) -> Terms:
        """What it allows on the benchmarks `names`; of those not `known` the defaults hold."""
        return Terms(
            margin=self.margin if self.margin is not None else _average(names, known),
            cliffs={name: self._cliff(name, known) for name in names},
            alpha=self.alpha,
            power=self.power,
        )

    def _cliff(self, name: str, known: Mapping[str, Benchmark]) -> float:
        if name in self.cliffs:
            return self.cliffs[name]
        if self.cliff is not None:
            return self.cliff
        return known[name].cliff if name in known else CLIFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A policy on given benchmarks, in points."""

    margin: float
    cliffs: Mapping[str, float]
    alpha: float
    power: float

    def level(self, benchmarks: int) -> Level:
        """How sure it wants to be, of drops on so many benchmarks and of their mean."""
        return Level(alpha=self.alpha, power=self.power, tests=benchmarks + 1)


def _average(names: Sequence[str], known: Mapping[str, Benchmark]) -> float:
    margins = [known[name].margin if name in known else MARGIN for name in names]
    return sum(margins) / len(margins) if margins else MARGIN


def read(path: Path | None, known: Mapping[str, Benchmark]) -> Policy:
    """Read a policy file; without one all is left to the benchmarks. Raises `UsageError`.

    `known` are the benchmarks it may name.
    """
    if path is None:
        return Policy()
    raw = read_mapping(path, f"--policy {path}", "keys like 'margin: 1'")
    keys = [item.name for item in dataclasses.fields(Policy)]
    for key in raw:
        if key not in keys:
            raise UsageError(f"{path}: unknown key '{key}'{nearest(str(key), keys)}")
    return Policy(**{key: _CHECKS[key](value, f"{path}: {key}", known)
                     for key, value in raw.items()})  # fmt: skip


def override(
    policy: Policy,
    *,
    margin: float | None = None,
    cliff: float | None = None,
    alpha: float | None = None,
    power: float | None = None,
    benchmarks: Sequence[str] = (),
) -> Policy:
    """`policy` with what flags say instead; ``--cliff`` is for every benchmark."""
    changed: dict[str, Any] = {}
    if margin is not None:
        changed["margin"] = _points(margin, "--margin")
    if cliff is not None:
        changed |= {"cliff": _points(cliff, "--cliff"), "cliffs": {}}
    if alpha is not None:
        changed["alpha"] = _alpha(alpha, "--alpha")
    if power is not None:
        changed["power"] = _power(power, "--power")
    if benchmarks:
        changed["benchmarks"] = tuple(benchmarks)
    return dataclasses.replace(policy, **changed)


def _points(value: Any, where: str, *_: object) -> float:
    return _number(value, where, 0.001, 100, "points from 0.001 to 100")


def _alpha(value: Any, where: str, *_: object) -> float:
    return _number(value, where, 1e-9, 0.5, "a probability from 1e-9 to 0.5, like 0.05")


def _power(value: Any, where: str, *_: object) -> float:
    if value == 1:
        raise UsageError(f"{where}: nothing is found for certain; expected less than 1, like 0.8")
    return _number(value, where, 0.01, 0.9999, "a probability from 0.01 to 0.9999, like 0.8")


def _number(value: Any, where: str, least: float, most: float, expected: str) -> float:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    if not least <= number <= most:  # also refuses NaN
        raise UsageError(f"{where}: expected {expected}, not {value!r}")
    return float(number)


def _cliffs(value: Any, where: str, known: Mapping[str, Benchmark]) -> Mapping[str, float]:
    if not isinstance(value, dict) or not value:
        raise UsageError(f"{where}: expected benchmarks with points, like {{MMStar: 4}}")
    return {
        name: _points(points, f"{where}: {name}")
        for name, points in zip(_names(list(value), where, known), value.values(), strict=True)
    }


def _names(value: Any, where: str, known: Mapping[str, Benchmark]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UsageError(f"{where}: expected a list of benchmarks, like [MMStar, OCRBench]")
    for name in value:
        if not isinstance(name, str) or name not in known:
            raise UsageError(
                f"{where}: unknown benchmark '{name}'{nearest(str(name), known)}; "
                "name its file with --benchmarks-file"
            )
    return tuple(dict.fromkeys(value))


_CHECKS: Mapping[str, Callable[[Any, str, Mapping[str, Benchmark]], Any]] = {
    "margin": _points,
    "cliff": _points,
    "cliffs": _cliffs,
    "alpha": _alpha,
    "power": _power,
    "benchmarks": _names,
}
