"""The table of `evalsuite power`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalsuite.comparison.comparison import MEAN, to_share
from evalsuite.comparison.policy import Terms
from evalsuite.comparison.power import DetectableEffect, PowerAnalysis, required_scale
from evalsuite.report.format import at_least, over, percent
from evalsuite.report.model.column import Column
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.stats.paired_difference import FEW_CLUSTERS
from evalsuite.stats.power import clusters_for_identical_pass, samples_to_pass
from evalsuite.system.text import counted


@dataclass(frozen=True, slots=True)
class Row:
    """A benchmark, or the mean."""

    name: str
    n: int
    clusters: int
    effect: DetectableEffect
    n_pass: int | None
    """Samples with which an equal checkpoint passes the margin; None for the mean."""


COLUMNS: tuple[Column[Row], ...] = (
    Column("name", "benchmark", lambda r: r.name, numeric=False, wraps=True),
    Column("n", "n", lambda r: r.n),
    Column("clusters", "images", lambda r: r.clusters),
    Column("standard_error", "±", lambda r: r.effect.error, "{:.2f}".format,
           note="standard error of the difference between equal checkpoints, in points"),
    Column("margin", "margin", lambda r: r.effect.margin, "{:g}".format),
    Column("mde", "MDE", lambda r: r.effect.mde, "{:.2f}".format),
    Column("mde_pass", "margin to pass", lambda r: r.effect.mde_pass, "{:.2f}".format),
    Column("n_pass", "n to pass", lambda r: r.n_pass),
)  # fmt: skip


def table(analysis: PowerAnalysis, terms: Terms, discordance: float) -> Grid:
    """Lay out what is detected and passed if this share of answers differs."""
    level, expected = terms.level(len(analysis.expected)), analysis.expected
    power = percent(terms.power)
    rows = []
    for name, each in expected.items():
        effect = analysis.benchmarks[name]
        needed = samples_to_pass(each, to_share(effect.margin), level)
        rows.append(Row(name, each.n, each.clusters, effect, needed))
    n, clusters = (sum(getattr(e, key) for e in expected.values()) for key in ("n", "clusters"))
    return lay_out(
        COLUMNS,
        rows,
        title=f"if {100 * discordance:g} % of the answers differ",
        summary=Row(MEAN, n, clusters, analysis.mean, None),
        remarks=(
            f"MDE: the smallest true drop that is detected with probability {power} (Holm over "
            f"{over(len(expected))}, α {terms.alpha:g}), in points",
            f"margin to pass: the smallest margin that an equal checkpoint passes with probability "
            f"{power}; n to pass: the number of samples with which it passes the given margin",
        ),
    )


def summary(analysis: PowerAnalysis, terms: Terms) -> Iterator[str]:
    """Return the pass probability of an equal checkpoint, with a warning if it is too low."""
    chance = percent(analysis.pass_if_equal)
    if not analysis.identical_pass:
        yield (
            "warning: even identical predictions do not pass; an equal checkpoint passes with "
            f"probability {chance}"
        )
        yield from _missing(analysis, terms)
        return
    yield f"an equal checkpoint passes with probability {chance}"
    if analysis.pass_if_equal < terms.power:
        scale = required_scale(analysis, terms)
        yield (
            f"warning: {percent(terms.power)} needs margins {at_least(scale)} times as wide, or "
            f"{at_least(scale**2)} times the samples"
        )


def _missing(analysis: PowerAnalysis, terms: Terms) -> Iterator[str]:
    """Return what prevents identical predictions from passing."""
    needed = {
        name: clusters_for_identical_pass(to_share(terms.cliffs[name]), terms.alpha)
        for name in analysis.expected
    }
    short = [name for name, each in analysis.expected.items() if each.clusters < needed[name]]
    for name in short:
        few = needed[name] == FEW_CLUSTERS
        what = "a decision" if few else f"a max drop of {terms.cliffs[name]:g}"
        images = counted(analysis.expected[name].clusters, "image")
        yield f"  {name} has {images}; {what} needs {needed[name]}"
    if not short:
        yield f"  the mean has too few images for a margin of {terms.margin:g}"
