"""The policy of the gate: margins, error rates and benchmarks, from a file and from flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalsuite.benchmarks.benchmark import CLIFF, MARGIN, Benchmark
from evalsuite.errors import UsageError, nearest
from evalsuite.stats.decision import ALPHA
from evalsuite.stats.power import POWER, Level
from evalsuite.system.yaml_config import read_mapping

_POINTS = "points from 0.001 to 100"
_ALPHA = "a probability from 1e-9 to 0.5, for example 0.05"
_POWER = "a probability from 0.01 to 0.9999, for example 0.8"
Points = Annotated[float, Field(strict=True, ge=0.001, le=100)]


class Policy(BaseModel):
    """A policy; a value of None is taken from the benchmarks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: Points | None = Field(None, description=_POINTS)
    """Allowed drop of the mean, in points."""
    cliff: Points | None = Field(None, description=_POINTS)
    """Allowed drop of each benchmark, in points."""
    cliffs: dict[str, Points] = Field(
        {}, min_length=1, description="benchmarks with points, for example {MMStar: 4}"
    )
    """Allowed drops of single benchmarks, in points."""
    alpha: float = Field(ALPHA, strict=True, ge=1e-9, le=0.5, description=_ALPHA)
    """One-sided significance level."""
    power: float = Field(POWER, strict=True, ge=0.01, le=0.9999, description=_POWER)
    """Target power: the probability to detect a drop, or to pass an equal checkpoint."""
    benchmarks: tuple[str, ...] = Field(
        (), min_length=1, description="a list of benchmarks, for example [MMStar, OCRBench]"
    )
    """The benchmarks to gate; empty: all benchmarks of a run."""

    def terms(self, names: Sequence[str], known: Mapping[str, Benchmark]) -> Terms:
        """Return the margins on the benchmarks `names`; defaults for those not in `known`."""
        margins = [known[name].margin if name in known else MARGIN for name in names]
        usual = sum(margins) / len(margins) if margins else MARGIN
        cliffs = {name: known[name].cliff if name in known else CLIFF for name in names}
        if self.cliff is not None:
            cliffs = dict.fromkeys(names, self.cliff)
        return Terms(
            margin=usual if self.margin is None else self.margin,
            cliffs={name: self.cliffs.get(name, cliff) for name, cliff in cliffs.items()},
            alpha=self.alpha,
            power=self.power,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A policy on a given set of benchmarks; margins are allowed drops in points, positive."""

    margin: float
    cliffs: Mapping[str, float]
    alpha: float
    power: float

    def level(self, benchmarks: int) -> Level:
        """Return the error rates of tests on this number of benchmarks and their mean."""
        tests = benchmarks + 1 if benchmarks > 1 else 1
        return Level(alpha=self.alpha, power=self.power, tests=tests)


def load(
    path: Path | None,
    known: Mapping[str, Benchmark],
    *,
    margin: float | None = None,
    cliff: float | None = None,
    alpha: float | None = None,
    power: float | None = None,
    benchmarks: Sequence[str] = (),
) -> Policy:
    """Load the policy file `path`, if any, and apply flags, which take precedence.

    A `cliff` flag applies to every benchmark. `known` are the benchmarks that the file may name.
    Raises `UsageError` with the key or flag that is wrong.
    """
    values = {} if path is None else _read(path, known)
    given = {"margin": margin, "cliff": cliff, "alpha": alpha, "power": power}
    flags: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    _validate(flags, "--", "--")
    if benchmarks:
        flags["benchmarks"] = tuple(benchmarks)
    if "cliff" in flags:
        values.pop("cliffs", None)
    return Policy(**{**values, **flags})


def _read(path: Path, known: Mapping[str, Benchmark]) -> dict[str, Any]:
    values = read_mapping(path, f"--policy {path}", "keys like 'margin: 1'")
    _validate(values, f"{path}: ", f"{path}: ")
    for key in ("cliffs", "benchmarks"):
        for name in values.get(key, ()):
            if name not in known:
                raise UsageError(
                    f"{path}: {key}: unknown benchmark '{name}'{nearest(name, known)}; "
                    "name its file with --benchmarks-file"
                )
    return values


def _validate(values: Mapping[Any, Any], where: str, unknown: str) -> None:
    for key in values:
        if key not in Policy.model_fields:
            keys = list(Policy.model_fields)
            raise UsageError(f"{unknown}unknown key '{key}'{nearest(str(key), keys)}")
        if values[key] is None:
            raise UsageError(f"{where}{key}: expected {_expected(key)}, not None")
    try:
        Policy.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key, *inner = (str(part) for part in first["loc"])
        in_cliffs = key == "cliffs" and inner
        expected = _POINTS if in_cliffs else _expected(key)
        name = f"{key}: {inner[0]}" if in_cliffs else key
        raise UsageError(f"{where}{name}: expected {expected}, not {first['input']!r}") from None


def _expected(key: str) -> str | None:
    return Policy.model_fields[key].description
