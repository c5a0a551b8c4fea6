"""A checkpoint: what `--ckpt` names, checked and identified before anything is loaded.

A directory, a Hub id or one of the bundled demo checkpoints, whole or a LoRA adapter to a base, is
read from its JSON files and safetensors headers alone; torch and transformers are never imported
here. What would make a checkpoint impossible to run is a `UsageError`; what only makes its answers
doubtful is a warning, and warnings are recorded with the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evalsuite.checkpoint.adapter import Adapter, check_fit, is_adapter, read_adapter
from evalsuite.checkpoint.locate import STEP, Place, locate, safe_name
from evalsuite.checkpoint.processor import (
    END_OF_UTTERANCE,
    PROCESSOR_FILES,
    Processor,
    missing_files,
    read_processor,
)
from evalsuite.checkpoint.weights import (
    INDEX,
    SINGLE,
    Weights,
    conversion_command,
    read_json_object,
    read_weights,
)
from evalsuite.errors import UsageError
from evalsuite.system.hashing import file_digest

Family = Literal["smolvlm", "idefics3"]
ARCHITECTURES: Mapping[Family, str] = {
    "smolvlm": "SmolVLMForConditionalGeneration",
    "idefics3": "Idefics3ForConditionalGeneration",
}
UNNAMED_ROWS = 1024
"""Embedding rows without a token that still pass for padding to a round number."""
_MODEL_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")
_TEMPLATE_MARKS = ("<image>", END_OF_UTTERANCE, "Assistant:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A SmolVLM checkpoint on this machine."""

    name: str
    """What runs and tables call it; safe as a directory's name."""
    source: str
    """What the user typed."""
    path: Path
    """The directory with config.json and the weights, or with the adapter."""
    base_path: Path | None = None
    """The directory with config.json and the weights of an adapter's base."""
    base: str | None = None
    """What an adapter's config or ``--base`` calls that base."""
    processor_path: Path
    """The directory with tokenizer and image processor; `path` unless ``--processor`` was given, or
    `base_path` for an adapter that has none."""
    family: Family
    architecture: str
    digest: str
    """SHA-256, in hex, over the weights and every file that shapes a prediction."""
    parameters: int
    tile_size: int
    tokens_per_tile: int
    longest_edge: int
    splits_images: bool
    chat_template: str | None = field(repr=False)
    """Jinja; what ``--prompts native`` goes by."""
    step: int | None
    """Training step, if the directory's name or trainer_state.json tells it."""
    warnings: tuple[str, ...] = ()


def read(
    source: str,
    *,
    processor: str | None = None,
    base: str | None = None,
    name: str | None = None,
    cache: Path | None = None,
) -> Checkpoint:
    """Read the checkpoint that `source` names, or raise a `UsageError` that says what to do.

    `processor` names the directory or Hub id to take the processor's files from, `base` the model
    an adapter belongs to; `cache` is where digests are remembered (see `evalsuite.system.hashing`).
    """
    try:
        place = locate(source, _MODEL_PATTERNS)
        adapter = _adapter(place, source, base)
        model = place if adapter is None else adapter.base
        config, family, weights = _read_model(model)
        if adapter is not None:
            check_fit(adapter, weights)
        processor_place, doubts = _find_processor(place, processor, adapter)
        facts = read_processor(processor_place.path)
        vision = _Vision.of(config, model.path / "config.json")
        generation = model.path / "generation_config.json"
        settings = read_json_object(generation) if generation.exists() else None
        files = [model.path / "config.json", *weights.files, *facts.files]
        files += [] if settings is None else [generation]
        files += [] if adapter is None else adapter.files
        return Checkpoint(
            name=safe_name(place.name if name is None else name),
            source=source,
            path=place.path,
            base_path=None if adapter is None else adapter.base.path,
            base=None if adapter is None else adapter.base_name,
            processor_path=processor_place.path,
            family=family,
            architecture=ARCHITECTURES[family],
            digest=_digest(files, cache),
            parameters=weights.parameters,
            tile_size=facts.tile_size,
            tokens_per_tile=vision.tokens_per_tile,
            longest_edge=facts.longest_edge,
            splits_images=facts.splits_images,
            step=_step(place.path),
            chat_template=facts.chat_template,
            warnings=(
                *place.warnings,
                *(() if adapter is None else adapter.base.warnings),
                *doubts,
                *_ending_warnings(settings, facts),
                *_vocabulary_warnings(_embedding_rows(config, weights, model.path), facts),
                *_template_warnings(facts),
                *_tile_warnings(vision, facts),
                *_leftover_warnings(model.path),
            ),
        )
    except OSError as error:
        raise UsageError(
            f"{error.filename or source}: cannot be read: {error.strerror or error}; "
            "check that it exists and that you may read it"
        ) from error


