"""A LoRA adapter as PEFT saves one: what it is, which base it belongs to, and that the two fit.

Only its config and the header of its weights are read. `evalsuite.smolvlm.lora_merge` merges it.
"""

from __future__ import annotations

import importlib.util
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.checkpoint.locate import Place, locate
from evalsuite.checkpoint.weights import (
    INDEX,
    SINGLE,
    Weights,
    adapter_conversion_command,
    read_json_object,
    read_safetensors_header,
)
from evalsuite.errors import UsageError

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_NOT_MERGED = {
    "alora_invocation_tokens": "it acts only after the tokens that invoke it",
    "arrow_config": "it routes between several adapters",
    "layer_replication": "it repeats layers, which the base's config.json does not know of",
}
"""What a LoRA config may ask for that no merged weights can do, and why."""
Shape = tuple[int, ...]
_Fits = Callable[[Shape, Shape], bool]
_PART = re.compile(r"(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B)(\.weight)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA adapter on this machine, and the base to merge it into."""

    path: Path
    base_name: str
    """The base as ``--base`` or the adapter's config names it."""
    base: Place
    shapes: Mapping[str, Shape]
    """By the names of tensors in the adapter's file."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the adapter that decides the merged weights."""
        return (self.path / CONFIG, self.path / WEIGHTS)


def is_adapter(directory: Path) -> bool:
    """Whether `directory` holds an adapter and no weights of a whole model.

    Raises `UsageError` if it holds both: which of them is meant is not guessed.
    """
    names = {entry.name for entry in directory.iterdir()}
    whole = names & {SINGLE, INDEX}
    if CONFIG in names and whole:
        raise UsageError(
            f"{directory}: both a whole model ({min(whole)}) and a PEFT adapter ({CONFIG}); "
            "keep the one to evaluate in a directory of its own"
        )
    return bool(names & {CONFIG, WEIGHTS, PICKLED}) and not whole


def read_adapter(directory: Path, base: str | None, patterns: Sequence[str]) -> Adapter:
    """Read the adapter in `directory` and find its base: `base`, or what its config names.

    Of a base on the Hub, the files that match `patterns` are downloaded.
    """
    config = _read_config(directory)
    shapes = _read_shapes(directory)
    _check_saved_modules(directory, config, shapes)
    if base is None:
        base, place = _find_base(directory, config, patterns)
    else:
        place = locate(base, patterns)
    if is_adapter(place.path):
        raise UsageError(
            f"{directory}: its base {base} is itself a PEFT adapter; merge that into its own base "
            "with merge_and_unload() and save_pretrained(), then name the result with --base"
        )
    return Adapter(path=directory, base_name=base, base=place, shapes=shapes)


def check_fit(adapter: Adapter, base: Weights) -> None:
    """Raise `UsageError` if the adapter was trained on a model unlike `base`.

    By names and shapes alone: another model of the same shape cannot be told from the right one.
    """
    weights = list(_adapted(adapter.shapes))
    if not any(target in base.shapes for _, target, _ in weights):
        raise UsageError(
            f"{adapter.path}: its base {adapter.base_name} has none of the weights it changes "
            f"(first {next(iter(adapter.shapes))}); it was trained on another model: name that "
            "with --base"
        )
    for name, target, fits in weights:
        if target in base.shapes and not fits(adapter.shapes[name], base.shapes[target]):
            raise UsageError(
                f"{adapter.path / WEIGHTS}: {name} has shape {adapter.shapes[name]} and does not "
                f"fit {target}, which has {base.shapes[target]} in its base "
                f"{adapter.base_name}; name the model it was trained on with --base"
            )


def require_peft() -> None:
    """Raise `UsageError` unless peft, which only adapters need, is installed."""
    if importlib.util.find_spec("peft") is None:
        raise UsageError(
            "a LoRA adapter needs peft, which is not installed: pip install 'evalsuite[lora]'"
        )


# What is on disk


def _read_config(directory: Path) -> Mapping[str, Any]:
    """Read adapter_config.json; only what can be merged into the weights of the base passes."""
    path = directory / CONFIG
    if not path.exists():
        raise UsageError(
            f"{directory}: a PEFT adapter's weights but no {CONFIG}; copy it from where the "
            "adapter was trained"
        )
    config = read_json_object(path)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UsageError(
            f"{path}: peft_type {kind!r} is not supported; evalsuite merges LORA adapters: if this "
            "one can be merged, do so with merge_and_unload() and save_pretrained(), then evaluate "
            "the result"
        )
    for key, why in _NOT_MERGED.items():
        if config.get(key):
            raise UsageError(f"{path}: {key} is not supported: it cannot be merged, for {why}")
    return config


def _read_shapes(directory: Path) -> Mapping[str, Shape]:
    path = directory / WEIGHTS
    if not path.exists() and (directory / PICKLED).exists():
        raise UsageError(
            f"{directory}: only safetensors are loaded, and the adapter's weights are {PICKLED}; "
            f"convert them with `{adapter_conversion_command(directory / PICKLED, path)}`"
        )
    if not path.exists():
        raise UsageError(
            f"{directory}: a PEFT adapter without its weights (no {WEIGHTS}); copy them from where "
            "it was trained"
        )
    shapes = read_safetensors_header(path)
    if not shapes:
        raise UsageError(f"{path}: holds no weights; save the adapter again")
    return shapes


def _check_saved_modules(
    directory: Path, config: Mapping[str, Any], shapes: Mapping[str, Shape]
) -> None:
    """Refuse an adapter that lacks a module it trained whole: peft would use the base's."""
    if config.get("ensure_weight_tying"):
        return  # a tied module is not saved
    for module in config.get("modules_to_save") or ():
        if not any(f".{module}." in name for name in shapes):
            raise UsageError(
                f"{directory / WEIGHTS}: {CONFIG} lists '{module}' under modules_to_save, and no "
                "weight of it is here; save the adapter again, or copy it whole"
            )


def _find_base(
    directory: Path, config: Mapping[str, Any], patterns: Sequence[str]
) -> tuple[str, Place]:
    """Locate what the config names, beside the adapter before anywhere else."""
    key = "base_model_name_or_path"
    named = config.get(key)
    if not isinstance(named, str) or not named:
        raise UsageError(f"{directory / CONFIG}: it has no {key}; name the base model with --base")
    if (beside := directory / named).is_dir():
        return named, locate(str(beside), patterns)
    revision = config.get("revision")
    if isinstance(revision, str) and revision and not Path(named).expanduser().is_dir():
        named = f"{named}@{revision}"
    try:
        return named, locate(named, patterns)
    except UsageError as error:
        raise UsageError(
            f"{directory / CONFIG}: the base model it names cannot be had ({error}); "
            "name a copy of it with --base"
        ) from error


# What fits what


def _adapted(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, str, _Fits]]:
    """For each tensor of an adapter: its name, the base's weight it changes, and the test for it.

    Factors multiply to the weight's shape, A from its inputs and B to its outputs; an embedding's
    are transposed. Anything else is a copy of a weight (``modules_to_save``) or a vector beside it.
    """
    for name in shapes:
        plain = name.removeprefix("base_model.model.")
        if match := _PART.fullmatch(plain):
            yield name, f"{match['module']}.weight", _FITS[match["part"]]
        elif "lora_" not in plain and plain.endswith(".weight"):
            target = f"{plain.removesuffix('.weight').removesuffix('.base_layer')}.weight"
            yield name, target, operator.eq


_FITS: Mapping[str, _Fits] = {
    "A": lambda factor, weight: factor[1:] == weight[1:],
    "B": lambda factor, weight: factor[:1] == weight[:1],
    "embedding_A": lambda factor, weight: factor[1:] == weight[:1],
    "embedding_B": lambda factor, weight: factor[:1] == weight[1:],
}
