"""The weights of a checkpoint on disk: which safetensors files they are, and what those hold.

Only headers are read, so this costs milliseconds at any size. Weights in another format are not
loaded; the error says how to turn each kind into safetensors. What the system refuses to read is
left to the caller as OSError.
"""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_LARGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
_LFS_POINTER = b"version https://git-lfs"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TRAINING_STATE = (
    "optimizer*", "scheduler*", "rng_state*", "scaler*", "training_args.bin", "random_states*",
    "*_optim_states.pt", "*_model_states.pt",
)  # fmt: skip
_CONVERT = (
    "from transformers import AutoModelForImageTextToText as M; "
    "M.from_pretrained({source}).save_pretrained({out}, safe_serialization=True)"
)
_CONVERT_LOOSE = (
    "import torch; from transformers import AutoConfig as C, AutoModelForImageTextToText as M; "
    "m = M.from_config(C.from_pretrained({source})); "
    'm.load_state_dict(torch.load({file}, map_location="cpu", weights_only=True)); '
    "m.save_pretrained({out}, safe_serialization=True)"
)
_CONVERT_ADAPTER = (
    "import torch; from safetensors.torch import save_file; "
    'w = torch.load({source}, map_location="cpu", weights_only=True); '
    "save_file({{k: t.clone() for k, t in w.items()}}, {out})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The safetensors files of a checkpoint and the shapes of the tensors in them."""

    files: tuple[Path, ...]
    """Every file that decides the weights: the single one, or the index and its shards."""
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """Numbers stored. Tied weights are stored once, so they count once."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def embedding_rows(self) -> int | None:
        """How many tokens the text model has an embedding for; None if none is stored."""
        for name, shape in self.shapes.items():
            if name.endswith("text_model.embed_tokens.weight") and shape:
                return shape[0]
        return None


def read_weights(directory: Path) -> Weights:
    """Find the weights transformers would load from `directory`; every file present and whole."""
    # lexists: a link whose target is gone is an error to report, not an absent file.
    if os.path.lexists(directory / SINGLE):
        return Weights(
            files=(directory / SINGLE,), shapes=read_safetensors_header(directory / SINGLE)
        )
    if os.path.lexists(directory / INDEX):
        return _read_shards(directory / INDEX)
    raise UsageError(_why_no_weights(directory))


def _read_shards(index: Path) -> Weights:
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UsageError(f"{index}: it has no 'weight_map'; copy or download it again")
    names = sorted({str(name) for name in weight_map.values()})
    if outside := [name for name in names if Path(name).name != name]:
        raise UsageError(f"{index}: shard '{outside[0]}' is not a file beside the index")
    if missing := [name for name in names if not (index.parent / name).exists()]:
        raise UsageError(
            f"{index.parent}: {len(missing)} of {len(names)} shards missing "
            f"({_some(missing)}); copy or download them again"
        )
    shapes: dict[str, tuple[int, ...]] = {}
    for name in names:
        held = read_safetensors_header(index.parent / name)
        if absent := sorted(t for t, file in weight_map.items() if file == name and t not in held):
            raise UsageError(
                f"{index.parent / name}: tensor '{absent[0]}' is not in it, but {INDEX} says so; "
                "the files are from different checkpoints: copy or download all of them again"
            )
        shapes.update(held)
    return Weights(files=(index, *(index.parent / name for name in names)), shapes=shapes)


def read_safetensors_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape by tensor name. Raises `UsageError` unless the file is exactly as long as it says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
        length = int.from_bytes(start[:8], "little")
        file.seek(8)
        header = file.read(length) if length <= min(size, _LARGEST_HEADER_BYTES) else b""
    _refuse_lfs_pointer(path, start)
    if size < 8 or len(header) < length <= _LARGEST_HEADER_BYTES:
        raise UsageError(
            f"{path}: cut off at {size:,} bytes, before the end of its header; "
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
            f"{path}: cut off: {size:,} of {expected:,} bytes; copy or download it again"
        )
    if size > expected:
        raise UsageError(
            f"{path}: damaged: {size - expected:,} bytes follow its last tensor; "
            "copy or download it again"
        )
    return shapes


def _parse_header(header: bytes) -> tuple[dict[str, tuple[int, ...]], int]:
    """Shapes by name, and how many bytes of data follow the header."""
    entries = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
    shapes = {name: tuple(int(n) for n in entry["shape"]) for name, entry in entries.items()}
    return shapes, max((int(e["data_offsets"][1]) for e in entries.values()), default=0)


def read_json_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in `path`; `UsageError` naming the file for any other content."""
    content = path.read_bytes()
    _refuse_lfs_pointer(path, content)
    try:
        value = json.loads(content)
    except ValueError as error:  # covers JSONDecodeError and UnicodeDecodeError
        raise UsageError(f"{path}: not valid JSON ({error}); copy or download it again") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}: holds a {type(value).__name__} where an object is expected")
    return value


