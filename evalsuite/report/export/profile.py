"""The files of `evalsuite profile`: JSON and a plot."""

from __future__ import annotations

from pathlib import Path

from evalsuite.runner.profile import Profile, profile_to_plain
from evalsuite.runs.layout import profile_directory
from evalsuite.system.files import to_json_text, write_output


def place(made: Profile, results: Path) -> Path:
    """Return the default directory of the files: in the directory of the checkpoint's runs."""
    checkpoint = made.checkpoint
    return profile_directory(results, checkpoint.name, checkpoint.digest, made.device, made.dtype)


def write(made: Profile, directory: Path) -> list[Path]:
    """Write profile.json and, if a batch size was measured, its plot; returns the files."""
    path = directory / "profile.json"
    write_output(path, to_json_text(profile_to_plain(made)))
    if not made.measured:
        return [path]
    from evalsuite.report.plots.profile import plot  # matplotlib takes half a second

    return [path, *plot(made, directory)]
