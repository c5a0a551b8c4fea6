"""A checkpoint: what ``--ckpt`` names, checked and identified before anything is loaded.

A directory, a Hub id or a bundled demo checkpoint, whole or a LoRA adapter with its base, is read
from its JSON files and safetensors headers alone. What makes an evaluation impossible is a
`UsageError`; what makes predictions doubtful is a warning, which is recorded with the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalsuite.checkpoint.adapter import Adapter, check_fit, is_adapter, read_adapter
from evalsuite.checkpoint.checks import Parts, find_warnings, require_consistent
from evalsuite.checkpoint.json_files import read_json_object
from evalsuite.checkpoint.locate import STEP, Place, locate, safe_name
from evalsuite.checkpoint.model_config import (
    ARCHITECTURES,
    CONFIG,
    Family,
    read_family,
    read_vision_config,
)
from evalsuite.checkpoint.other_formats import conversion_command
from evalsuite.checkpoint.processor import PROCESSOR_FILES, missing_files, read_processor
from evalsuite.checkpoint.weights import INDEX, SINGLE, Weights, read_weights
from evalsuite.errors import UsageError
from evalsuite.system.hashing import file_digest

GENERATION_CONFIG = "generation_config.json"
_MODEL_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A SmolVLM checkpoint on this machine."""

    name: str
    """Its name in runs and tables; usable as a directory name."""
    source: str
    """The value of ``--ckpt``."""
    path: Path
    """The directory with config.json and the weights, or with the adapter."""
    base_path: Path | None = None
    """The directory with config.json and the weights of an adapter's base."""
    base: str | None = None
    """The name of that base in ``--base`` or in the adapter's config."""
    processor_path: Path
    """The directory with tokenizer and image processor: that of ``--processor``, else `path`, or
    `base_path` for an adapter without a processor."""
    family: Family
    architecture: str
    digest: str
    """SHA-256, in hex, of the weights and every file that changes a prediction."""
    parameters: int
    tile_size: int
    """Pixels per tile edge."""
    tokens_per_tile: int
    longest_edge: int
    """Pixels of an image's longest edge before it is cut into tiles."""
    splits_images: bool
    chat_template: str | None = field(repr=False)
    """Jinja; used by ``--prompts native``."""
    step: int | None
    """Training step, from the directory's name or trainer_state.json."""
    warnings: tuple[str, ...] = ()


def read(
    source: str,
    *,
    processor: str | None = None,
    base: str | None = None,
    name: str | None = None,
    cache: Path | None = None,
) -> Checkpoint:
    """Read the checkpoint `source`: a directory, a Hub id or a demo. Raises `UsageError`.

    `processor` is the directory or Hub id of the processor's files, `base` the base of an adapter.
    Digests are remembered in `cache` (see `evalsuite.system.hashing`).
    """
    try:
        place = locate(source, _MODEL_PATTERNS)
        adapter = _find_adapter(place, source, base)
        return _read(source, place, adapter, processor, name, cache)
    except OSError as error:
        raise UsageError(
            f"{error.filename or source}: cannot be read: {error.strerror or error}; "
            "check that it exists and that you may read it"
        ) from error


def _read(
    source: str,
    place: Place,
    adapter: Adapter | None,
    processor: str | None,
    name: str | None,
    cache: Path | None,
) -> Checkpoint:
    model = place if adapter is None else adapter.base
    config, family, weights = _read_model(model)
    if adapter is not None:
        check_fit(adapter, weights)
    processor_place, doubts = _find_processor(place, processor, adapter)
    generation = model.path / GENERATION_CONFIG
    parts = Parts(
        path=model.path,
        config=config,
        vision=read_vision_config(config, model.path / CONFIG),
        weights=weights,
        generation=read_json_object(generation) if generation.exists() else None,
        processor=read_processor(processor_place.path),
    )
    require_consistent(parts)
    files = [model.path / CONFIG, *weights.files, *parts.processor.files]
    files += [] if parts.generation is None else [generation]
    files += [] if adapter is None else adapter.files
    base_warnings = () if adapter is None else adapter.base.warnings
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
        tile_size=parts.processor.tile_size,
        tokens_per_tile=parts.vision.tokens_per_tile,
        longest_edge=parts.processor.longest_edge,
        splits_images=parts.processor.splits_images,
        step=_step(place.path),
        chat_template=parts.processor.chat_template,
        warnings=(*place.warnings, *base_warnings, *doubts, *find_warnings(parts)),
    )


def _find_adapter(place: Place, source: str, base: str | None) -> Adapter | None:
    if is_adapter(place.path):
        return read_adapter(place.path, base, _MODEL_PATTERNS)
    if base is not None:
        raise UsageError(f"--base {base}: {source} is not a LoRA adapter; omit --base")
    return None


def _find_processor(
    place: Place, named: str | None, adapter: Adapter | None
) -> tuple[Place, tuple[str, ...]]:
    """The directory of the processor, and warnings about it."""
    if named is not None:
        found = locate(named, PROCESSOR_FILES)
        return found, found.warnings
    missing = missing_files(place.path)
    if adapter is None or not missing:
        return place, ()
    present = [name for name in PROCESSOR_FILES if (place.path / name).exists()]
    if not present:
        return adapter.base, ()
    return adapter.base, (
        f"the adapter has {present[0]} but no {' and no '.join(missing)}: the base's processor is "
        "used; to use another one, set --processor",
    )


def _read_model(place: Place) -> tuple[dict[str, Any], Family, Weights]:
    """Read config.json and the weights. Raises `UsageError` if `place` is not a whole model."""
    path = place.path / CONFIG
    names = {entry.name for entry in place.path.iterdir()}
    # Before the weights: the weights of an unsupported model need no conversion.
    config = read_json_object(path) if CONFIG in names else None
    family = None if config is None else read_family(config, path)
    if place.hub and SINGLE not in names and INDEX not in names:
        out = f"{place.hub.name}-safetensors"
        raise UsageError(
            f"{place.hub}: no safetensors in {place.path}; if the download was interrupted, rerun "
            "with a network; if the model has weights in another format, convert them with "
            f"`{conversion_command(place.hub.repo, out)}`, then evaluate {out} "
            f"with --processor {place.hub}"
        )
    weights = read_weights(place.path)
    if config is None or family is None:
        raise UsageError(
            f"{place.path}: weights but no {CONFIG}; copy it from the base model, or save the "
            "checkpoint with save_pretrained"
        )
    return config, family, weights


def _step(path: Path) -> int | None:
    if match := STEP.fullmatch(path.name):
        return int(match[1])
    state = path / "trainer_state.json"
    step = read_json_object(state).get("global_step") if state.exists() else None
    return step if isinstance(step, int) else None


def _digest(files: Iterable[Path], cache: Path | None) -> str:
    """Digest file names and contents, so that a copy in another directory has the same digest."""
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.name):
        digest.update(f"{path.name}\0{file_digest(path, cache=cache)}\n".encode())
    return digest.hexdigest()