def _refuse_lfs_pointer(path: Path, content: bytes) -> None:
    if content.startswith(_LFS_POINTER):
        raise UsageError(
            f"{path}: a Git LFS pointer, not the file itself; "
            f"run `git lfs pull` in {shlex.quote(str(path.parent))}"
        )


def _why_no_weights(directory: Path) -> str:
    """Say what is in `directory` instead of safetensors, and how to turn it into some."""
    names = sorted(entry.name for entry in directory.iterdir())
    if not names:
        return f"{directory}: the directory is empty; name one that holds a checkpoint"
    for explain in (_fsdp, _deepspeed, _stray_safetensors, _pickled, _checkpoints_below):
        if message := explain(directory, names):
            return message
    return (
        f"{directory}: no weights in it ({_some(names)}); a checkpoint is a directory with "
        f"{SINGLE} and config.json, as save_pretrained writes it"
    )


def _fsdp(directory: Path, names: list[str]) -> str | None:
    shards = [n for n in names if n.startswith("pytorch_model_fsdp_") and (directory / n).is_dir()]
    if shards:
        source, target = directory / shards[0], directory
    elif any(name.endswith(".distcp") for name in names):
        source, target = directory, directory.parent
    else:
        return None
    return (
        f"{directory}: the weights are FSDP shards; merge them with "
        f"`accelerate merge-weights {_quoted(source)} {_quoted(target)}`, "
        f"then evaluate {target}"
    )


def _deepspeed(directory: Path, names: list[str]) -> str | None:
    inside_step = any(
        fnmatch(name, pattern)
        for name in names
        for pattern in ("mp_rank_*_model_states.pt", "*_optim_states.pt")
    )
    if not inside_step and not any(
        name == "zero_to_fp32.py" or fnmatch(name, "global_step[0-9]*") for name in names
    ):
        return None
    root = directory.parent if inside_step and "zero_to_fp32.py" not in names else directory
    script = "zero_to_fp32.py"
    if not (root / script).exists():
        script = "-m deepspeed.utils.zero_to_fp32"
    return (
        f"{directory}: the weights are a DeepSpeed checkpoint; convert them with "
        f"`cd {_quoted(root)} && python {script} . out --safe_serialization`, "
        f"copy config.json and the processor's files into out, then evaluate {root / 'out'}"
    )


def _stray_safetensors(directory: Path, names: list[str]) -> str | None:
    found = [n for n in names if n.endswith(".safetensors") and not n.startswith("adapter_model")]
    if not found:
        return None
    if any("-of-" in name for name in found):
        return f"{directory}: shards ({_some(found)}) but no {INDEX}; copy it from where they were"
    return f"{directory}: no {SINGLE}, only {_some(found)}; rename the file that is the model"


def _pickled(directory: Path, names: list[str]) -> str | None:
    found = [
        name
        for name in names
        if any(fnmatch(name, pattern) for pattern in _PICKLED)
        and not any(fnmatch(name, pattern) for pattern in _TRAINING_STATE)
    ]
    if not found:
        return None
    out = f"{directory}-safetensors"
    if "pytorch_model.bin" in names or "pytorch_model.bin.index.json" in names:
        command = conversion_command(str(directory), out)
    else:
        command = _python(
            _CONVERT_LOOSE, source=str(directory), file=str(directory / found[0]), out=out
        )
    return (
        f"{directory}: only safetensors are loaded, and the weights are {_some(found)}; convert "
        f"them with `{command}`, then evaluate {out} with --processor {_quoted(directory)}"
    )


def conversion_command(source: str, out: str) -> str:
    """Give a command that writes `source`, a directory or Hub id, as safetensors to `out`."""
    return _python(_CONVERT, source=source, out=out)


def adapter_conversion_command(source: Path, out: Path) -> str:
    """Give a command that writes a pickled adapter's weights, file `source`, as `out`."""
    return _python(_CONVERT_ADAPTER, source=str(source), out=str(out))


def _python(code: str, **paths: str) -> str:
    """`code` with `paths` filled in, as a shell command. Double quotes: the shell's are single."""
    literals = {name: json.dumps(path, ensure_ascii=False) for name, path in paths.items()}
    return f"python -c {shlex.quote(code.format(**literals))}"


def _checkpoints_below(directory: Path, names: list[str]) -> str | None:
    steps = [n for n in names if fnmatch(n, "checkpoint-[0-9]*") and (directory / n).is_dir()]
    found = sorted(steps, key=lambda n: (len(n), n)) or [
        str(path.parent.relative_to(directory))
        for pattern in ("*/config.json", "*/adapter_config.json", "snapshots/*/config.json")
        for path in sorted(directory.glob(pattern))
    ]
    if not found:
        return None
    return (
        f"{directory}: no checkpoint itself, but it holds {_some(found[::-1])} "
        f"(did you mean {directory / found[-1]}?)"
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _some(names: list[str]) -> str:
    """List the first few of `names`, and how many more there are."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
