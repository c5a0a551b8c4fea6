"""Weights in formats other than safetensors: which format a directory has, how to convert it."""

from __future__ import annotations

import json
import shlex
from fnmatch import fnmatch
from pathlib import Path

from evalsuite.system.text import first_few

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TRAINING_STATE = (
    "optimizer*", "scheduler*", "rng_state*", "scaler*", "training_args.bin", "random_states*",
    "*_optim_states.pt", "*_model_states.pt",
)  # fmt: skip
_CONVERT = (
    "from transformers import AutoModelForImageTextToText as M; "
    "M.from_pretrained({source}).save_pretrained({out}, safe_serialization=True)"
)
_CONVERT_STATE_DICT = (
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


def conversion_command(source: str, out: str) -> str:
    """A shell command that converts `source`, a directory or Hub id, to safetensors in `out`."""
    return _python(_CONVERT, source=source, out=out)


def adapter_conversion_command(source: Path, out: Path) -> str:
    """A shell command that converts a pickled adapter, file `source`, to the file `out`."""
    return _python(_CONVERT_ADAPTER, source=str(source), out=str(out))


def explain_missing_weights(directory: Path, single: str, index: str) -> str:
    """Describe the content of `directory`, which has neither file, and how to convert it.

    `single` and `index` are the names of a weights file and of an index of shards.
    """
    names = sorted(entry.name for entry in directory.iterdir())
    if not names:
        return f"{directory}: the directory is empty; choose one that contains a checkpoint"
    for explain in (_fsdp, _deepspeed):
        if message := explain(directory, names):
            return message
    if stray := _other_safetensors(names):
        if any("-of-" in name for name in stray):
            return f"{directory}: shards ({first_few(stray)}) but no {index}; copy the index too"
        return f"{directory}: no {single}, only {first_few(stray)}; rename the file of the model"
    for explain in (_pickled, _nested_checkpoints):
        if message := explain(directory, names):
            return message
    return (
        f"{directory}: no weights, only {first_few(names)}; a checkpoint is a directory with "
        f"{single} and config.json, as save_pretrained writes it"
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


def _other_safetensors(names: list[str]) -> list[str]:
    return [n for n in names if n.endswith(".safetensors") and not n.startswith("adapter_model")]


def _pickled(directory: Path, names: list[str]) -> str | None:
    found = [
        name
        for name in names
        if any(fnmatch(name, pattern) for pattern in _PICKLED)
        and not any(fnmatch(name, pattern) for pattern in _TRAINING_STATE)
    ]
    if not found:
        return None
    source, out = str(directory), f"{directory}-safetensors"
    if "pytorch_model.bin" in names or "pytorch_model.bin.index.json" in names:
        command = conversion_command(source, out)
    else:
        file = str(directory / found[0])
        command = _python(_CONVERT_STATE_DICT, source=source, file=file, out=out)
    return (
        f"{directory}: the weights are {first_few(found)}, and only safetensors are supported; "
        f"convert them with `{command}`, then evaluate {out} with "
        f"--processor {_quoted(directory)}"
    )


def _nested_checkpoints(directory: Path, names: list[str]) -> str | None:
    steps = [n for n in names if fnmatch(n, "checkpoint-[0-9]*") and (directory / n).is_dir()]
    found = sorted(steps, key=lambda n: (len(n), n)) or [
        str(path.parent.relative_to(directory))
        for pattern in ("*/config.json", "*/adapter_config.json", "snapshots/*/config.json")
        for path in sorted(directory.glob(pattern))
    ]
    if not found:
        return None
    return (
        f"{directory}: not a checkpoint, but it contains {first_few(found[::-1])} "
        f"(did you mean {directory / found[-1]}?)"
    )


def _python(code: str, **paths: str) -> str:
    """A shell command that runs `code` with `paths` filled in as string literals."""
    literals = {name: json.dumps(path, ensure_ascii=False) for name, path in paths.items()}
    return f"python -c {shlex.quote(code.format(**literals))}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
