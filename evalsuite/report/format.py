"""Format names and numbers, the same in every report."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalsuite.runs.records import BatchSensitivity, Score
from evalsuite.system.text import counted as counted

ABSENT = "–"
"""Text of a missing value."""
FAILED = "failed"
"""Text in place of a score after a failure."""
OTHER = "other"
"""Heading of the rows without a group, if others have one."""


def visible(text: str) -> str:
    r"""Return `text` on one line, with control characters and the like as ``\n`` and ``\x1b``.

    Names come from outside: unescaped they could move the cursor, reverse the reading direction or
    break a table.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def sentence(text: str) -> str:
    """Return a message on one line."""
    return " ".join(text.split())


def points(value: float | None) -> str:
    """Format a score or its standard error."""
    return ABSENT if value is None else f"{value:.1f}"


def signed(difference: float) -> str:
    """Format a difference in points; zero has no sign."""
    shown = f"{difference:+.2f}"
    return shown[1:] if float(shown) == 0 else shown


def at_least(factor: float) -> str:
    """Format a required factor, rounded up."""
    return f"{math.ceil(10 * factor) / 10:.1f}"


def size(points: float) -> str:
    """Write a size in points: ``1 point``, ``2.5 points``."""
    shown = f"{points:.2f}".rstrip("0").rstrip(".")
    return f"{shown} point" + ("" if shown == "1" else "s")


def percent(probability: float) -> str:
    """Write an estimated probability: ``80 %``, ``<1 %``, ``>99 %``; 0 only if it is 0."""
    whole = round(100 * probability)
    if whole == 0 and probability > 0:
        return "<1 %"
    return ">99 %" if whole == 100 else f"{whole} %"


def over(benchmarks: int) -> str:
    """Name the tests of a gate: the benchmarks and, for two or more, their mean."""
    return "1 benchmark" if benchmarks == 1 else f"{benchmarks} benchmarks and the mean"


def written_p(p: float) -> str:
    """Format a p-value."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def plus_minus(score: Score) -> str:
    """Format a score with its standard error; mark a partial score."""
    error = "" if score.stderr is None else f" ± {points(score.stderr)}"
    return points(score.value) + error + (" partial" if score.partial else "")


def rate(per_second: float | None) -> str:
    """Format samples a second, to about three digits."""
    if per_second is None:
        return ABSENT
    if per_second >= 99.95:
        return f"{per_second:.0f}"
    return f"{per_second:.1f}" if per_second >= 9.995 else f"{per_second:.2f}"


def gigabytes(count: float | None) -> str:
    """Format bytes in units of 10^9, as papers do."""
    return ABSENT if count is None else f"{count / 1e9:.2f}"


def duration(seconds: float) -> str:
    """Format seconds as ``1:05`` or ``2:03:04``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def parameter_count(count: int) -> str:
    """Format a number of parameters as ``2.0M`` or ``2.2B``."""
    number = float(count)
    for unit in ("", "K", "M", "B"):
        if number < 999.95 or unit == "B":
            break
        number /= 1000
    return f"{number:.1f}{unit}" if unit else str(count)


def short(digest: str) -> str:
    """Return the part of a digest that paths have."""
    return digest[:8]


def cut(text: str, most: int) -> str:
    """Truncate a text after `most` characters, with an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}…"


def day(moment: str | None) -> str:
    """Return the date of a time in run.json, or ``unfinished``."""
    return (moment or "unfinished")[: len("2026-01-31")]


def listed(names: Sequence[str]) -> str:
    """Join names with commas."""
    return ", ".join(names)


def batch_sensitivity(noise: BatchSensitivity) -> str:
    """Format the batch-size sensitivity of a run on one line."""
    return (
        f"{counted(noise.count, 'sample')} rerun at batch size 1: "
        f"{counted(noise.changed, 'prediction')} differ, {noise.flipped} in value; effect "
        f"{signed(noise.effect)} points ({signed(noise.low)} to {signed(noise.high)})"
    )
