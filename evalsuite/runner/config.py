"""The options of a run: the one list that the command line, ``--config`` files and Python share.

Values are kept as the user gave them. `evalsuite.runner.resolved` has what they mean on this
machine.
"""

# ruff: noqa: RUF009 - option() returns a dataclass field
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from evalsuite.errors import UsageError, nearest
from evalsuite.smolvlm.prompts import PromptStyle

Mode = Literal["all", "infer", "eval"]


@dataclass(frozen=True, slots=True)
class Option:
    """How a field of `RunConfig` is given on the command line."""

    help: str
    metavar: str | None = None
    aliases: tuple[str, ...] = ()
    """Further flags beside the field's own name."""
    minimum: int | None = None
    separated: bool = False
    """Whether several values are separated by commas. Otherwise the flag is repeated."""


def option(default: Any, help: str, metavar: str | None = None, **more: Any) -> Any:
    """A field with its `Option`."""
    return field(default=default, metadata={"option": Option(help, metavar, **more)})


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Which checkpoints to evaluate."""

    panel: ClassVar = "Checkpoint"

    ckpt: tuple[str, ...] = option(
        (),
        "Checkpoint: a directory (also of a LoRA adapter), a Hub id, [bold]demo[/bold] or "
        "[bold]demo:early[/bold]. Repeat it or give a pattern like 'sft/checkpoint-*' for several.",
        "PATH|HUB_ID",
    )
    name: str | None = option(None, "Display name of the checkpoint.", "NAME")
    base: str | None = option(None, "Base model of a LoRA adapter.", "PATH|HUB_ID")
    processor: str | None = option(
        None, "Read processor files missing in the checkpoint from here.", "PATH|HUB_ID"
    )


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Which benchmarks to run, and on how many samples."""

    panel: ClassVar = "Benchmarks"

    suite: str | None = option(
        None, "Suite of benchmarks; 'evalsuite list suites' shows them.", "NAME"
    )
    benchmarks: tuple[str, ...] = option(
        (), "Benchmark names, separated by commas.", "NAMES",
        aliases=("--tasks", "--data", "-b"), separated=True,
    )  # fmt: skip
    limit: str | None = option(
        None, "Evaluate only N samples per benchmark (50) or a fraction (0.1).", "N|FRACTION"
    )
    set: tuple[str, ...] = option(
        (), "Change frames or max_new_tokens of a benchmark.", "BENCH.KEY=VALUE"
    )
    benchmarks_file: Path | None = option(
        None, "Use this benchmarks.yaml. It may extend the packaged one.", "FILE"
    )


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """What the checkpoint is shown, and how long it may answer."""

    panel: ClassVar = "Prompts"

    prompts: PromptStyle = option(
        "vlmevalkit",
        "vlmevalkit: the prompts of VLMEvalKit's SmolVLM classes. native: the checkpoint's chat "
        "template and its training video format.",
        "vlmevalkit|native",
    )
    blind: bool = option(False, "Text-only baseline: remove images and frames from the prompts.")
    max_new_tokens: int | None = option(
        None, "Maximum number of new tokens for every benchmark.", "N", minimum=1
    )
    longest_edge: int | None = option(
        None, "Resize images to this longest edge, in pixels.", "PIXELS", minimum=1
    )


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """Where and how to predict."""

    panel: ClassVar = "Inference"

    mode: Mode = option(
        "all", "all; infer: predict only; eval: score existing predictions only.", "all|infer|eval"
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N.", "DEVICE")
    dtype: str = option(
        "auto", "auto (bfloat16 on CUDA, otherwise float32), float32, bfloat16 or float16.", "DTYPE"
    )
    batch_size: str = option("auto", "Batch size. Does not affect results in float32.", "auto|N")
    workers: str = option(
        "auto", "Number of worker processes. auto: one per GPU, or one on the CPU.", "auto|N"
    )
    ray: str | None = option(
        None,
        "Run the workers on a Ray cluster: the one this machine belongs to (auto), or the one with "
        "this head node. One worker per GPU, or --workers N with one CPU each.",
        "auto|HOST:PORT",
    )
    shard: str | None = option(
        None,
        "Predict only part I of N, for example in a Slurm array. Score all parts later with --mode "
        "eval.",
        "I/N",
    )
    noise: int | None = option(
        None,
        "Repeat N samples at batch size 1 to measure batch-size sensitivity \\[default: 64; 0 "
        "disables].",
        "N",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Which model scores answers that rules cannot score."""

    panel: ClassVar = "Judge"

    judge: str = option(
        "exact", "exact: score with rules only. MODEL: use this judge model.", "exact|MODEL"
    )
    judge_base_url: str | None = option(
        None,
        "OpenAI-compatible endpoint of the judge. Its key is read from $EVALSUITE_JUDGE_KEY or "
        "$OPENAI_API_KEY.",
        "URL",
    )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where data comes from and results go."""

    panel: ClassVar = "Data and results"

    output_dir: Path = option(
        Path("results"), "Results directory.", "DIR", aliases=("--output-path",)
    )
    data_dir: Path | None = option(
        None, "Use existing files in DIR; never download or write there (docs/reference/data.md).",
        "DIR",
    )  # fmt: skip
    available: bool = option(False, "Skip benchmarks whose data is missing.")
    allow_modified_data: bool = option(
        False, "Accept data that differs from the published data; the score gets a footnote."
    )
    yes: bool = option(False, "Download missing data even if it is larger than 5 GB.")
    fresh: bool = option(False, "Discard earlier predictions and scores of these benchmarks.")
    dry_run: bool = option(False, "Print the plan and exit.")


@dataclass(frozen=True, kw_only=True)
class RunConfig(
    DataConfig, JudgeConfig, InferenceConfig, PromptConfig, BenchmarkConfig, CheckpointConfig
):
    """All options of a run. A function that needs one part of them takes that part's class."""

    command: str = ""
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
    found = {}
    for part in (p for p in reversed(RunConfig.__mro__) if "panel" in vars(p)):
        panel: str = part.panel  # type: ignore[attr-defined]
        for item in fields(part):
            kind: Any = item.type
            if isinstance(kind, types.UnionType):  # X | None
                kind = typing.get_args(kind)[0]
            kind = tuple if typing.get_origin(kind) is tuple else kind
            found[item.name] = RunOption(
                item.name, kind, item.default, panel, item.metadata["option"]
            )
    return found


OPTIONS = _options()
"""Every option of a run by its name, in the order of ``--help``."""