# What it is


def _adapter(place: Place, source: str, base: str | None) -> Adapter | None:
    if is_adapter(place.path):
        return read_adapter(place.path, base, _MODEL_PATTERNS)
    if base is not None:
        raise UsageError(
            f"--base {base}: goes with a LoRA adapter, and {source} is not one; leave --base out"
        )
    return None


def _find_processor(
    place: Place, named: str | None, adapter: Adapter | None
) -> tuple[Place, tuple[str, ...]]:
    """Decide whose processor to use, and what is doubtful about that."""
    if named is not None:
        found = locate(named, PROCESSOR_FILES)
        return found, found.warnings
    missing = missing_files(place.path)
    if adapter is None or not missing:
        return place, ()
    some = [name for name in PROCESSOR_FILES if (place.path / name).exists()]
    if not some:
        return adapter.base, ()
    return adapter.base, (
        f"the adapter has {some[0]} but no {' and no '.join(missing)}: the whole processor is "
        "taken from its base; --processor takes another",
    )


def _read_model(place: Place) -> tuple[dict[str, Any], Family, Weights]:
    """Read config.json and the weights, or say why `place` is not a whole model."""
    path = place.path / "config.json"
    names = {entry.name for entry in place.path.iterdir()}
    # Before the weights: nobody should convert those of a model that is not supported.
    config = read_json_object(path) if "config.json" in names else None
    family = None if config is None else _family(config, path)
    if place.hub and SINGLE not in names and INDEX not in names:
        out = f"{place.hub.name}-safetensors"
        raise UsageError(
            f"{place.hub}: no safetensors in {place.path}; if the download was cut off, run again "
            "with a network; if the model has weights in another format, convert them with "
            f"`{conversion_command(place.hub.repo, out)}`, then evaluate {out} "
            f"with --processor {place.hub}"
        )
    weights = read_weights(place.path)
    if config is None or family is None:
        raise UsageError(
            f"{place.path}: weights but no config.json; copy it from the base model, or save the "
            "checkpoint with save_pretrained"
        )
    return config, family, weights


def _family(config: Mapping[str, Any], path: Path) -> Family:
    """Go by config.json's model_type, as transformers does, and never by a path's spelling."""
    model_type = config.get("model_type")
    listed = config.get("architectures") or []
    named = listed[0] if isinstance(listed, list) and listed else None
    for family, architecture in ARCHITECTURES.items():
        if model_type in (family, None) and named in (architecture, None) and (model_type or named):
            return family
    known = " and ".join(ARCHITECTURES.values())
    raise UsageError(
        f"{path}: {named or 'a model'} (model_type {model_type!r}) is not supported; "
        f"evalsuite runs SmolVLM and SmolVLM2, which are {known}"
    )


