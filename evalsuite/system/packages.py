"""Whether the packages that a command needs are installed, found out without importing any."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from evalsuite.errors import UsageError

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
_SHOWN = 3


def require_run() -> None:
    """Raise `UsageError` with the command to install, unless checkpoints can be run here."""
    lacking = [str(one) for one in _asked(RUN) if not _installed(one)]
    kit = _asked(VLMEVALKIT)
    lacking_kit = [str(one) for one in kit if not _installed(one)]
    if not lacking and not lacking_kit:
        return
    commands = [f"pip install 'evalsuite[{RUN}]'"] if lacking else []
    if lacking_kit:
        # Without its dependencies: the extra `run` has those that are needed.
        commands.append(f"pip install --no-deps {' '.join(map(str, kit))}")
    names = [*lacking_kit, *lacking]
    more = f" and {len(names) - _SHOWN} more packages" if len(names) > _SHOWN else ""
    raise UsageError(
        f"running a checkpoint needs {', '.join(names[:_SHOWN])}{more}: {' && '.join(commands)}"
    )


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


def _installed(wanted: Requirement) -> bool:
    for name in (wanted.name, *_SAME.get(wanted.name, ())):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if wanted.specifier.contains(found, prereleases=True):
            return True
    return False
