"""The safetensors files of a checkpoint. Only headers are read: milliseconds at any size.

An `OSError` of the file system is left to the caller.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evalsuite.checkpoint.json_files import LFS_POINTER, read_json_object, refuse_lfs_pointer
from evalsuite.checkpoint.other_formats import explain_missing_weights
from evalsuite.errors import UsageError
from evalsuite.system.files import open_regular
from evalsuite.system.text import first_few

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_LARGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
_PIECE_BYTES = 1 << 24

Shape = tuple[int, ...]


class Tensor(NamedTuple):
    """A tensor in a safetensors file."""

    shape: Shape
    dtype: str
    """As in the header: ``BF16``, ``F32``, ``U8``."""
    file: Path
    begin: int
    """Offset of its first byte in `file`."""
    end: int

    def content(self) -> Iterator[bytes]:
        """Its bytes, in pieces."""
        with self.file.open("rb") as file:
            file.seek(self.begin)
            for start in range(self.begin, self.end, _PIECE_BYTES):
                yield file.read(min(_PIECE_BYTES, self.end - start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The safetensors files of a checkpoint and the tensors in them."""

    files: tuple[Path, ...]
    """Every file that determines the weights: the single file, or the index and its shards."""
    tensors: Mapping[str, Tensor]
    """By name."""

    @property
    def parameters(self) -> int:
        """Number of stored parameters. Tied weights are stored, and counted, once."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())


def read_weights(directory: Path) -> Weights:
    """Find the weights that transformers would load from `directory`.

    Raises `UsageError` if a file is missing, truncated or damaged, or has another format.
    """
    # lexists: a link without a target is an error to report, not a missing file.
    if os.path.lexists(directory / SINGLE):
        path = directory / SINGLE
        return Weights(files=(path,), tensors=read_safetensors_header(path))
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
    tensors: dict[str, Tensor] = {}
    for name in names:
        stored = read_safetensors_header(index.parent / name)
        expected = {tensor for tensor, file in weight_map.items() if file == name}
        if absent := sorted(expected - stored.keys()):
            raise UsageError(
                f"{index.parent / name}: tensor '{absent[0]}' is missing although {INDEX} lists it "
                "in this file; the files are from different checkpoints: copy or download all of "
                "them again"
            )
        tensors.update(stored)
    return Weights(files=(index, *(index.parent / name for name in names)), tensors=tensors)


def read_safetensors_header(path: Path) -> dict[str, Tensor]:
    """Tensors by name. Raises `UsageError` if the file is damaged or has the wrong length."""
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
        tensors = _parse_header(header, path, 8 + length)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}: not a safetensors file, or its header is damaged; copy or download it again"
        ) from error
    expected = max((tensor.end for tensor in tensors.values()), default=8 + length)
    if size < expected:
        raise UsageError(
            f"{path}: truncated: {size:,} of {expected:,} bytes; copy or download it again"
        )
    if size > expected:
        raise UsageError(
            f"{path}: damaged: {size - expected:,} bytes after its last tensor; "
            "copy or download it again"
        )
    return tensors


def _parse_header(header: bytes, path: Path, data: int) -> dict[str, Tensor]:
    """Tensors by name, whose data begins at byte `data`. Raises `ValueError` and others."""
    tensors = {}
    for name, entry in json.loads(header).items():
        if name == "__metadata__":
            continue
        shape = tuple(int(n) for n in entry["shape"])
        begin, end = (data + int(offset) for offset in entry["data_offsets"])
        if min(shape, default=0) < 0:
            raise ValueError(f"{name} has the shape {shape}")
        tensors[name] = Tensor(shape, str(entry["dtype"]), path, begin, end)
    place = data
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != place or tensor.end < place:
            raise ValueError("the tensors do not follow each other")
        place = tensor.end
    return tensors
