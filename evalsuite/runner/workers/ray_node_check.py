"""What a machine of a cluster has and sees: ``python -m evalsuite.runner.workers.ray_node_check``.

It runs there as a worker would, and answers in JSON, which another version of it can read, too.
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
"""So long may a file take to be seen on another machine: NFS looks every few seconds."""
_SAME = {
    "evalsuite": "install the same version on both",
    "engine": "install the same version on both",
    "resampling": "install the same torchvision on both",
}
"""What must be the same everywhere for answers to be comparable, and how to make it so."""
_SHARE = (
    "checkpoints, the cache ($EVALSUITE_CACHE) and --output-dir must be on a file system that all "
    "machines share"
)
_NOTED = ("python", *(name for name in PACKAGES if name not in ("ms-vlmeval", "decord")))
"""Of what else may differ, what a worker uses."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A checkpoint that workers are to load, as `Checkpoint` has it."""

    directory: str
    base: str | None
    processor: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a machine must see, under the very same paths."""

    checkpoints: tuple[Weights, ...] = ()
    files: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As `main` reads it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Found:
    """What a machine has, and why it will not do."""

    traits: Mapping[str, str | None]
    unseen: Sequence[str] = ()
    """What it should see and does not, each with what to do."""


def weights(checkpoint: Checkpoint) -> Weights:
    """What workers load of `checkpoint`."""
    base, processor = checkpoint.base_path, checkpoint.processor_path
    return Weights(
        str(checkpoint.path),
        None if base is None else str(base),
        None if processor is None else str(processor),
        checkpoint.digest,
    )


def traits() -> dict[str, str | None]:
    """Versions, and whatever else shapes an answer, of the machine this runs on."""
    return {"evalsuite": VERSION, "engine": ENGINE, "resampling": resampling(), **versions()}


def complaint(found: Found, here: Mapping[str, str | None]) -> str | None:
    """Why a machine that is as `found` must not work for one with the traits `here`, if so."""
    for key, remedy in _SAME.items():
        there = found.traits.get(key)
        if there != here[key]:
            return f"has {key} {there}, and this machine {here[key]}; {remedy}"
    return found.unseen[0] if found.unseen else None


def differences(found: Found, here: Mapping[str, str | None]) -> dict[str, str | None]:
    """Versions of the machine `found` that are not those `here`, and need not be."""
    return {key: found.traits.get(key) for key in _NOTED if found.traits.get(key) != here.get(key)}


def unseen_files(paths: Iterable[str], within_seconds: float = SHARED_WITHIN_SECONDS) -> list[str]:
    """Which of `paths` are not there, even after a while."""
    deadline = time.monotonic() + within_seconds
    while missing := [path for path in paths if not Path(path).exists()]:
        if time.monotonic() > deadline:
            return missing
        time.sleep(0.2)
    return []


def look(wanted: Wanted) -> Found:
    """What of `wanted` this machine does not see, and its traits."""
    missing = unseen_files(wanted.files)
    unseen = [f"does not see {Path(path).parent}; {_SHARE}" for path in missing]
    for one in wanted.checkpoints:
        try:
            read = checkpoints.read(one.directory, processor=one.processor, base=one.base)
        except EvalsuiteError as error:
            unseen.append(f"cannot read the checkpoint: {error}")
            continue
        if read.digest != one.digest:
            unseen.append(
                f"has another checkpoint in {one.directory}; copy it anew, or keep it on a file "
                "system that both share"
            )
    return Found(traits(), unseen)


def main() -> None:
    """Read a `Wanted` from standard input, write a `Found`."""
    given = json.load(sys.stdin)
    wanted = Wanted(
        tuple(Weights(**one) for one in given["checkpoints"]),
        tuple(given["files"]),
    )
    json.dump(asdict(look(wanted)), sys.stdout)


if __name__ == "__main__":
    main()
