"""The style of plots: readable on white and black, without colour vision, with any text.

Backgrounds are transparent. Every colour has a contrast of 3 and more, text of 4, on white as on
GitHub's dark page; colours differ for red-, green- and blue-blind eyes, and marker and dashes
differ too. tests/test_plots.py computes all of this.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evalsuite.report.format import visible
from evalsuite.system.files import write_bytes_atomically
from evalsuite.system.text import counted

INK = "#767b83"
"""Text and axes."""
COLOURS = ("#1f62fa", "#cc7a00", "#297a55", "#089ae6", "#c0421a", "#a37fae")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)),
)  # fmt: skip
SERIES = len(COLOURS)
"""Most lines or rows of dots of a plot."""
ROUND = [1, 2, 5, 10]
"""Multiples for the steps between numbers on the axes."""
SMALL, NORMAL, LARGE = 9.0, 10.0, 12.0
"""Sizes of text, in points."""
_DOTS_PER_INCH = 144
_LONGEST, _LONGEST_APART, _LONGEST_TITLE = 34, 90, 60
_TITLE, _APART = 0.36, 0.1
"""Height of a title, and distance of a legend, in inches."""
_PADS = {"w_pad": 0.1, "h_pad": 0.07}
_INKED = (
    "text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color",
    "ytick.color",
    "grid.color", "legend.labelcolor",
)  # fmt: skip
_RC: dict[Any, Any] = {
    "svg.hashsalt": "evalsuite",  # with no date: the same scores give the same file
    "svg.fonttype": "none",  # text is not converted to paths
    "text.parse_math": False,  # names can have $
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
    "font.size": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.titlesize": NORMAL,
    "figure.titlesize": LARGE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    **dict.fromkeys(_INKED, INK),
    "grid.alpha": 0.25,
    "grid.linewidth": 0.8,
}  # fmt: skip


@contextmanager
def styled() -> Iterator[None]:
    """Context in which plots are drawn and saved."""
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # Characters that the font lacks are boxes in the PNG and correct in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def figure(width: float, height: float) -> Figure:
    """Make an empty figure, in inches, without pyplot and its global state."""
    made = Figure(figsize=(width, height), layout="constrained")
    made.set_layout_engine("constrained", **_PADS)
    FigureCanvasAgg(made)
    return made


def save(made: Figure, directory: Path, name: str) -> list[Path]:
    """Write `made` as SVG and PNG; returns the files. Raises `DiskError`."""
    files = []
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        content = io.BytesIO()
        made.savefig(content, format=kind, metadata=metadata, dpi=_DOTS_PER_INCH)
        files.append(directory / f"{name}.{kind}")
        write_bytes_atomically(files[-1], content.getvalue())
    return files


def shown(text: str, most: int = _LONGEST) -> str:
    """Return `text` on one line, without the middle of a long text: names differ at their ends."""
    line = visible(text)
    if len(line) <= most:
        return line
    tail = (most - 1) // 2
    return f"{line[: most - 1 - tail]}…{line[-tail:]}"


def distinct(names: Sequence[str]) -> list[str]:
    """Return `names` as `shown`, extended where different names would look equal."""
    for most in range(_LONGEST, _LONGEST_APART, 4):
        texts = [shown(name, most) for name in names]
        if len(set(texts)) == len({visible(name) for name in names}):
            return texts
    return [shown(name, _LONGEST_APART) for name in names]


def mean_name(benchmarks: Sequence[str]) -> str:
    """Return the label of an axis for the mean over `benchmarks`."""
    if len(benchmarks) == 1:
        return shown(benchmarks[0])
    return f"mean of {counted(len(benchmarks), 'benchmark')}"


def scores_up(axes: Axes, most: int) -> None:
    """Format the vertical axis of scores, with at most `most` intervals, and draw the grid."""
    axes.yaxis.set_major_locator(MaxNLocator(most, steps=ROUND))
    axes.yaxis.set_major_formatter(lambda score, _: f"{score:g}")
    axes.grid()


def headed(made: Figure, title: str, caption: str, only: Sequence[str] = ()) -> None:
    """Write the title and the caption of `made`.

    `only` are the drawn series; a single one is named in the title instead of a legend.
    """
    named = f"{title}: {shown(only[0])}" if len(only) == 1 else title
    made.suptitle(shown(named, _LONGEST_TITLE), x=0.01, ha="left", weight="bold")
    lines = textwrap.wrap(caption, int(made.get_figwidth() * 15.5))
    made.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=SMALL)


def legend(made: Figure, axes: Axes, names: Sequence[str]) -> None:
    """Draw a legend below the title if there are several series.

    The height of the figure grows by the legend, so that axes keep their size.
    """
    if len(names) < 2:
        return
    handles, labels = axes.get_legend_handles_labels()
    texts = distinct(names)
    for columns in range(len(texts), 0, -1):
        drawn = made.legend(
            handles, labels, loc="upper left", ncols=columns, borderaxespad=0, borderpad=0,
            handlelength=2.6,
        )  # fmt: skip
        # Set last: matplotlib omits labels that begin with an underscore.
        for entry, text in zip(drawn.get_texts(), texts, strict=True):
            entry.set_text(text)
        extent = drawn.get_window_extent()
        if extent.width <= 0.98 * made.bbox.width or columns == 1:
            break
        drawn.remove()
    taken = extent.height / made.dpi + _APART
    made.set_figheight(made.get_figheight() + taken)
    height = made.get_figheight()
    drawn.set_in_layout(False)  # its room is reserved here
    drawn.set_bbox_to_anchor((0.01, 1 - _TITLE / height))
    made.set_layout_engine("constrained", rect=(0, 0, 1, 1 - taken / height), **_PADS)
