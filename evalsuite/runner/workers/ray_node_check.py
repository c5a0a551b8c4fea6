"""Check a machine of a Ray cluster: ``python -m evalsuite.runner.workers.ray_node_check``.

It runs there as a worker would. Input and output are JSON, so that another version can read them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, slots=True)
class RequiredCheckpoint:
    """A checkpoint that workers will load."""

    directory: str
    base: str | None
    processor: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Required:
    """What a machine must see under the same paths."""

    checkpoints: tuple[RequiredCheckpoint, ...] = ()
    files: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Text that `main` reads."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Versions of a machine, and what it does not see."""

    traits: Mapping[str, str | None]
    missing: Sequence[str] = ()
    """One message for each."""


def required_checkpoint(checkpoint: Checkpoint) -> RequiredCheckpoint:
    """What workers load of `checkpoint`."""
    base, processor = checkpoint.base_path, checkpoint.processor_path
    return RequiredCheckpoint(
        str(checkpoint.path),
        None if base is None else str(base),
        None if processor is None else str(processor),
        checkpoint.digest,
    )


def traits() -> dict[str, str | None]:
    """Versions and other properties of this machine that can change predictions."""
    return {"evalsuite": VERSION, "engine": ENGINE, "resampling": resampling(), **versions()}


def problem(report: NodeReport, here: Mapping[str, str | None]) -> str | None:
    """Why the machine of `report` must not work for one with the traits `here`, or None."""
    for key, remedy in _MUST_MATCH.items():
        there = report.traits.get(key)
        if there != here[key]:
            return f"has {key} {there}, and this machine {here[key]}; {remedy}"
    return report.missing[0] if report.missing else None


def differences(report: NodeReport, here: Mapping[str, str | None]) -> dict[str, str | None]:
    """Versions that differ from those `here` and need not be the same."""
    there = report.traits
    return {key: there.get(key) for key in _NOTED if there.get(key) != here.get(key)}


def missing_files(paths: Iterable[str], within_seconds: float = SHARED_WITHIN_SECONDS) -> list[str]:
    """Those of `paths` that do not exist, even after a while."""
    deadline = time.monotonic() + within_seconds
    while missing := [path for path in paths if not Path(path).exists()]:
        if time.monotonic() > deadline:
            return missing
        time.sleep(0.2)
    return []


def check(required: Required) -> NodeReport:
    """The traits of this machine, and what it does not see of `required`."""
    missing = [
        f"does not see {Path(path).parent}; {_SHARE}" for path in missing_files(required.files)
    ]
    for one in required.checkpoints:
        try:
            read = checkpoints.read(one.directory, processor=one.processor, base=one.base)
        except EvalsuiteError as error:
            missing.append(f"cannot read the checkpoint: {error}")
            continue
        if read.digest != one.digest:
            missing.append(
                f"has another checkpoint in {one.directory}; copy it again, or keep it on a file "
                "system that both share"
            )
    return NodeReport(traits(), missing)


def main() -> None:
    """Read a `Required` from standard input, write a `NodeReport`."""
    given = json.load(sys.stdin)
    required = Required(
        tuple(RequiredCheckpoint(**one) for one in given["checkpoints"]),
        tuple(given["files"]),
    )
    json.dump(asdict(check(required)), sys.stdout)


if __name__ == "__main__":
    main()
