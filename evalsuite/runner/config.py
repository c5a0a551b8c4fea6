"""The options of a run: the one list that the command line, ``--config`` files and Python share.

Values are kept as the user gave them. `evalsuite.runner.resolved` has what they mean on this
machine.
"""

# ruff: noqa: RUF009 - _panel() makes functions that return dataclass fields
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from evalsuite.errors import UsageError, nearest
from evalsuite.smolvlm.prompts import PromptStyle

Mode = Literal["all", "infer", "eval"]


def _panel(panel: str) -> Callable[..., Any]:
    """A function that makes a field of `RunConfig` for this panel of ``--help``."""

    def option(default: Any, help: str, metavar: str | None = None, **more: Any) -> Any:
        return field(
            default=default, metadata={"panel": panel, "help": help, "metavar": metavar, **more}
        )

    return option


_checkpoint, _benchmarks, _prompts, _inference, _judge, _data = map(
    _panel, ("Checkpoint", "Benchmarks", "Prompts", "Inference", "Judge", "Data and results")
)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All options of a run."""

    ckpt: tuple[str, ...] = _checkpoint(
        (),
        "Checkpoint: a directory (also of a LoRA adapter), a Hub id, [bold]demo[/bold] or "
        "[bold]demo:early[/bold]. Repeat it or give a pattern like 'sft/checkpoint-*' for several.",
        "PATH|HUB_ID",
    )
    name: str | None = _checkpoint(None, "Display name of the checkpoint.", "NAME")
    base: str | None = _checkpoint(None, "Base model of a LoRA adapter.", "PATH|HUB_ID")
    processor: str | None = _checkpoint(
        None,
        "Read image settings from here; also the tokenizer if the checkpoint has none.",
        "PATH|HUB_ID",
    )

    suite: str | None = _benchmarks(
        None, "Suite of benchmarks; 'evalsuite list suites' shows them.", "NAME"
    )
    benchmarks: tuple[str, ...] = _benchmarks(
        (), "Benchmark names, separated by commas.", "NAMES",
        aliases=("--tasks", "--data", "-b"), separated=True,
    )  # fmt: skip
    limit: str | None = _benchmarks(
        None, "Evaluate only N samples per benchmark (50) or a fraction (0.1).", "N|FRACTION"
    )
    set: tuple[str, ...] = _benchmarks(
        (), "Change frames or max_new_tokens of a benchmark.", "BENCH.KEY=VALUE"
    )
    benchmarks_file: Path | None = _benchmarks(
        None, "Use this benchmarks.yaml. It may extend the packaged one.", "FILE"
    )

    prompts: PromptStyle = _prompts(
        "vlmevalkit",
        "vlmevalkit: the prompts of VLMEvalKit's SmolVLM classes. native: the checkpoint's chat "
        "template and its training video format.",
        "vlmevalkit|native",
    )
    blind: bool = _prompts(False, "Text-only baseline: remove images and frames from the prompts.")
    max_new_tokens: int | None = _prompts(
        None, "Maximum number of new tokens for every benchmark.", "N", minimum=1
    )
    longest_edge: int | None = _prompts(
        None, "Resize images to this longest edge, in pixels.", "PIXELS", minimum=1
    )

    mode: Mode = _inference(
        "all", "all; infer: predict only; eval: score existing predictions only.", "all|infer|eval"
    )
    device: str = _inference("auto", "auto, cpu, cuda or cuda:N.", "DEVICE")
    dtype: str = _inference(
        "auto", "auto (bfloat16 on CUDA, otherwise float32), float32, bfloat16 or float16.", "DTYPE"
    )
    batch_size: str = _inference(
        "auto", "Batch size. Does not affect results in float32.", "auto|N"
    )
    workers: str = _inference(
        "auto", "Number of worker processes. auto: one per GPU, or one on the CPU.", "auto|N"
    )
    ray: str | None = _inference(
        None,
        "Run the workers on a Ray cluster: the one this machine belongs to (auto), or the one with "
        "this head node. One worker per GPU, or --workers N with one CPU each.",
        "auto|HOST:PORT",
    )
    shard: str | None = _inference(
        None,
        "Predict only part I of N, for example in a Slurm array. Score all parts later with --mode "
        "eval.",
        "I/N",
    )
    noise: int | None = _inference(
        None,
        "Repeat N samples at batch size 1 to measure batch-size sensitivity \\[default: 64; 0 "
        "disables].",
        "N",
        minimum=0,
    )

    max_failed: str = _inference(
        "1%", "Exit with code 4 if more samples of a benchmark failed than this.", "PERCENT"
    )

    judge: str = _judge(
        "exact", "exact: score with rules only. MODEL: use this judge model.", "exact|MODEL"
    )
    judge_base_url: str | None = _judge(
        None,
        "OpenAI-compatible endpoint of the judge. Its key is read from $EVALSUITE_JUDGE_KEY or "
        "$OPENAI_API_KEY.",
        "URL",
    )

    output_dir: Path = _data(
        Path("results"), "Results directory.", "DIR", aliases=("--output-path",)
    )
    data_dir: Path | None = _data(
        None, "Use existing files in DIR; never download or write there (docs/reference/data.md).",
        "DIR",
    )  # fmt: skip
    available: bool = _data(False, "Skip benchmarks whose data is missing.")
    allow_modified_data: bool = _data(
        False, "Accept data that differs from the published data; the score gets a footnote."
    )
    yes: bool = _data(False, "Download missing data even if it is larger than 5 GB.")
    fresh: bool = _data(False, "Discard earlier predictions and scores of these benchmarks.")
    dry_run: bool = _data(False, "Print the plan and exit.")

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
    """A field of `RunConfig`, and how it is given on the command line."""

    name: str
    kind: Any
    """str, int, bool, Path, a Literal, or tuple for several texts."""
    default: Any
    panel: str
    """Where ``--help`` shows it."""
    help: str
    metavar: str | None
    aliases: tuple[str, ...] = ()
    """Further flags beside the field's own name."""
    minimum: int | None = None
    separated: bool = False
    """Whether several values are separated by commas. Otherwise the flag is repeated."""

    @property
    def flag(self) -> str:
        """Its main flag."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def flags(self) -> tuple[str, ...]:
        """All its flags."""
        return (self.flag, *self.aliases)

    def read(self, value: Any) -> Any:
        """`value` as the field holds it; raises `UsageError`."""
        if self.kind is tuple:
            return self._several(value)
        if self.kind is bool:
            return self._checked(value, isinstance(value, bool), "True or False")
        if self.kind is int:
            least = self.minimum or 0
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
        if isinstance(value, str) and self.separated:
            value = [part.strip() for part in value.split(",") if part.strip()]
        return (str(value),) if isinstance(value, str | Path) else tuple(map(str, value))

    def _checked(self, value: Any, good: bool, expected: str) -> Any:
        if not good:
            raise UsageError(f"{self.flag} {value}: expected {expected}")
        return value


def _kind(item: Field[Any]) -> Any:
    kind: Any = item.type
    if isinstance(kind, types.UnionType):  # X | None
        kind = typing.get_args(kind)[0]
    return tuple if typing.get_origin(kind) is tuple else kind


OPTIONS = {
    item.name: RunOption(item.name, _kind(item), item.default, **item.metadata)
    for item in fields(RunConfig)
    if item.metadata
}
"""Every option of a run by its name, in the order of ``--help``."""
