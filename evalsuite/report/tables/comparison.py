"""What `evalsuite compare` shows: differences, and the form they are written in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalsuite.comparison.comparison import Comparison, Difference
from evalsuite.comparison.pairing import Matched, Paired
from evalsuite.comparison.selection import Lead, lead, sweep_of
from evalsuite.errors import UsageError
from evalsuite.report.format import (
    ABSENT,
    counted,
    cut,
    listed,
    points,
    sentence,
    signed,
    written_p,
)
from evalsuite.report.model.notes import MODIFIED, PARTIAL, UNANSWERED, Notes
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line, entries
from evalsuite.report.writers.comparison_json import changed_samples, to_csv, to_json
from evalsuite.report.writers.output import check_format, write_grids
from evalsuite.runs.find import find_all
from evalsuite.runs.records import FoundRun
from evalsuite.stats.paired_difference import FEW_CLUSTERS

FORMATS = ("table", "markdown", "json", "csv")
INCOMPARABLE = "incomparable"
"""Stands in place of a difference that cannot be had."""
_LENGTH = 40
"""An answer is cut there in a table."""


def write(
    comparison: Comparison,
    form: str,
    output: Path | None = None,
    *,
    leading: Lead | None = None,
    categories: bool = False,
    samples: int = 0,
) -> None:
    """Write `comparison` to `output`, or to standard output if it is None.

    Tables show categories and the first `samples` changed answers of each benchmark if asked to;
    json and csv always have the categories.
    """
    check_format(form, FORMATS)
    grids = [table(comparison, leading)]
    grids += [by_category(d) for d in comparison.differences if categories and d.categories]
    grids += [changed(each, samples) for each in comparison.paired if samples]
    plain = {
        "json": lambda: to_json(comparison, tuple(_warning(leading))),
        "csv": lambda: to_csv(comparison),
    }
    write_grids(grids, form, output, plain)


def find_lead(comparison: Comparison, results: Path) -> Lead | None:
    """Say whether the candidates lead a sweep of which `results` holds the other runs."""
    if all(sweep_of(found) is None for found in comparison.candidate):
        return None
    try:
        return lead(comparison, find_all(results, say=lambda _: None))
    except UsageError:  # no runs there: those compared lie elsewhere
        return None


def table(comparison: Comparison, leading: Lead | None = None) -> Grid:
    """Lay out the comparison: a line a benchmark, the mean beneath."""
    notes = Notes()
    baseline, candidate = _names(comparison.baseline), _names(comparison.candidate)
    pairs = zip(comparison.differences, comparison.paired, strict=True)
    lines = [Line(_entries(d, (*_marks(d, notes), *pair_marks(p, notes)))) for d, p in pairs]
    for item in comparison.incomparable:
        mark = notes.add(f"{item.benchmark} cannot be compared: {'; '.join(item.why)}")
        before, after = entries([ABSENT] * 3), entries([ABSENT] * 5)
        lines.append(Line((Entry(item.benchmark), *before, Entry(INCOMPARABLE, (mark,)), *after)))
    return Grid(
        title=f"{candidate} against {baseline}",
        headings=_headings("benchmark"),
        lines=tuple(lines),
        summary=_entries(comparison.mean, _marks(comparison.mean, notes))
        if comparison.mean
        else None,
        keys=2,
        remarks=(
            f"difference: {candidate} minus {baseline}, in points, on the samples both have",
            *_about(comparison),
            *comparison.notes,
            *_warning(leading),
        ),
        footnotes=notes.footnotes(),
    )


def by_category(difference: Difference) -> Grid:
    """Lay out one benchmark by category."""
    notes = Notes()
    return Grid(
        title=f"{difference.name} by category",
        headings=_headings("category"),
        lines=tuple(Line(_entries(c, _marks(c, notes))) for c in difference.categories),
        keys=2,
        remarks=(
            f"p: two-sided, Holm-adjusted over {len(difference.categories)} categories",
        ),
        footnotes=notes.footnotes(),
    )  # fmt: skip


def changed(paired: Paired, most: int) -> Grid:
    """Lay out the first `most` answers that are worth more or less than before."""
    samples = changed_samples(paired)
    return Grid(
        title=f"{paired.benchmark}: {min(most, len(samples))} of "
        f"{counted(len(samples), 'changed answer')}",
        headings=(
            Heading("sample", numeric=False),
            Heading("value"),
            *(Heading(name, numeric=False, wraps=True)
              for name in ("target", "baseline", "candidate")),
        ),
        lines=tuple(Line(entries(_sample(sample))) for sample in samples[:most]),
    )  # fmt: skip


def _sample(sample: Matched) -> tuple[str, ...]:
    before, after = sample.baseline[0], sample.candidate[0]
    shown = (row.prediction if row.ended != "error" else "no answer" for row in (before, after))
    return (
        sample.known.id,
        f"{before.value:g} → {after.value:g}",
        *(cut(sentence(text), _LENGTH) for text in (sample.known.target, *shown)),
    )


def _headings(first: str) -> tuple[Heading, ...]:
    return (
        Heading(first, numeric=False, wraps=True),
        *(Heading(name) for name in ("n", "baseline", "candidate", "difference", "95 % interval",
                                     "p", "worse", "better", "McNemar")),
    )  # fmt: skip


def _entries(difference: Difference, marks: Sequence[str] = ()) -> tuple[Entry, ...]:
    low, high = difference.interval()
    few = difference.drop.too_few_clusters
    return (
        *entries((
            difference.name,
            str(difference.drop.n),
            points(difference.baseline),
            points(difference.candidate),
        )),
        Entry(signed(difference.points), tuple(marks)),
        *entries((
            f"{signed(low)} to {signed(high)}",
            ABSENT if few else written_p(difference.p),
            str(difference.worse),
            str(difference.better),
            ABSENT if difference.mcnemar is None else written_p(difference.mcnemar.mid),
        )),
    )  # fmt: skip


def _about(comparison: Comparison) -> Iterator[str]:
    over = counted(len(comparison.differences), "benchmark")
    if comparison.mean:
        over += ", each counting the same, and their mean"
    yield f"p: two-sided, Holm-adjusted over {over}"
    yield "interval: 95 % each, clustered by image or video"
    if any(difference.mcnemar for difference in comparison.differences):
        yield "McNemar: mid-p, unadjusted, where each answer is right or wrong; shown, not decisive"
    if len(comparison.baseline) > 1:
        runs = f"{len(comparison.baseline)} and {len(comparison.candidate)}"
        yield f"means over {runs} training runs; intervals include how runs differ"


def _warning(leading: Lead | None) -> Iterator[str]:
    if leading is not None:
        yield (
            f"warning: the candidate leads {leading.count} checkpoints of its sweep on these very "
            f"benchmarks; if it was picked for that, expect {leading.luck:.1f} points of its lead "
            "to be luck, and confirm it on data that had no say"
        )


def _marks(difference: Difference, notes: Notes) -> tuple[str, ...]:
    marks = [*few_marks(difference, notes)]
    if difference.drop.method == "bound":
        marks.append(notes.add("no cluster differs: bounded by how many there are",
                               difference.name))  # fmt: skip
    if difference.without_failed is not None:
        low, high = difference.without_failed.interval()
        shown = (
            f"{difference.name} {difference.failed[0]} and {difference.failed[1]}, without them "
            f"{signed(-100 * difference.without_failed.estimate)} "
            f"({signed(-100 * high)} to {signed(-100 * low)})"
        )
        marks.append(notes.add(UNANSWERED, shown))
    return tuple(marks)


def few_marks(difference: Difference, notes: Notes) -> Iterator[str]:
    """Note of a benchmark that it has too few clusters, if so."""
    if difference.drop.too_few_clusters:
        have = f"{difference.name} {difference.drop.effective_clusters:.0f}"
        yield notes.add(f"too few clusters for a claim, fewer than {FEW_CLUSTERS}", have)


def pair_marks(paired: Paired, notes: Notes) -> tuple[str, ...]:
    """Note what was left out of a benchmark, and what its scores are without."""
    scores = (*paired.baseline, *paired.candidate)
    return tuple(
        notes.add(meaning, f"{paired.benchmark}{detail}")
        for applies, meaning, detail in (
            (paired.left_out, "samples not all runs have, left out", f" {paired.left_out}"),
            (
                paired.asked_otherwise,
                "samples asked otherwise, left out",
                f" {paired.asked_otherwise}",
            ),
            (any(s.partial for s in scores), PARTIAL, ""),
            (any(s.modified_data for s in scores), MODIFIED, ""),
        )
        if applies
    )


def _names(runs: Sequence[FoundRun]) -> str:
    return listed([found.run.checkpoint.name for found in runs])
