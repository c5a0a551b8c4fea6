"""From the value of ``--ckpt`` to a directory on this machine and a name."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.checkpoint.hub import HubId, download, parse_hub_id
from evalsuite.errors import UsageError, nearest
from evalsuite.system.text import natural_key, slug

DEMOS = {"demo": "demo", "demo:early": "early"}
"""Reserved names and their bundled directories. A local directory of that name is ./demo."""
STEP = re.compile(r"checkpoint-(\d+)")
"""The Trainer's directory name for a training step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory of checkpoint or processor files, and its name."""

    path: Path
    name: str
    hub: HubId | None = None
    """The Hub model it was downloaded from."""
    warnings: tuple[str, ...] = ()


def locate(source: str, patterns: Sequence[str]) -> Place:
    """The directory that `source` names: a demo, a path or a Hub id, in this order.

    For a Hub id, the files that match `patterns` are downloaded. Raises `UsageError`.
    """
    if not source:
        raise UsageError("an empty name; use a directory, org/name or demo")
    if source.partition(":")[0] == "demo":
        return _demo(source)
    path = Path(os.path.abspath(Path(source).expanduser()))  # noqa: PTH100 - keeps the name of a link
    if path.is_dir():
        return Place(path=path, name=_path_name(path))
    if path.exists():
        raise UsageError(
            f"{source}: is a file; a checkpoint is a directory with model.safetensors and "
            f"config.json (did you mean {path.parent}?)"
        )
    model = parse_hub_id(source)
    # The name of a Trainer's directory, or of anything in an existing directory, is probably a
    # misspelt path and is not sent to the Hub. `org/name@main` always means the Hub.
    misspelt = STEP.fullmatch(path.name) or path.parent.is_dir()
    if model is None or (model.revision is None and misspelt):
        raise UsageError(_missing(source, path, model))
    folder, warnings = download(model, patterns)
    return Place(path=folder, name=model.name, hub=model, warnings=warnings)


def expand(source: str) -> list[str]:
    """The directories that match the pattern `source`, by training step; else `source` itself.

    Raises `UsageError` if no directory matches the pattern.
    """
    pattern = str(Path(source).expanduser())
    if not any(mark in source for mark in "*?[") or Path(pattern).exists():
        return [source]
    found = [path for path in glob.glob(pattern) if Path(path).is_dir()]  # noqa: PTH207 - anywhere
    if not found:
        raise UsageError(f"{source}: no directory matches; use a directory, org/name or demo")
    return sorted(found, key=natural_key)


def safe_name(name: str) -> str:
    """`name` as a directory name; raises `UsageError` if no usable character is left."""
    if not (safe := slug(name)):
        raise UsageError(
            f"'{name}' is not a valid checkpoint name; set --name with letters, digits, . _ and -"
        )
    return safe


def _demo(source: str) -> Place:
    if source not in DEMOS:
        raise UsageError(
            f"{source}: no such demo checkpoint; available are {' and '.join(DEMOS)} "
            f"(a local directory of that name is ./{source})"
        )
    path = Path(__file__).parents[1] / "demo" / "checkpoints" / DEMOS[source]
    if not path.is_dir():
        raise UsageError(f"{path}: the demo checkpoint is not installed; reinstall evalsuite")
    return Place(path=path, name=source.replace(":", "-"))


def _path_name(path: Path) -> str:
    """The directory's name; with the parent's name before a Trainer's ``checkpoint-500``."""
    if STEP.fullmatch(path.name) and path.parent.name:
        return f"{path.parent.name}-{path.name}"
    return path.name


def _missing(source: str, path: Path, model: HubId | None) -> str:
    """A message that `source` does not exist, with the directory that may have been meant."""
    while not path.parent.is_dir():  # find the first missing part
        path = path.parent
    siblings = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
    on_hub = f"; for the model on the Hub, use {model.repo}@main" if model else ""
    return (
        f"{source}: no such directory; {path.parent} has no directory '{path.name}'"
        f"{nearest(path.name, siblings)}; use a directory, a Hub id (org/name) or demo{on_hub}"
    )
