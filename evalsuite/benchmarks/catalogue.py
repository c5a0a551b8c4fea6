"""benchmarks.yaml in, `Benchmark` and `Suite` out: validated at this edge and never again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from evalsuite.errors import UsageError, nearest
from evalsuite.runs.comparable import EXACT, JudgeId
from evalsuite.system.yaml_config import read_yaml

PACKAGE = Path(__file__).parents[1]
BUNDLED = PACKAGE / "demo" / "benchmarks"
"""Where ``data: bundled:NAME`` points."""

Modality = Literal["image", "video"]
MARGIN, CLIFF = 1.0, 5.0
"""Points that the mean and each benchmark may lose where nobody says otherwise."""
PROMPT_FORMATS = (
    *("default", "brief", "yes-no", "choices", "mmbench", "mmmu", "mathvista"),
    *("chartqa", "docvqa", "textvqa", "video", "video-choices", "video-letters", "mvbench"),
)
"""The keys of `evalsuite.smolvlm.formats.FORMATS`; a test compares the two."""
METRICS = (
    *("choice", "mmmu", "yes-no", "vqa-accuracy", "relaxed-accuracy", "anls", "exact-match"),
    *("ocr-contains", "mathvista", "video-choice", "worldsense", "mvbench", "mlvu", "tempcompass"),
)
"""Per-sample rules of `evalsuite.vlmevalkit.scoring`; a test holds the two together."""
JUDGED_METRICS = ("choice", "mmmu", "yes-no", "mathvista", "video-choice", "worldsense", "mvbench",
                  "mlvu", "tempcompass")  # fmt: skip
"""Those of `METRICS` that a judge can help; a test holds the two together."""


@dataclass(frozen=True, slots=True)
class FrameRule:
    """Which frames of a video are shown: so many a second, or so many in all."""

    per_second: float | None = None
    count: int | None = None

    def __str__(self) -> str:
        if self.per_second is None:
            return str(self.count)
        # In full: two rules must not share a name, as frames are kept and runs told apart by it.
        whole = self.per_second == int(self.per_second)
        return f"{int(self.per_second) if whole else self.per_second!r}fps"


@dataclass(frozen=True, slots=True)
class Reference:
    """A score somebody else published, for a column beside ours."""

    model: str
    score: float
    source: str
    read: bool
    """True if the source was read; False if the number is recalled and needs checking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where a benchmark's data can be had, and how to know it."""

    url: str | None = None
    """Of a table that holds everything; or"""
    repository: str | None = None
    """a dataset repository on the Hub with"""
    revision: str = "main"
    md5: Mapping[str, str]
    """The published MD5, in hex, of each table: ``{AI2D_TEST: …}``. VLMEvalKit pins these."""
    about_bytes: int
    """How large the download is, roughly: a server that answers is asked for the exact size."""
    licence: str
    """As recalled; the data's own page decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark: which data, how it is asked, how it is scored."""

    name: str
    dataset: str
    """VLMEvalKit's dataset key, which also decides the prompt its own adapter would build."""
    dataset_class: str | None = None
    """The class in ``vlmeval.dataset`` to use where VLMEvalKit does not know the key."""
    data: str | None = None
    """A TSV, or for videos a directory with the upstream repository's tree; None: `--data-dir`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the dataset's class."""
    modality: Modality
    prompt: str
    """One of `PROMPT_FORMATS`."""
    part_prompts: Mapping[str, str] = field(default_factory=dict)
    """The formats of those parts of the dataset that are asked in another one."""
    metric: str
    """One of `METRICS`."""
    judged_parts: tuple[str, ...] = ()
    """Parts of the dataset that only a judge can score."""
    split: str | None = None
    """The split the headline is about, where the data has several."""
    judge: JudgeId | None = None
    """Reads answers that the rules cannot (``--judge``); None: rules alone."""
    frames: FrameRule | None = None
    max_new_tokens: int
    margin: float = MARGIN
    """Points a candidate may lose towards the mean, whose margin is the mean of these."""
    cliff: float = CLIFF
    """Points it may lose on this benchmark alone."""
    references: tuple[Reference, ...] = ()
    description: str = ""
    published: Published | None = None
    """None for the demo's data and the user's own."""
    modified: bool = False
    """Whether `data` is not what was published: ``--allow-modified-data``."""

    @property
    def definition(self) -> str:
        """Identify what is asked and how it is scored: another definition is another score."""
        shaping = (
            self.dataset, self.dataset_class, sorted(self.arguments.items()), self.modality,
            self.prompt, sorted(self.part_prompts.items()), self.metric, self.judged_parts,
            self.split, str(self.judge or EXACT), str(self.frames), self.max_new_tokens,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(shaping, default=str).encode()).hexdigest()[:16]

    def prompt_of(self, part: str) -> str:
        """The prompt format of the samples of `part`."""
        return self.part_prompts.get(part, self.prompt)

    def scorable(self, part: str) -> bool:
        """Whether the samples of `part` can be scored by the judge there is."""
        return self.judge is not None or part not in self.judged_parts


