"""How plots look: the same file on white and on black, for every kind of eye, from any text.

Backgrounds are transparent. Every colour has a contrast of 3 and more, text of 4, on white as on
GitHub's dark page; colours stay apart for red-, green- and blue-blind eyes, and never stand alone:
marker and dashes differ too. tests/test_plots.py computes all of this.
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

from evalsuite.report.format import visible
from evalsuite.system.files import write_bytes_atomically

INK = "#767b83"
"""Text and axes."""
COLOURS = ("#1f62fa", "#cc7a00", "#297a55", "#089ae6", "#c0421a", "#a37fae")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 3)),
)  # fmt: skip
SERIES = len(COLOURS)
"""So many lines or rows of dots one plot holds."""
ROUND = [1, 2, 5, 10]
"""What steps between numbers on the axes are multiples of."""
SMALL, NORMAL, LARGE = 9.0, 10.0, 12.0
"""Sizes of text, in points."""
_DOTS_PER_INCH = 144
_LONGEST, _LONGEST_APART, _LONGEST_TITLE = 34, 90, 60
_TITLE, _APART = 0.36, 0.1
"""How much of a picture's height its title takes, and what keeps a legend apart, in inches."""
_PADS = {"w_pad": 0.1, "h_pad": 0.07}
_INKED = (
    "text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color",
    "ytick.color",
    "grid.color", "legend.labelcolor",
)  # fmt: skip
_RC: dict[Any, Any] = {
    "svg.hashsalt": "evalsuite",  # and no date: the same scores give the same file
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a name may hold $
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
    """Draw and save within this."""
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        # A name in a script that the font lacks gets boxes in the PNG and is whole in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def figure(width: float, height: float) -> Figure:
    """Make an empty figure, in inches; pyplot and its global state stay out of it."""
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
    """`text` on one line, with its middle left out if it is long: names differ at their ends."""
    line = visible(text)
    if len(line) <= most:
        return line
    tail = (most - 1) // 2
    return f"{line[: most - 1 - tail]}…{line[-tail:]}"


def told_apart(names: Sequence[str]) -> list[str]:
    """`names` as they are `shown`, with as much more as keeps different ones different."""
    for most in range(_LONGEST, _LONGEST_APART, 4):
        texts = [shown(name, most) for name in names]
        if len(set(texts)) == len({visible(name) for name in names}):
            return texts
    return [shown(name, _LONGEST_APART) for name in names]


def headed(made: Figure, title: str, caption: str, only: Sequence[str] = ()) -> None:
    """Give `made` its title, and say beneath what is to be seen.

    `only` are the series drawn; one alone has no legend, so that the title names it.
    """
    named = f"{title}: {shown(only[0])}" if len(only) == 1 else title
    made.suptitle(shown(named, _LONGEST_TITLE), x=0.01, ha="left", weight="bold")
    made.supxlabel(wrapped(caption, made), x=0.01, ha="left", fontsize=SMALL)


def wrapped(text: str, made: Figure) -> str:
    """Break `text` into lines that fit into `made`."""
    return "\n".join(textwrap.wrap(text, int(made.get_figwidth() * 15.5)))


def legend(made: Figure, axes: Axes, names: Sequence[str]) -> None:
    """Name the series that `axes` has labels for beneath the title, if there are several.

    The picture grows by what that takes: axes keep their size, however long the names are.
    """
    if len(names) < 2:
        return
    handles, labels = axes.get_legend_handles_labels()
    texts = told_apart(names)
    for columns in range(len(texts), 0, -1):
        drawn = made.legend(
            handles, labels, loc="upper left", ncols=columns, borderaxespad=0, borderpad=0,
            handlelength=2.6,
        )  # fmt: skip
        # Only now: a label with an underscore in front would not be drawn.
        for entry, text in zip(drawn.get_texts(), texts, strict=True):
            entry.set_text(text)
        extent = drawn.get_window_extent()
        if extent.width <= 0.98 * made.bbox.width or columns == 1:
            break
        drawn.remove()
    taken = extent.height / made.dpi + _APART
    made.set_figheight(made.get_figheight() + taken)
    height = made.get_figheight()
    drawn.set_in_layout(False)  # room for it is made here
    drawn.set_bbox_to_anchor((0.01, 1 - _TITLE / height))
    made.set_layout_engine("constrained", rect=(0, 0, 1, 1 - taken / height), **_PADS)
