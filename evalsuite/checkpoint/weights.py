"""The safetensors files of a checkpoint. Only headers are read: milliseconds at any size.

An `OSError` of the file system is left to the caller.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalsuite.checkpoint.json_files import LFS_POINTER, read_json_object, refuse_lfs_pointer
from evalsuite.checkpoint.other_formats import explain_missing_weights
from evalsuite.errors import UsageError
from evalsuite.system.files import open_regular
from evalsuite.system.text import first_few

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_LARGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The safetensors files of a checkpoint and the shapes of the tensors in them."""

    files: tuple[Path, ...]
    """Every file that determines the weights: the single file, or the index and its shards."""
    shapes: Mapping[str, Shape]
    """By tensor name."""

    @property
    def parameters(self) -> int:
        """Number of stored parameters. Tied weights are stored, and counted, once."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def embedding_rows(self) -> int | None:
        """Number of token embeddings of the text model; None if none is stored."""
        for name, shape in self.shapes.items():
            if name.endswith("text_model.embed_tokens.weight") and shape:
                return shape[0]
        return None


def read_weights(directory: Path) -> Weights:
    """Find the weights that transformers would load from `directory`.

    Raises `UsageError` if a file is missing, truncated or damaged, or has another format.
    """
    # lexists: a link without a target is an error to report, not a missing file.
    if os.path.lexists(directory / SINGLE):
        path = directory / SINGLE
        return Weights(files=(path,), shapes=read_safetensors_header(path))
    if os.path.lexists(directory / INDEX):
        return _read_shards(directory / INDEX)
    raise UsageError(explain_missing_weights(directory, SINGLE, INDEX))


def _read_shards(index: Path) -> Weights:
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UsageError(f"{index}: no 'weight_map'; copy or download the file again")
    names = sorted({str(name) for name in weight_map.values()})
    if outside := [name for name in names if Path(name).name != name]:
        raise UsageError(
            f"{index}: shard '{outside[0]}' is not in the directory of the index; "
            "copy or download the checkpoint again"
        )
    if missing := [name for name in names if not (index.parent / name).exists()]:
        raise UsageError(
            f"{index.parent}: {len(missing)} of {len(names)} shards missing "
            f"({first_few(missing)}); copy or download them again"
        )
    shapes: dict[str, Shape] = {}
    for name in names:
        stored = read_safetensors_header(index.parent / name)
        expected = {tensor for tensor, file in weight_map.items() if file == name}
        if absent := sorted(expected - stored.keys()):
            raise UsageError(
                f"{index.parent / name}: tensor '{absent[0]}' is missing although {INDEX} lists it "
                "in this file; the files are from different checkpoints: copy or download all of "
                "them again"
            )
        shapes.update(stored)
    return Weights(files=(index, *(index.parent / name for name in names)), shapes=shapes)


def read_safetensors_header(path: Path) -> dict[str, Shape]:
    """Shapes by tensor name. Raises `UsageError` if the file is damaged or has the wrong length."""
    size = path.stat().st_size
    with os.fdopen(open_regular(path), "rb") as file:
        start = file.read(len(LFS_POINTER))
        length = int.from_bytes(start[:8], "little")
        file.seek(8)
        header = file.read(length) if length <= min(size, _LARGEST_HEADER_BYTES) else b""
    refuse_lfs_pointer(path, start)
    if size < 8 or len(header) < length <= _LARGEST_HEADER_BYTES:
        raise UsageError(
            f"{path}: truncated to {size:,} bytes, before the end of its header; "
            "copy or download it again"
        )
    try:
        shapes, data_bytes = _parse_header(header)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UsageError(
            f"{path}: not a safetensors file, or its header is damaged; copy or download it again"
        ) from error
    expected = 8 + length + data_bytes
    if size < expected:
        raise UsageError(
            f"{path}: truncated: {size:,} of {expected:,} bytes; copy or download it again"
        )
    if size > expected:
        raise UsageError(
            f"{path}: damaged: {size - expected:,} bytes after its last tensor; "
            "copy or download it again"
        )
    return shapes


def _parse_header(header: bytes) -> tuple[dict[str, Shape], int]:
    """Shapes by tensor name, and the number of data bytes after the header."""
    entries = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
    shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in entries.items()}
    return shapes, max((int(e["data_offsets"][1]) for e in entries.values()), default=0)
