"""Whether the packages that a command needs are installed, found out without importing any."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement

from evalsuite.errors import UsageError
from evalsuite.system.environment import installed

RUN = "run"
"""The extra with the packages that run checkpoints, but for VLMEvalKit itself."""
VLMEVALKIT = "vlmevalkit"
"""The extra with VLMEvalKit and everything that it asks for."""
_SAME = {
    "opencv-python-headless": (
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    )
}
"""Other packages that hold the same module."""
_FIRST = ("ms-vlmeval", "torch", "transformers")
"""A message names these before others, and no more than that many packages."""


def require_run() -> None:
    """Raise `UsageError` with the command to install, unless checkpoints can be run here."""
    kit = _asked(VLMEVALKIT)
    lacking_kit = _lacking(kit)
    lacking = _lacking(_asked(RUN))
    if not lacking and not lacking_kit:
        return
    commands = [f"pip install 'evalsuite[{RUN}]'"] if lacking else []
    if lacking_kit:
        # Without its dependencies: the extra `run` has those that are needed.
        commands.append(f"pip install --no-deps {' '.join(map(str, kit))}")
    names = lacking_kit | lacking
    named = sorted(names, key=lambda name: (name not in _FIRST, name))[: len(_FIRST)]
    more = f" and {len(names) - len(named)} more packages" if len(names) > len(named) else ""
    raise UsageError(
        f"running a checkpoint needs {', '.join(names[name] for name in named)}{more}: "
        f"{' && '.join(commands)}"
    )


def require(package: str, what: str) -> None:
    """Raise `UsageError` unless `package`, of the extra `run`, is installed: `what` needs it."""
    for asked in _lacking(one for one in _asked(RUN) if one.name == package).values():
        raise UsageError(f"{what} needs {asked}: pip install 'evalsuite[{RUN}]'")


@functools.cache
def _asked(extra: str) -> tuple[Requirement, ...]:
    """What `extra` adds to evalsuite; nothing if evalsuite itself is not installed."""
    try:
        every = [Requirement(text) for text in requires("evalsuite") or ()]
    except PackageNotFoundError:
        return ()
    added = [one for one in every if one.marker and one.marker.evaluate({"extra": extra})]
    for one in added:
        one.marker = None
    return tuple(added)


def _lacking(wanted: Iterable[Requirement]) -> dict[str, str]:
    """Those that are not installed, by name, each with the version that is there instead."""
    found: dict[str, str] = {}
    for one in wanted:
        names = (one.name, *_SAME.get(one.name, ()))
        there = [version for name in names if (version := installed(name)) is not None]
        if not any(one.specifier.contains(version, prereleases=True) for version in there):
            found[one.name] = f"{one}, not {there[0]}" if there else str(one)
    return found
