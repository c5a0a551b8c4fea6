"""Where a checkpoint is: from what the user typed to a directory on this machine, and a name."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.checkpoint.hub import HubId, download, parse_hub_id
from evalsuite.errors import UsageError, nearest

DEMOS = {"demo": "demo", "demo:early": "early"}
"""Reserved words, and the bundled directory each stands for. A folder of that name is ./demo."""
STEP = re.compile(r"checkpoint-(\d+)")
"""What a Trainer calls the directory of a training step."""
_LONGEST_NAME = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory of checkpoint or processor files, and what to call it."""

    path: Path
    name: str
    hub: HubId | None = None
    """The model it is a download of."""
    warnings: tuple[str, ...] = ()


def locate(source: str, patterns: Sequence[str]) -> Place:
    """Find the directory `source` stands for: a demo, a path or a Hub id, in this order.

    Of a Hub id, the files that match `patterns` are downloaded.
    """
    if not source:
        raise UsageError("an empty name for a checkpoint; give a directory, org/name or demo")
    if source.partition(":")[0] == "demo":
        return _demo(source)
    path = Path(os.path.abspath(Path(source).expanduser()))  # noqa: PTH100 - keeps a link's own name
    if path.is_dir():
        return Place(path=path, name=_path_name(path))
    if path.exists():
        raise UsageError(
            f"{source}: a file, and a checkpoint is a directory with model.safetensors and "
            f"config.json (did you mean {path.parent}?)"
        )
    model = parse_hub_id(source)
    # A Trainer's directory, or anything in a directory that exists, is a slip in a path: a local
    # name is not sent to the Hub. `org/name@main` always means the Hub.
    slip = STEP.fullmatch(path.name) or path.parent.is_dir()
    if model is None or (model.revision is None and slip):
        raise UsageError(_missing(source, path, model))
    snapshot = download(model, patterns)
    return Place(path=snapshot.path, name=model.name, hub=model, warnings=snapshot.warnings)


def expand(source: str) -> list[str]:
    """What `source` names: itself, or the directories that fit a pattern, by training step.

    Raises `UsageError` for a pattern that nothing fits.
    """
    pattern = str(Path(source).expanduser())
    if not any(mark in source for mark in "*?[") or Path(pattern).exists():
        return [source]
    found = [path for path in glob.glob(pattern) if Path(path).is_dir()]  # noqa: PTH207 - anywhere
    if not found:
        raise UsageError(f"{source}: no directory fits; give a directory, org/name or demo")
    return sorted(found, key=_by_number)


def _by_number(path: str) -> list[tuple[int, str]]:
    """Order ``checkpoint-500`` before ``checkpoint-1000``."""
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", path)]


def safe_name(name: str) -> str:
    """Turn `name` into a directory's name: letters, digits, ``.``, ``_`` and ``-``."""
    safe = _UNSAFE.sub("-", name).strip("-.")[:_LONGEST_NAME]
    if not safe:
        raise UsageError(
            f"'{name}' is no name for a checkpoint; give --name one of letters, digits, . _ and -"
        )
    return safe


def file_name(name: str) -> str:
    """Turn any `name` into one of a file: itself if it can be, else made to differ."""
    safe = _UNSAFE.sub("-", name).strip("-.")[:_LONGEST_NAME]
    if safe and safe == name:
        return name
    told = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{safe}-{told}".lstrip("-")


def _demo(source: str) -> Place:
    if source not in DEMOS:
        raise UsageError(
            f"{source}: no such demo checkpoint; there are {' and '.join(DEMOS)} "
            f"(a folder of that name is ./{source})"
        )
    path = Path(__file__).parents[1] / "demo" / "checkpoints" / DEMOS[source]
    if not path.is_dir():
        raise UsageError(f"{path}: the demo checkpoint is not installed; reinstall evalsuite")
    return Place(path=path, name=source.replace(":", "-"))


def _path_name(path: Path) -> str:
    """Take the directory's name; a Trainer's ``checkpoint-500`` brings its run's name along."""
    if STEP.fullmatch(path.name) and path.parent.name:
        return f"{path.parent.name}-{path.name}"
    return path.name


def _missing(source: str, path: Path, model: HubId | None) -> str:
    """Say that `source` is nothing, and name the sibling that was perhaps meant."""
    while not path.parent.is_dir():  # the first part that is missing
        path = path.parent
    siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    on_hub = f"; the Hub's model of that name is {model.repo}@main" if model else ""
    return (
        f"{source}: no such directory; {path.parent} has no directory '{path.name}'"
        f"{nearest(path.name, siblings)}; give a directory, a Hub id (org/name) or demo{on_hub}"
    )
