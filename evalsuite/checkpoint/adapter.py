"""LoRA adapters saved by PEFT: their base, and whether the two fit.

Only the config and the header of the weights are read. `evalsuite.smolvlm.model` merges it.
"""

from __future__ import annotations

import importlib.util
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.checkpoint.expected_weights import EMBEDDINGS, HEAD, canonical_name
from evalsuite.checkpoint.json_files import read_json_object
from evalsuite.checkpoint.locate import Place, locate
from evalsuite.checkpoint.other_formats import adapter_conversion_command
from evalsuite.checkpoint.weights import (
    INDEX,
    SINGLE,
    Shape,
    Weights,
    read_safetensors_header,
)
from evalsuite.errors import UsageError

CONFIG, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_NOT_MERGED = {
    "alora_invocation_tokens": "it is active only after its invocation tokens",
    "arrow_config": "it routes between several adapters",
    "layer_replication": "it repeats layers, which the base's config.json does not describe",
}
"""Settings of a LoRA config that merged weights cannot represent, and why."""
_Fits = Callable[[Shape, Shape], bool]
_PART = re.compile(r"(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B)(\.weight)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA adapter and the base to merge it into."""

    path: Path
    base_name: str
    """The base's name in ``--base`` or in the adapter's config."""
    base: Place
    shapes: Mapping[str, Shape]
    """By tensor name in the adapter's file."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the adapter that determines the merged weights."""
        return (self.path / CONFIG, self.path / WEIGHTS)


def is_adapter(directory: Path) -> bool:
    """Whether `directory` has an adapter and no weights of a whole model.

    Raises `UsageError` if it has both: it is not clear which one to evaluate.
    """
    names = {entry.name for entry in directory.iterdir()}
    whole = names & {SINGLE, INDEX}
    if CONFIG in names and whole:
        raise UsageError(
            f"{directory}: has both a whole model ({min(whole)}) and a PEFT adapter ({CONFIG}); "
            "move the one to evaluate to a separate directory"
        )
    return bool(names & {CONFIG, WEIGHTS, PICKLED}) and not whole


def read_adapter(directory: Path, base: str | None, patterns: Sequence[str]) -> Adapter:
    """Read the adapter in `directory` and find its base: `base`, or the one in its config.

    For a base on the Hub, the files that match `patterns` are downloaded. Raises `UsageError`.
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
            f"{directory}: its base {base} is also a PEFT adapter; merge that one into its own "
            "base with merge_and_unload() and save_pretrained(), then set --base to the result"
        )
    return Adapter(path=directory, base_name=base, base=place, shapes=shapes)


def check_fit(adapter: Adapter, base: Weights) -> None:
    """Raise `UsageError` if the adapter's tensors do not match those of `base`.

    Only names and shapes are compared: another model of the same shape is not detected.
    """
    stored = {canonical_name(name): tensor.shape for name, tensor in base.tensors.items()}
    weights = list(_adapted(adapter.shapes))
    if not any(target in stored for _, target, _ in weights):
        raise UsageError(
            f"{adapter.path}: its base {adapter.base_name} has none of the weights that the "
            f"adapter changes (first {next(iter(adapter.shapes))}); set --base to the model it was "
            "trained on"
        )
    rows = _check_resized(adapter, stored)
    for name, target, fits in weights:
        if target not in stored:
            continue
        shape = stored[target]
        if rows is not None and target in (EMBEDDINGS, HEAD):
            shape = (rows, *shape[1:])
        if not fits(adapter.shapes[name], shape):
            raise UsageError(
                f"{adapter.path / WEIGHTS}: {name} with shape {adapter.shapes[name]} does not fit "
                f"{target} with shape {stored[target]} in its base {adapter.base_name}; "
                "set --base to the model it was trained on"
            )


def embedding_rows(shapes: Mapping[str, Shape]) -> int | None:
    """Rows of the embeddings that an adapter replaces; None if it keeps those of its base."""
    return next((shapes[n][0] for n, t, fits in _adapted(shapes) if _replaces(t, fits)), None)


def changes_head(shapes: Mapping[str, Shape]) -> bool:
    """Whether an adapter changes the embeddings or the head, which may be tied in its base."""
    return any(target in (EMBEDDINGS, HEAD) for _, target, _ in _adapted(shapes))


def _replaces(target: str, fits: _Fits) -> bool:
    return target in (EMBEDDINGS, HEAD) and fits is operator.eq


def _check_resized(adapter: Adapter, stored: Mapping[str, Shape]) -> int | None:
    """The number of embeddings after training; raises `UsageError` if some of them are missing.

    None if training added no tokens.
    """
    rows = embedding_rows(adapter.shapes)
    before = stored.get(EMBEDDINGS, stored.get(HEAD, (0,)))[0]
    if rows is None or rows <= before:
        return None
    replaced = {target for _, target, fits in _adapted(adapter.shapes) if _replaces(target, fits)}
    if lacking := {EMBEDDINGS, HEAD} & stored.keys() - replaced:
        raise UsageError(
            f"{adapter.path}: training added {rows - before} tokens to its base "
            f"{adapter.base_name}, but the adapter has no {min(lacking)} for them; merge it where "
            "it was trained with merge_and_unload() and save_pretrained(), then evaluate the result"
        )
    return rows


def require_peft() -> None:
    """Raise `UsageError` if peft, which only adapters need, is not installed."""
    if importlib.util.find_spec("peft") is None:
        raise UsageError(
            "a LoRA adapter needs peft, which is not installed: pip install 'evalsuite[lora]'"
        )


# Files


def _read_config(directory: Path) -> Mapping[str, Any]:
    """Read adapter_config.json; raises `UsageError` if the adapter cannot be merged."""
    path = directory / CONFIG
    if not path.exists():
        raise UsageError(
            f"{directory}: has the weights of a PEFT adapter but no {CONFIG}; copy it from where "
            "the adapter was trained"
        )
    config = read_json_object(path)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UsageError(
            f"{path}: peft_type {kind!r} is not supported, only LORA; if this adapter can be "
            "merged, use merge_and_unload() and save_pretrained(), then evaluate the result"
        )
    for key, why in _NOT_MERGED.items():
        if config.get(key):
            raise UsageError(
                f"{path}: {key} is not supported, because {why}; train without it, or evaluate a "
                "merged model"
            )
    return config


def _read_shapes(directory: Path) -> Mapping[str, Shape]:
    path = directory / WEIGHTS
    if not path.exists() and (directory / PICKLED).exists():
        raise UsageError(
            f"{directory}: the weights are {PICKLED}, and only safetensors are supported; "
            f"convert them with `{adapter_conversion_command(directory / PICKLED, path)}`"
        )
    if not path.exists():
        raise UsageError(
            f"{directory}: a PEFT adapter without weights (no {WEIGHTS}); copy them from where it "
            "was trained"
        )
    shapes = {name: tensor.shape for name, tensor in read_safetensors_header(path).items()}
    if not shapes:
        raise UsageError(f"{path}: contains no weights; save the adapter again")
    return shapes


def _check_saved_modules(
    directory: Path, config: Mapping[str, Any], shapes: Mapping[str, Shape]
) -> None:
    """Refuse an adapter without a fully trained module: peft would use the base's weights."""
    if config.get("ensure_weight_tying"):
        return  # a tied module is not saved
    for module in config.get("modules_to_save") or ():
        if not any(f".{module}." in name for name in shapes):
            raise UsageError(
                f"{directory / WEIGHTS}: no weight of '{module}', which {CONFIG} lists in "
                "modules_to_save; save the adapter again, or copy all of it"
            )


def _find_base(
    directory: Path, config: Mapping[str, Any], patterns: Sequence[str]
) -> tuple[str, Place]:
    """Find the base that the config names: first in the adapter's directory."""
    key = "base_model_name_or_path"
    named = config.get(key)
    if not isinstance(named, str) or not named:
        raise UsageError(f"{directory / CONFIG}: no {key}; set --base to the base model")
    if (beside := directory / named).is_dir():
        return named, locate(str(beside), patterns)
    revision = config.get("revision")
    if isinstance(revision, str) and revision and not Path(named).expanduser().is_dir():
        named = f"{named}@{revision}"
    try:
        return named, locate(named, patterns)
    except UsageError as error:
        raise UsageError(
            f"{directory / CONFIG}: its base model is not available ({error}); "
            "set --base to a copy of it"
        ) from error


# Shapes


def _adapted(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, str, _Fits]]:
    """For each tensor of an adapter: its name, the base weight it changes, and a shape test.

    B @ A has the shape of the weight: A is (rank, inputs) and B is (outputs, rank); for an
    embedding both are transposed. Other tensors replace a weight (``modules_to_save``).
    """
    for name in shapes:
        plain = name.removeprefix("base_model.model.")
        if match := _PART.fullmatch(plain):
            yield name, canonical_name(f"{match['module']}.weight"), _FITS[match["part"]]
        elif "lora_" not in plain and plain.endswith(".weight"):
            target = f"{plain.removesuffix('.weight').removesuffix('.base_layer')}.weight"
            yield name, canonical_name(target), operator.eq


_FITS: Mapping[str, _Fits] = {
    "A": lambda factor, weight: factor[1:] == weight[1:],
    "B": lambda factor, weight: factor[:1] == weight[:1],
    "embedding_A": lambda factor, weight: factor[1:] == weight[:1],
    "embedding_B": lambda factor, weight: factor[:1] == weight[1:],
}
