"""The machines of a Ray cluster, and what one must have so that a worker can run on it.

``python -m evalsuite.runner.workers.ray_nodes`` checks a machine. It runs there as a worker would.
Input and output are JSON, so that another version can read them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.checkpoint import checkpoint as checkpoints
from evalsuite.checkpoint.checkpoint import Checkpoint
from evalsuite.errors import EvalsuiteError
from evalsuite.runner.resolved import ENGINE
from evalsuite.system.devices import resampling
from evalsuite.system.environment import PACKAGES, VERSION, versions

SHARED_WITHIN_SECONDS = 5.0
"""How long a file may take to appear on another machine: NFS looks every few seconds."""
_MUST_MATCH = {
    "evalsuite": "install the same version on both",
    "engine": "install the same version on both",
    "resampling": "install the same torchvision on both",
}
"""What must be the same on all machines for comparable predictions, and how to achieve it."""
_SHARE = (
    "checkpoints, the cache ($EVALSUITE_CACHE) and --output-dir must be on a file system that all "
    "machines share"
)
_NOTED = ("python", *(name for name in PACKAGES if name not in ("ms-vlmeval", "decord")))
"""Versions a worker uses. A difference is only noted."""

Traits = Mapping[str, str | None]
"""Versions and other properties of a machine that can change predictions."""
Required = tuple[str, str | None, str | None, str]
"""A checkpoint that workers will load: its directory, base model, processor and digest."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    gpus: int
    cpus: int


def uses_gpu(device: str) -> bool:
    """Whether a worker on `device` needs a GPU."""
    return device.startswith("cuda")


def required(checkpoint: Checkpoint) -> Required:
    """What workers load of `checkpoint`."""
    base, processor = checkpoint.base_path, checkpoint.processor_path
    return (
        str(checkpoint.path),
        None if base is None else str(base),
        None if processor is None else str(processor),
        checkpoint.digest,
    )


def traits() -> Traits:
    """The traits of this machine."""
    return {"evalsuite": VERSION, "engine": ENGINE, "resampling": resampling(), **versions()}


def problem(there: Traits, here: Traits) -> str | None:
    """Why a machine with traits `there` must not work for one with those `here`, or None."""
    for key, remedy in _MUST_MATCH.items():
        if there.get(key) != here[key]:
            return f"has {key} {there.get(key)}, and this machine {here[key]}; {remedy}"
    return None


def differences(there: Traits, here: Traits) -> dict[str, str | None]:
    """Versions that differ from those `here` and need not be the same."""
    return {key: there.get(key) for key in _NOTED if there.get(key) != here.get(key)}


def missing_files(paths: Iterable[str], within_seconds: float = SHARED_WITHIN_SECONDS) -> list[str]:
    """Those of `paths` that do not exist, even after a while."""
    deadline = time.monotonic() + within_seconds
    while missing := [path for path in paths if not Path(path).exists()]:
        if time.monotonic() > deadline:
            return missing
        time.sleep(0.2)
    return []


def check(wanted: Sequence[Required], files: Sequence[str]) -> tuple[Traits, list[str]]:
    """The traits of this machine, and a message for each checkpoint or file it does not see."""
    missing = [f"does not see {Path(path).parent}; {_SHARE}" for path in missing_files(files)]
    for directory, base, processor, digest in wanted:
        try:
            read = checkpoints.read(directory, processor=processor, base=base)
        except EvalsuiteError as error:
            missing.append(f"cannot read the checkpoint: {error}")
            continue
        if read.digest != digest:
            missing.append(
                f"has another checkpoint in {directory}; copy it again, or keep it on a file "
                "system that both share"
            )
    return traits(), missing


if __name__ == "__main__":
    json.dump(check(*json.load(sys.stdin)), sys.stdout)
