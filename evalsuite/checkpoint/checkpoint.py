"""A checkpoint: what ``--ckpt`` names, checked and identified before anything is loaded.

A directory, a Hub id or a bundled demo checkpoint, whole or a LoRA adapter with its base, is read
from its JSON files and safetensors headers alone. What makes an evaluation impossible is a
`UsageError`; what makes predictions doubtful is a warning, which is recorded with the run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalsuite.checkpoint.adapter import (
    Adapter,
    check_fit,
    embedding_rows,
    is_adapter,
    read_adapter,
)
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
from evalsuite.checkpoint.processor import (
    PROCESSOR_FILES,
    START,
    TOKENIZER,
    has_image_settings,
    has_tokenizer,
    read_processor,
)
from evalsuite.checkpoint.weights import INDEX, SINGLE, Weights, read_weights
from evalsuite.errors import UsageError
from evalsuite.system.hashing import FileIdentity, Stamp, identify, read_stamp

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
    """The directory with the image settings: that of ``--processor``, else `path`, or `base_path`
    for an adapter without them."""
    tokenizer_path: Path
    """The directory with the tokenizer: `path`, or `base_path`, or that of ``--processor``, the
    first that has one."""
    family: Family
    architecture: str
    digest: str
    """SHA-256, in hex, of the weights and every file that changes a prediction."""
    files: tuple[FileIdentity, ...] = field(default=(), repr=False, compare=False)
    """These files, as they were when they were digested."""
    parameters: int
    tile_size: int
    """Pixels per tile edge."""
    tokens_per_tile: int
    longest_edge: int
    """Pixels of an image's longest edge before it is cut into tiles."""
    splits_images: bool
    chat_template: str | None = field(repr=False)
    """Jinja; used by ``--prompts native``."""
    has_start_token: bool = True
    """Whether the tokenizer has ``<|im_start|>``, with which VLMEvalKit's prompts begin."""
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
    named = None if processor is None else locate(processor, PROCESSOR_FILES)
    own = [place.path] if adapter is None else [place.path, adapter.base.path]
    before = _stamps(own if named is None else [*own, named.path])
    config, family, weights = _read_model(model)
    images, words = _find_processor(own, None if named is None else named.path)
    generation = model.path / GENERATION_CONFIG
    parts = Parts(
        path=model.path,
        config=config,
        vision=read_vision_config(config, model.path / CONFIG),
        weights=weights,
        generation=read_json_object(generation) if generation.exists() else None,
        processor=read_processor(images, words),
        adapter_rows=0 if adapter is None else embedding_rows(adapter.shapes) or 0,
    )
    require_consistent(parts)
    if adapter is not None:
        check_fit(adapter, weights)
    files = [model.path / CONFIG, *weights.files, *parts.processor.files]
    files += [] if parts.generation is None else [generation]
    files += [] if adapter is None else adapter.files
    identities = _identify(files, before, cache)
    places = [
        place,
        *([] if adapter is None else [adapter.base]),
        *([] if named is None else [named]),
    ]
    doubts = [warning for found in places for warning in found.warnings]
    doubts += [] if named is None else _unused_words(named.path, words)
    return Checkpoint(
        name=safe_name(place.name if name is None else name),
        source=source,
        path=place.path,
        base_path=None if adapter is None else adapter.base.path,
        base=None if adapter is None else adapter.base_name,
        processor_path=images,
        tokenizer_path=words,
        family=family,
        architecture=ARCHITECTURES[family],
        digest=_digest(identities),
        files=identities,
        parameters=weights.parameters,
        tile_size=parts.processor.tile_size,
        tokens_per_tile=parts.vision.tokens_per_tile,
        longest_edge=parts.processor.longest_edge,
        splits_images=parts.processor.splits_images,
        step=_step(place.path),
        chat_template=parts.processor.chat_template,
        has_start_token=START in parts.processor.tokens,
        warnings=(*doubts, *find_warnings(parts)),
    )


def _find_adapter(place: Place, source: str, base: str | None) -> Adapter | None:
    if is_adapter(place.path):
        return read_adapter(place.path, base, _MODEL_PATTERNS)
    if base is not None:
        raise UsageError(f"--base {base}: {source} is not a LoRA adapter; omit --base")
    return None


def _find_processor(own: Sequence[Path], named: Path | None) -> tuple[Path, Path]:
    """The directories of the image settings and of the tokenizer.

    `own` are those of the checkpoint and its base, `named` is that of ``--processor``. It replaces
    image settings. It never replaces a tokenizer: the weights know only their own.
    """
    last = own[0] if named is None else named
    images = named or next(filter(has_image_settings, own), last)
    return images, next(filter(has_tokenizer, own), last)


def _unused_words(named: Path, words: Path) -> list[str]:
    """A warning if the tokenizer in `named` is another one than that in `words`, which is used."""
    if words == named or not has_tokenizer(named):
        return []
    same = (named / TOKENIZER).read_bytes() == (words / TOKENIZER).read_bytes()
    return (
        []
        if same
        else [f"the tokenizer in {words} is used; that of --processor differs and is not used"]
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


def _stamps(directories: Iterable[Path]) -> dict[Path, Stamp]:
    """The stamps of all files in `directories`."""
    paths = (path for directory in directories for path in directory.iterdir() if path.is_file())
    return {path: read_stamp(path) for path in paths}


def _identify(
    files: Iterable[Path], before: Mapping[Path, Stamp], cache: Path | None
) -> tuple[FileIdentity, ...]:
    """Digest `files`; raises `UsageError` for one that has not the stamp in `before`."""
    found = tuple(identify(path, cache=cache) for path in sorted(files, key=lambda p: p.name))
    for file in found:
        if before.get(file.path) != file.stamp:
            raise UsageError(
                f"{file.path}: changed while it was read; wait until it is complete, then rerun"
            )
    return found


def _digest(files: Iterable[FileIdentity]) -> str:
    """Digest file names and contents, so that a copy in another directory has the same digest."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path.name}\0{file.digest}\n".encode())
    return digest.hexdigest()