@dataclass(frozen=True, slots=True)
class _Vision:
    """The shape of what the vision tower sees; absent values are transformers' defaults."""

    image_size: int
    patch_size: int
    scale_factor: int

    @classmethod
    def of(cls, config: Mapping[str, Any], path: Path) -> _Vision:
        vision = config.get("vision_config")
        if not isinstance(vision, dict):
            raise UsageError(f"{path}: it has no vision_config; copy config.json again")
        shape = cls(
            _positive(vision.get("image_size", 224), "vision_config.image_size", path),
            _positive(vision.get("patch_size", 32), "vision_config.patch_size", path),
            _positive(config.get("scale_factor", 2), "scale_factor", path),
        )
        if (shape.image_size // shape.patch_size) % shape.scale_factor or not shape.tokens_per_tile:
            raise UsageError(
                f"{path}: image_size {shape.image_size}, patch_size {shape.patch_size} and "
                f"scale_factor {shape.scale_factor} give no whole number of tokens a tile; "
                "copy config.json from where the model was trained"
            )
        return shape

    @property
    def tokens_per_tile(self) -> int:
        return (self.image_size // self.patch_size // self.scale_factor) ** 2


def _positive(value: object, key: str, path: Path) -> int:
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:  # height, width
        value = value[0]
    if not isinstance(value, int) or value <= 0:
        raise UsageError(f"{path}: {key} is {value!r}, not a positive whole number")
    return value


def _embedding_rows(config: Mapping[str, Any], weights: Weights, path: Path) -> int | None:
    """Count the tokens that have an embedding; config.json and weights must agree on it."""
    text = config.get("text_config")
    declared = text.get("vocab_size") if isinstance(text, dict) else None
    rows = weights.embedding_rows
    if not isinstance(declared, int):
        return rows
    if rows not in (None, declared):
        raise UsageError(
            f"{path}: config.json says vocab_size {declared:,}, but the weights have {rows:,} "
            "embeddings; they are from different models: copy both from the same one"
        )
    return declared


def _step(path: Path) -> int | None:
    if match := STEP.fullmatch(path.name):
        return int(match[1])
    state = path / "trainer_state.json"
    step = read_json_object(state).get("global_step") if state.exists() else None
    return step if isinstance(step, int) else None


def _digest(files: Iterable[Path], cache: Path | None) -> str:
    """Digest names and contents: the same files give the same digest wherever they lie."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.name):
        digest.update(f"{path.name}\0{file_digest(path, cache=cache)}\n".encode())
    return digest.hexdigest()


# What makes its answers doubtful


def _ending_warnings(generation: Mapping[str, Any] | None, facts: Processor) -> Iterable[str]:
    end = facts.tokens.get(END_OF_UTTERANCE)
    if facts.tokens and end is None:
        yield f"the tokenizer has no {END_OF_UTTERANCE}: answers may run to the token limit"
        return
    stops = (generation or {}).get("eos_token_id")
    ids = stops if isinstance(stops, list) else [stops]
    if stops is None or (end is not None and end not in ids):
        missing = "no generation_config.json" if generation is None else "generation_config.json"
        has = "" if generation is None else f" has eos_token_id {stops}"
        yield (
            f"{missing}{has}, so {END_OF_UTTERANCE} (id {end}) does not end an answer: "
            "answers may run to the token limit"
        )


def _vocabulary_warnings(rows: int | None, facts: Processor) -> Iterable[str]:
    size = facts.tokenizer_size
    if rows is None or size is None:
        return
    if size > rows:
        yield (
            f"the tokenizer has {size:,} tokens and the model {rows:,} embeddings: "
            "a prompt with one of the others crashes"
        )
    elif rows - size > UNNAMED_ROWS:
        yield (
            f"the tokenizer has {size:,} tokens and the model {rows:,} embeddings, more than "
            "padding explains: they may not belong together"
        )


def _template_warnings(facts: Processor) -> Iterable[str]:
    if facts.chat_template is None:
        yield "no chat template: the processor was saved without one"
        return
    if lacking := [mark for mark in _TEMPLATE_MARKS if mark not in facts.chat_template]:
        yield f"the chat template is unlike SmolVLM's: it lacks {', '.join(lacking)}"


def _tile_warnings(vision: _Vision, facts: Processor) -> Iterable[str]:
    if facts.tile_size != vision.image_size:
        yield (
            f"the processor cuts tiles of {facts.tile_size} pixels and the vision tower was made "
            f"for {vision.image_size}"
        )
    if facts.image_seq_len != vision.tokens_per_tile:
        yield (
            f"the processor counts {facts.image_seq_len} tokens a tile (image_seq_len) and the "
            f"model makes {vision.tokens_per_tile}"
        )
    if facts.longest_edge % facts.tile_size:
        yield (
            f"images are resized to a longest edge of {facts.longest_edge} pixels, not a multiple "
            f"of the tile's {facts.tile_size}"
        )


def _leftover_warnings(path: Path) -> Iterable[str]:
    if (path / SINGLE).exists() and (path / INDEX).exists():
        yield f"{SINGLE} and {INDEX} are both there: the first is evaluated, as transformers does"