@dataclass(frozen=True, slots=True)
class Suite:
    """A named list of benchmarks, in the order they run."""

    name: str
    benchmarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All benchmarks and suites of one benchmarks file and those it extends."""

    benchmarks: Mapping[str, Benchmark]
    suites: Mapping[str, Suite]
    path: Path

    def select(self, names: Sequence[str]) -> list[Benchmark]:
        """The named benchmarks in the order given, each once; raises `UsageError`."""
        known = {name.lower(): name for name in self.benchmarks}
        chosen: dict[str, Benchmark] = {}
        for wanted in names:
            if wanted.lower() not in known:
                raise UsageError(
                    f"unknown benchmark '{wanted}'{nearest(wanted, self.benchmarks)}; "
                    "'evalsuite list' names them all"
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
        return self.select(self.suites[name].benchmarks)

    def named(self, suite: str | None, names: Sequence[str]) -> list[Benchmark] | None:
        """Those of a suite or of these names; None if neither is given. Raises `UsageError`."""
        if names and suite is not None:
            raise UsageError("--suite and --benchmarks exclude each other; give one of them")
        if names:
            return self.select(names)
        return None if suite is None else self.suite(suite)


def packaged_file() -> Path:
    """Where our benchmarks are: beside the modules in a wheel, above them in a checkout."""
    installed = PACKAGE / "benchmarks.yaml"
    return installed if installed.exists() else PACKAGE.parent / "benchmarks.yaml"


def load(path: Path | None = None) -> Catalogue:
    """Read a benchmarks file, or the packaged one; raises `UsageError` naming what and where."""
    return _load(path or packaged_file(), seen=())


def _load(path: Path, seen: tuple[Path, ...]) -> Catalogue:
    if path.resolve() in seen:
        raise UsageError(f"{path}: extends itself; remove the 'extends' line")
    spec = _validated(path)
    extends = spec.pop("extends", None)
    benchmarks: dict[str, Benchmark] = {}
    suites: dict[str, Suite] = {}
    if extends is not None:
        base = packaged_file() if extends == "packaged" else path.parent / extends
        inherited = _load(base, (*seen, path.resolve()))
        benchmarks.update(inherited.benchmarks)
        suites.update(inherited.suites)
    for name, entry in spec["benchmarks"].items():
        benchmarks[name] = _benchmark(name, entry, path)
    for name, members in spec["suites"].items():
        if not members:  # what was asked for would be nothing, or taken for all there is
            raise UsageError(f"{path.name}: suite {name}: names no benchmark; name some")
        for member in members:
            if member not in benchmarks:
                raise UsageError(
                    f"{path.name}: suite {name}: unknown benchmark '{member}'"
                    f"{nearest(member, benchmarks)}"
                )
        suites[name] = Suite(name, tuple(members))
    return Catalogue(benchmarks, suites, path)


def _validated(path: Path) -> dict[str, Any]:
    """The file as plain data with every key and type checked."""
    # Loaded here because the other commands have no YAML to validate.
    from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

    raw = read_yaml(path, str(path))
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: expected the keys 'benchmarks' and 'suites' at the top")

    strict = ConfigDict(extra="forbid", strict=False)

    class ReferenceSpec(BaseModel):
        model_config = strict
        model: str
        score: float
        source: str
        read: bool

    class PublishedSpec(BaseModel):
        model_config = strict
        url: str | None = None
        repository: str | None = None
        revision: str = "main"
        md5: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{32}$")]]
        about_bytes: Annotated[int, Field(gt=0)]
        licence: str

    class BenchmarkSpec(BaseModel):
        model_config = strict
        dataset: str | None = None
        dataset_class: str | None = None
        data: str | None = None
        arguments: dict[str, Any] = Field(default_factory=dict)
        modality: Modality = "image"
        prompt: Literal[PROMPT_FORMATS] | None = None  # type: ignore[valid-type]
        part_prompts: dict[str, Literal[PROMPT_FORMATS]] = Field(  # type: ignore[valid-type]
            default_factory=dict
        )
        metric: Literal[METRICS]  # type: ignore[valid-type]
        judged_parts: list[str] = Field(default_factory=list)
        split: str | None = None
        judge: Literal["exact"] = "exact"
        frames: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None
        max_new_tokens: Annotated[int, Field(ge=1)] = 128
        margin: Annotated[float, Field(ge=0.001, le=100)] = MARGIN
        cliff: Annotated[float, Field(ge=0.001, le=100)] = CLIFF
        references: list[ReferenceSpec] = Field(default_factory=list)
        description: str = ""
        published: PublishedSpec | None = None

    file_spec = create_model(
        "BenchmarksFile",
        __config__=strict,
        extends=(str | None, None),
        benchmarks=(dict[str, BenchmarkSpec], Field(default_factory=dict)),
        suites=(dict[str, list[str]], Field(default_factory=dict)),
    )
    try:
        return file_spec.model_validate(raw).model_dump()
    except ValidationError as error:
        # A misspelt key also makes the right one missing: the misspelling is the better news.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        known: Sequence[str] = (
            list(BenchmarkSpec.model_fields)
            if len(first["loc"]) > 2
            else list(file_spec.model_fields)
        )
        raise UsageError(f"{path.name}: {_complaint(first, known)}") from None


def _complaint(error: Mapping[str, Any], known: Sequence[str]) -> str:
    """One pydantic error as ``MMStar: unknown key 'metrics' (did you mean 'metric'?)``."""
    *where, key = [str(part) for part in error["loc"]]
    prefix = "".join(f"{part}: " for part in where if part not in ("benchmarks", "suites"))
    if error["type"] == "extra_forbidden":
        return f"{prefix}unknown key '{key}'{nearest(key, known)}"
    if error["type"] == "missing":
        return f"{prefix}needs the key '{key}'"
    return f"{prefix}{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _benchmark(name: str, entry: Mapping[str, Any], path: Path) -> Benchmark:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(
            f"{path.name}: benchmark name {name!r} must be letters, digits, '.', '_' and '-'"
        )
    if name.lower() == "mean":
        raise UsageError(
            f"{path.name}: benchmark name {name!r} is what the mean over all is called"
        )
    data = entry["data"]
    if data is not None:
        bundled = data.removeprefix("bundled:")
        data = str(BUNDLED / bundled) if bundled != data else str((path.parent / data).resolve())
    video = entry["modality"] == "video"
    frames = None
    if entry["frames"] is not None or video:
        frames = frame_rule(entry["frames"] or "1fps", f"{path.name}: {name}: frames")
    if frames is not None and not video:
        raise UsageError(f"{path.name}: {name}: 'frames' goes with modality video")
    published = entry["published"]
    made = {
        "dataset": entry["dataset"] or name,
        "prompt": entry["prompt"] or ("video" if video else "default"),
        "data": data,
        "frames": frames,
        "references": tuple(Reference(**r) for r in entry["references"]),
        "judged_parts": tuple(entry["judged_parts"]),
        "judge": None,
        "published": None if published is None else Published(**published),
    }
    return Benchmark(name=name, **{**entry, **made})


def frame_rule(text: str, where: str) -> FrameRule:
    """``1fps`` or ``16`` as a `FrameRule`; raises `UsageError` that begins with `where`."""
    per_second = re.fullmatch(r"(\d+(?:\.\d+)?)fps", text)
    if per_second and float(per_second[1]) > 0:
        return FrameRule(per_second=float(per_second[1]))
    if re.fullmatch(r"\d+", text) and int(text) > 0:
        return FrameRule(count=int(text))
    raise UsageError(f"{where}: expected '1fps' or a number of frames like '16', not {text!r}")


SETTABLE = ("frames", "max_new_tokens")
"""What ``--set BENCH.key=value`` may change: all else would be another benchmark."""


def override(benchmarks: Sequence[Benchmark], settings: Sequence[str]) -> list[Benchmark]:
    """Apply ``BENCH.key=value`` settings; raises `UsageError` for anything unknown."""
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
            raise UsageError(f"--set {setting}: {name} is about images and shows no frames")
        if key not in SETTABLE:
            raise UsageError(
                f"--set {setting}: '{key}' cannot be set{nearest(key, SETTABLE)}; "
                f"these can: {', '.join(SETTABLE)}"
            )
        by_name[name] = dataclasses.replace(by_name[name], **{key: _parsed(key, value, setting)})
    return list(by_name.values())


def _parsed(key: str, value: str, setting: str) -> Any:
    if key == "frames":
        return frame_rule(value, f"--set {setting}")
    try:
        number = int(value) if key == "max_new_tokens" else float(value)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:  # also refuses NaN
        raise UsageError(f"--set {setting}: expected a positive number, not '{value}'")
    return number
