"""The plot of `evalsuite profile`: throughput and memory by batch size, with the roofline bound."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from evalsuite.runner.profile import Profile
from evalsuite.smolvlm.profiler import minimum_seconds

matplotlib.use("Agg")  # no display
from matplotlib import pyplot as plt  # after the backend is chosen

MEASURED, BOUND = "#1f5fa8", "#b04a2f"


def plot(made: Profile, directory: Path) -> list[Path]:
    """Draw `made` into profile.svg and profile.png; returns the files."""
    rows = made.measured
    sizes = [row.batch_size for row in rows]
    # Fixed salt and no date: the same figures give the same file.
    with plt.rc_context({"svg.hashsalt": "evalsuite", "font.size": 10, "svg.fonttype": "none"}):
        figure, (speed, memory) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        speed.plot(
            sizes, [row.examples_per_second for row in rows], "o-", color=MEASURED, label="measured"
        )
        speed.plot(
            sizes,
            [row.workload.prompts / minimum_seconds(row, made.rates) for row in rows],
            "s--",
            color=BOUND,
            label="roofline bound",
        )
        speed.set_ylabel("examples/s")
        speed.legend(frameon=False)
        memory.plot(sizes, [row.peak_memory_bytes / 1e9 for row in rows], "o-", color=MEASURED)
        on_cuda = made.device.startswith("cuda")
        memory.set_ylabel("GB allocated" if on_cuda else "GB resident")
        for axes in (speed, memory):
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
            axes.set_xlabel("batch size")
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(f"{made.checkpoint.name} on {made.rates.device} in {made.dtype}")
        files = []
        for kind, metadata in (("svg", {"Date": None}), ("png", {})):
            path = directory / f"profile.{kind}"
            figure.savefig(path, metadata=metadata, dpi=150)
            files.append(path)
        plt.close(figure)
    return files
