"""The files of `evalsuite profile`: JSON, and a plot of throughput and memory by batch size."""

from __future__ import annotations

from pathlib import Path

from evalsuite.report.plots.style import COLOURS, figure, save, shown, styled
from evalsuite.runner.profile import Profile, profile_to_plain
from evalsuite.runs.layout import profile_directory
from evalsuite.smolvlm.profiler import minimum_seconds
from evalsuite.system.files import to_json_text, write_atomically


def place(made: Profile, results: Path) -> Path:
    """Return the default directory of the files: in the directory of the checkpoint's runs."""
    checkpoint = made.checkpoint
    return profile_directory(results, checkpoint.name, checkpoint.digest, made.device, made.dtype)


def write(made: Profile, directory: Path) -> list[Path]:
    """Write profile.json and, if a batch size was measured, its plot; returns the files."""
    path = directory / "profile.json"
    write_atomically(path, to_json_text(profile_to_plain(made)))
    return [path, *_plot(made, directory)] if made.measured else [path]


def _plot(made: Profile, directory: Path) -> list[Path]:
    rows = made.measured
    sizes = [row.batch_size for row in rows]
    bounds = [row.workload.prompts / minimum_seconds(row, made.rates) for row in rows]
    with styled():
        drawn = figure(9, 3.6)
        speed, memory = drawn.subplots(1, 2)
        speed.plot(sizes, [row.examples_per_second for row in rows], "o-", color=COLOURS[0],
                   label="measured")  # fmt: skip
        speed.plot(sizes, bounds, "s--", color=COLOURS[1], label="roofline bound")
        speed.set_ylabel("examples/s")
        speed.legend()
        memory.plot(sizes, [row.peak_memory_bytes / 1e9 for row in rows], "o-", color=COLOURS[0])
        memory.set_ylabel("GB allocated" if made.device.startswith("cuda") else "GB resident")
        for axes in (speed, memory):
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
            axes.set_xlabel("batch size")
        title = f"{made.checkpoint.name} on {made.rates.device} in {made.dtype}"
        drawn.suptitle(shown(title, 100))
        return save(drawn, directory, "profile")
