"""The options of a run: the one list that the command line, ``--config`` files and Python share.

Values are kept as the user gave them. `evalsuite.runner.resolved` has what they mean on this
machine.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from evalsuite.errors import UsageError, nearest
from evalsuite.smolvlm.prompts import PromptStyle

Mode = Literal["all", "infer", "eval"]


@dataclass(frozen=True, slots=True)
class Option:
    """How a field of `RunConfig` is given on the command line."""

    help: str
    aliases: tuple[str, ...] = ()
    """Further flags beside the field's own name."""
    metavar: str | None = None
    minimum: int | None = None
    separated: bool = False
    """Whether several values are separated by commas. Otherwise the flag is repeated."""


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Which checkpoints to evaluate."""

    panel: ClassVar = "Checkpoint"

    ckpt: Annotated[
        tuple[str, ...],
        Option(
            "Checkpoint: a directory (also of a LoRA adapter), a Hub id, [bold]demo[/bold] or "
            "[bold]demo:early[/bold]. Repeat it or give a pattern like 'sft/checkpoint-*' for "
            "several.",
            metavar="PATH|HUB_ID",
        ),
    ] = ()
    name: Annotated[str | None, Option("Display name of the checkpoint.")] = None
    base: Annotated[
        str | None,
        Option("Base model of a LoRA adapter.", metavar="PATH|HUB_ID"),
    ] = None
    processor: Annotated[
        str | None,
        Option("Read processor files missing in the checkpoint from here.", metavar="PATH|HUB_ID"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Which benchmarks to run, and on how many samples."""

    panel: ClassVar = "Benchmarks"

    suite: Annotated[
        str | None,
        Option("Suite of benchmarks; 'evalsuite list suites' shows them.", metavar="NAME"),
    ] = None
    benchmarks: Annotated[
        tuple[str, ...],
        Option(
            "Benchmark names, separated by commas.",
            aliases=("--tasks", "--data", "-b"),
            metavar="NAMES",
            separated=True,
        ),
    ] = ()
    limit: Annotated[
        str | None,
        Option(
            "Evaluate only N samples per benchmark (50) or a fraction (0.1).", metavar="N|FRACTION"
        ),
    ] = None
    set: Annotated[
        tuple[str, ...],
        Option("Change frames or max_new_tokens of a benchmark.", metavar="BENCH.KEY=VALUE"),
    ] = ()
    benchmarks_file: Annotated[
        Path | None,
        Option("Use this benchmarks.yaml. It may extend the packaged one.", metavar="FILE"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """What the checkpoint is shown, and how long it may answer."""

    panel: ClassVar = "Prompts"

    prompts: Annotated[
        PromptStyle,
        Option(
            "vlmevalkit: the prompts of VLMEvalKit's SmolVLM classes. native: the checkpoint's "
            "chat template and its training video format.",
            metavar="vlmevalkit|native",
        ),
    ] = "vlmevalkit"
    blind: Annotated[
        bool, Option("Text-only baseline: remove images and frames from the prompts.")
    ] = False
    max_new_tokens: Annotated[
        int | None, Option("Maximum number of new tokens for every benchmark.", minimum=1)
    ] = None
    longest_edge: Annotated[
        int | None,
        Option("Resize images to this longest edge, in pixels.", metavar="PIXELS", minimum=1),
    ] = None


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """Where and how to predict."""

    panel: ClassVar = "Inference"

    mode: Annotated[
        Mode,
        Option(
            "all; infer: predict only; eval: score existing predictions only.",
            metavar="all|infer|eval",
        ),
    ] = "all"
    device: Annotated[str, Option("auto, cpu, cuda or cuda:N.", metavar="DEVICE")] = "auto"
    dtype: Annotated[
        str,
        Option(
            "auto (bfloat16 on CUDA, otherwise float32), float32, bfloat16 or float16.",
            metavar="DTYPE",
        ),
    ] = "auto"
    batch_size: Annotated[
        str, Option("Batch size. Does not affect results in float32.", metavar="auto|N")
    ] = "auto"
    workers: Annotated[
        str,
        Option(
            "Number of worker processes. auto: one per GPU, or one on the CPU.", metavar="auto|N"
        ),
    ] = "auto"
    ray: Annotated[
        str | None,
        Option(
            "Run the workers on a Ray cluster: the one this machine belongs to (auto), or the one "
            "with this head node. One worker per GPU, or --workers N with one CPU each.",
            metavar="auto|HOST:PORT",
        ),
    ] = None
    shard: Annotated[
        str | None,
        Option(
            "Predict only part I of N, for example in a Slurm array. Score all parts later with "
            "--mode eval.",
            metavar="I/N",
        ),
    ] = None
    noise: Annotated[
        int | None,
        Option(
            "Repeat N samples at batch size 1 to measure batch-size sensitivity \\[default: 64; 0 "
            "disables].",
            metavar="N",
            minimum=0,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Who scores answers that rules cannot score."""

    panel: ClassVar = "Judge"

    judge: Annotated[
        str,
        Option("exact: score with rules only. MODEL: use this judge model.", metavar="exact|MODEL"),
    ] = "exact"
    judge_base_url: Annotated[
        str | None,
        Option(
            "OpenAI-compatible endpoint of the judge. Its key is read from $EVALSUITE_JUDGE_KEY "
            "or $OPENAI_API_KEY.",
            metavar="URL",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where data comes from and results go."""

    panel: ClassVar = "Data and results"

    output_dir: Annotated[
        Path, Option("Results directory.", aliases=("--output-path",), metavar="DIR")
    ] = Path("results")
    data_dir: Annotated[
        Path | None,
        Option(
            "Use existing files in DIR; never download or write there (docs/reference/data.md).",
            metavar="DIR",
        ),
    ] = None
    available: Annotated[bool, Option("Skip benchmarks whose data is missing.")] = False
    allow_modified_data: Annotated[
        bool,
        Option("Accept data that differs from the published data; the score gets a footnote."),
    ] = False
    yes: Annotated[bool, Option("Download missing data even if it is larger than 5 GB.")] = False
    fresh: Annotated[
        bool, Option("Discard earlier predictions and scores of these benchmarks.")
    ] = False
    dry_run: Annotated[bool, Option("Print the plan and exit.")] = False


@dataclass(frozen=True, kw_only=True)
class RunConfig(
    DataConfig, JudgeConfig, InferenceConfig, PromptConfig, BenchmarkConfig, CheckpointConfig
):
    """All options of a run. A function that needs one part of them takes that part's class."""

    command: str = field(default="", kw_only=True)
    """The command line or call, for the record."""

    @classmethod
    def read(cls, given: Mapping[str, Any], command: str) -> Self:
        """Build a configuration from option names and values; None stands for the default.

        Raises `UsageError` for an unknown name or a value of the wrong kind.
        """
        values: dict[str, Any] = {}
        for key, value in given.items():
            if key not in OPTIONS:
                raise UsageError(f"{key}: unknown option{nearest(key, OPTIONS)}")
            if value is not None:
                values[key] = OPTIONS[key].read(value)
        return cls(**values, command=command)


@dataclass(frozen=True, slots=True)
class RunOption:
    """A field of `RunConfig` with its `Option`."""

    name: str
    kind: Any
    """str, int, bool, Path, a Literal, or tuple for several texts."""
    default: Any
    panel: str
    option: Option

    @property
    def flag(self) -> str:
        """Its main flag."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def flags(self) -> tuple[str, ...]:
        """All its flags."""
        return (self.flag, *self.option.aliases)

    def read(self, value: Any) -> Any:
        """`value` as the field holds it; raises `UsageError`."""
        if self.kind is tuple:
            return self._several(value)
        if self.kind is bool:
            return self._checked(value, isinstance(value, bool), "True or False")
        if self.kind is int:
            least = self.option.minimum or 0
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
            return self._checked(value, whole, f"a whole number of at least {least}")
        single = isinstance(value, str | int | float | Path) and not isinstance(value, bool)
        self._checked(value, single, "a text or a number")
        if self.kind is Path:
            return Path(str(value))
        if choices := typing.get_args(self.kind):
            close = nearest(str(value), choices)
            self._checked(value, value in choices, f"one of {', '.join(choices)}{close}")
        return str(value)

    def _several(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) and self.option.separated:
            value = [part.strip() for part in value.split(",") if part.strip()]
        return (str(value),) if isinstance(value, str | Path) else tuple(map(str, value))

    def _checked(self, value: Any, good: bool, expected: str) -> Any:
        if not good:
            raise UsageError(f"{self.flag} {value}: expected {expected}")
        return value


def _options() -> dict[str, RunOption]:
    parts = [part for part in reversed(RunConfig.__mro__) if "panel" in vars(part)]
    found = {}
    for part in parts:
        for item in fields(part):
            kind, option = typing.get_args(item.type)
            if isinstance(kind, types.UnionType):  # X | None
                kind = typing.get_args(kind)[0]
            kind = typing.get_origin(kind) if typing.get_origin(kind) is tuple else kind
            panel: str = part.panel  # type: ignore[attr-defined]
            found[item.name] = RunOption(item.name, kind, item.default, panel, option)
    return found


OPTIONS = _options()
"""Every option of a run by its name, in the order of ``--help``."""
