"""The format of a benchmarks file, checked by pydantic. Import it only where a file is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalsuite.benchmarks.benchmark import (
    CLIFF,
    MARGIN,
    METRICS,
    PROMPT_FORMATS,
    Benchmark,
    Modality,
    Published,
    Reference,
    parse_frames,
)
from evalsuite.errors import UsageError, nearest
from evalsuite.system.yaml_config import read_yaml

BUNDLED = Path(__file__).parents[1] / "demo" / "benchmarks"
"""The directory of ``data: bundled:NAME``."""
PromptFormat = Literal[PROMPT_FORMATS]  # type: ignore[valid-type]
Metric = Literal[METRICS]  # type: ignore[valid-type]
Points = Annotated[float, Field(ge=0.001, le=100)]
Md5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class ReferenceModel(_Model):
    """An entry of ``references``."""

    model: str
    score: float
    source: str
    verified: bool


class PublishedModel(_Model):
    """The key ``published``."""

    url: str | None = None
    repository: str | None = None
    revision: str = "main"
    md5: dict[str, Md5]
    about_bytes: Annotated[int, Field(gt=0)]
    licence: str


class BenchmarkModel(_Model):
    """An entry of ``benchmarks``; see `Benchmark` for the meaning of the keys."""

    dataset: str | None = None
    dataset_class: str | None = None
    data: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    modality: Modality = "image"
    prompt: PromptFormat | None = None
    part_prompts: dict[str, PromptFormat] = Field(default_factory=dict)
    metric: Metric
    judged_parts: tuple[str, ...] = ()
    split: str | None = None
    judge: Literal["exact"] = "exact"
    frames: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None
    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    margin: Points = MARGIN
    cliff: Points = CLIFF
    references: tuple[ReferenceModel, ...] = ()
    description: str = ""
    published: PublishedModel | None = None

    def to_benchmark(self, name: str, file: Path) -> Benchmark:
        """The benchmark `name` of `file`; raises `UsageError`."""
        where = f"{file.name}: {name}"
        _check_name(name, file)
        video = self.modality == "video"
        if self.frames is not None and not video:
            raise UsageError(f"{where}: 'frames' requires modality video")
        values = dict(self) | {
            "dataset": self.dataset or name,
            "prompt": self.prompt or ("video" if video else "default"),
            "data": self._data_path(file),
            "frames": parse_frames(self.frames or "1fps", f"{where}: frames") if video else None,
            "references": tuple(Reference(**dict(r)) for r in self.references),
            "judge": None,
            "published": None if self.published is None else Published(**dict(self.published)),
        }
        return Benchmark(name=name, **values)

    def _data_path(self, file: Path) -> str | None:
        if self.data is None:
            return None
        bundled = self.data.removeprefix("bundled:")
        if bundled != self.data:
            return str(BUNDLED / bundled)
        return str((file.parent / self.data).resolve())


class FileModel(_Model):
    """A benchmarks file."""

    extends: str | None = None
    benchmarks: dict[str, BenchmarkModel] = Field(default_factory=dict)
    suites: dict[str, list[str]] = Field(default_factory=dict)


def read_file(path: Path) -> FileModel:
    """Read and check a benchmarks file; raises `UsageError`."""
    raw = read_yaml(path, str(path))
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected the keys 'benchmarks' and 'suites' at the top level")
    try:
        return FileModel.model_validate(raw)
    except ValidationError as error:
        # A misspelt key causes two errors: unknown key, and missing key. The first is clearer.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        model = BenchmarkModel if len(first["loc"]) > 2 else FileModel
        raise UsageError(f"{path.name}: {_message(first, list(model.model_fields))}") from None


def _message(error: Mapping[str, Any], known: Sequence[str]) -> str:
    """One pydantic error, as in ``MMStar: unknown key 'metrics' (did you mean 'metric'?)``."""
    *where, key = [str(part) for part in error["loc"]]
    prefix = "".join(f"{part}: " for part in where if part not in ("benchmarks", "suites"))
    if error["type"] == "extra_forbidden":
        return f"{prefix}unknown key '{key}'{nearest(key, known)}"
    if error["type"] == "missing":
        return f"{prefix}missing key '{key}'"
    return f"{prefix}{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _check_name(name: str, file: Path) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(
            f"{file.name}: benchmark name {name!r}: only letters, digits, '.', '_' and '-' are "
            "allowed"
        )
    if name.lower() == "mean":
        raise UsageError(f"{file.name}: benchmark name {name!r} is reserved")
