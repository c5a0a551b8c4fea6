"""The tables of `evalsuite compare`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from evalsuite.comparison.comparison import Comparison, Difference, category_differences
from evalsuite.comparison.pairing import Incomparable, Matched, Paired
from evalsuite.comparison.selection import Lead
from evalsuite.report.format import (
    ABSENT,
    cut,
    listed,
    points,
    sentence,
    signed,
    written_p,
)
from evalsuite.report.model.column import Column
from evalsuite.report.model.notes import MODIFIED, PARTIAL, UNANSWERED, Notes
from evalsuite.report.tables.grid import Entry, Grid, Line, lay_out
from evalsuite.runs.records import FoundRun, SampleScore
from evalsuite.stats.paired_difference import FEW_CLUSTERS
from evalsuite.system.text import counted

INCOMPARABLE = "incomparable"
"""Shown in place of a difference of a benchmark that cannot be compared."""
_LENGTH = 40
"""Longer answers are cut in a table."""


Marks = Mapping[str, tuple[str, ...]]
"""Footnote marks by the name of the benchmark or category."""


def columns(first: str, marks: Marks | None = None) -> tuple[Column[Difference], ...]:
    """Return the columns of differences; `first` is the heading of the names.

    A column without heading is only in CSV, JSON and data frames.
    """
    return (
        _field("name", first, numeric=False, wraps=True),
        _field("drop.n", "n"),
        *map(_field, ("drop.clusters", "drop.effective_clusters")),
        _field("drop.discordant", key="discordant_clusters"),
        _field("drop.too_few_clusters"),
        _field("baseline", "baseline", format=points),
        _field("candidate", "candidate", format=points),
        _field("points", "difference", format=signed, key="difference",
               marks=lambda d: (marks or {}).get(d.name, ())),
        Column("", "95 % interval", lambda _: None, text=_interval),
        Column("low", "", lambda d: d.interval()[0]),
        Column("high", "", lambda d: d.interval()[1]),
        *map(_field, ("standard_error", "drop.df", "drop.method", "drop.p")),
        _field("p", "p", key="p_adjusted", text=_p),
        _field("worse", "worse"),
        _field("better", "better"),
        Column("mcnemar_exact", "", lambda d: d.mcnemar and d.mcnemar.exact),
        Column("mcnemar_mid", "McNemar", lambda d: d.mcnemar and d.mcnemar.mid, written_p),
        Column("failed_baseline", "", lambda d: d.failed[0]),
        Column("failed_candidate", "", lambda d: d.failed[1]),
        *(
            Column(f"{column.key}_without_failed", "", partial(_without_failed, column.value))
            for column in (
                _field("drop.n"), _field("points", key="difference"),
                Column("low", "", lambda d: d.interval()[0]),
                Column("high", "", lambda d: d.interval()[1]), _field("drop.p"),
            )
        ),
    )  # fmt: skip


def _field(path: str, heading: str = "", *, key: str = "", **more: Any) -> Column[Difference]:
    """A column of a field of `Difference`; its key is the last part of `path`, or `key`."""
    return Column(key or path.rpartition(".")[2], heading, attrgetter(path), **more)


def _without_failed(value: Callable[[Any], Any], difference: Difference) -> Any:
    return difference.without_failed and value(difference.without_failed)


def _interval(difference: Difference) -> str:
    low, high = difference.interval()
    return f"{signed(low)} to {signed(high)}"


def _p(difference: Difference) -> str:
    return ABSENT if difference.drop.too_few_clusters else written_p(difference.p)


def table(comparison: Comparison, lead: Lead | None = None) -> Grid:
    """Lay out the comparison: one line per benchmark, the mean below."""
    notes = Notes()
    baseline, candidate = _names(comparison.baseline), _names(comparison.candidate)
    marks = {
        difference.name: (*_marks(difference, notes), *pair_marks(paired, notes))
        for difference, paired in zip(comparison.differences, comparison.paired, strict=True)
    }
    shown = columns("benchmark", marks)
    incomparable = incomparable_lines(comparison.incomparable, shown, "difference", notes)
    mean = comparison.mean
    if mean is not None:
        marks[mean.name] = _marks(mean, notes)
    return lay_out(
        shown,
        comparison.differences,
        title=f"{candidate} against {baseline}",
        summary=mean,
        more=incomparable,
        keys=2,
        remarks=(
            f"difference: {candidate} minus {baseline}, in points, on the samples of both",
            *_about(comparison),
            *comparison.notes,
            *(f"warning: {line}" for line in warnings(lead)),
        ),
        footnotes=notes.footnotes(),
    )


def by_category(comparison: Comparison) -> Iterator[Grid]:
    """Lay out each benchmark that has categories, one line per category."""
    for paired in comparison.paired:
        notes, differences = Notes(), category_differences(paired)
        if differences:
            yield lay_out(
                columns("category", {each.name: _marks(each, notes) for each in differences}),
                differences,
                title=f"{paired.benchmark} by category",
                keys=2,
                remarks=(f"p: two-sided, Holm-adjusted over {len(differences)} categories",),
                footnotes=notes.footnotes(),
            )


def changed(paired: Paired, most: int) -> Grid:
    """Lay out the first `most` samples whose value changed."""
    samples = paired.changed
    shown = samples[:most]
    return lay_out(
        _CHANGED,
        shown,
        title=f"{paired.benchmark}: {len(shown)} of {counted(len(samples), 'changed answer')}",
    )


def _answer(text: str) -> str:
    return cut(sentence(text), _LENGTH)


def _prediction(row: SampleScore) -> str:
    return _answer(row.prediction if row.ended != "error" else "no answer")


_CHANGED: tuple[Column[Matched], ...] = (
    Column("id", "sample", lambda s: s.known.id, numeric=False),
    Column("change", "value", lambda s: s.change,
           text=lambda s: f"{s.baseline[0].value:g} → {s.candidate[0].value:g}"),
    Column("target", "target", lambda s: s.known.target, _answer, numeric=False, wraps=True),
    Column("baseline_prediction", "baseline", lambda s: s.baseline[0], _prediction, numeric=False,
           wraps=True),
    Column("candidate_prediction", "candidate", lambda s: s.candidate[0], _prediction,
           numeric=False, wraps=True),
)  # fmt: skip


def _about(comparison: Comparison) -> Iterator[str]:
    over = counted(len(comparison.differences), "benchmark")
    if comparison.mean:
        over += " (equal weights) and their mean"
    yield f"p: two-sided, Holm-adjusted over {over}"
    yield "interval: 95 %, not adjusted; clustered by image or video"
    if any(difference.mcnemar for difference in comparison.differences):
        yield "McNemar: mid-p, unadjusted, for information only; if values are 0 or 1"
    if len(comparison.baseline) > 1:
        runs = f"{len(comparison.baseline)} and {len(comparison.candidate)}"
        yield f"means over {runs} training runs; intervals include the variance between runs"


def warnings(lead: Lead | None) -> Iterator[str]:
    """Warn of selection bias if the candidates are the best of their sweep."""
    if lead is not None:
        yield (
            f"the candidate is the best of {lead.count} checkpoints of its sweep on these "
            f"benchmarks; if it was selected for that, selection bias is {lead.selection_bias:.1f} "
            "points on average: confirm the difference on other data"
        )


def _marks(difference: Difference, notes: Notes) -> tuple[str, ...]:
    marks = [*few_marks(difference, notes)]
    if difference.drop.method == "bound":
        meaning = "no cluster differs: the interval is a bound for the number of clusters"
        marks.append(notes.add(meaning, difference.name))
    without = difference.without_failed
    if without is not None:
        low, high = without.interval()
        shown = (
            f"{difference.name} {difference.failed[0]} and {difference.failed[1]}, without them "
            f"{signed(without.points)} ({signed(low)} to {signed(high)})"
        )
        marks.append(notes.add(UNANSWERED, shown))
    return tuple(marks)


def few_marks(difference: Difference, notes: Notes) -> Iterator[str]:
    """Mark a benchmark with too few clusters."""
    if difference.drop.too_few_clusters:
        have = f"{difference.name} {difference.drop.effective_clusters:.0f}"
        yield notes.add(f"too few clusters to decide, fewer than {FEW_CLUSTERS}", have)


def pair_marks(paired: Paired, notes: Notes) -> tuple[str, ...]:
    """Mark a benchmark whose samples were not all compared, or whose scores are partial."""
    scores = (*paired.baseline, *paired.candidate)
    return tuple(
        notes.add(meaning, f"{paired.benchmark}{detail}")
        for applies, meaning, detail in (
            (paired.left_out, "samples that not all runs have, left out", f" {paired.left_out}"),
            (
                paired.different_prompts,
                "samples with different prompts, left out",
                f" {paired.different_prompts}",
            ),
            (any(s.partial for s in scores), PARTIAL, ""),
            (any(s.modified_data for s in scores), MODIFIED, ""),
        )
        if applies
    )


def incomparable_lines(
    items: Sequence[Incomparable], shown: Sequence[Column[Any]], key: str, notes: Notes
) -> tuple[Line, ...]:
    """Return a line per benchmark that cannot be compared, with the word in the column `key`."""
    lines = []
    for item in items:
        mark = notes.add(f"{item.benchmark} cannot be compared: {'; '.join(item.why)}")
        texts = {"name": Entry(item.benchmark), key: Entry(INCOMPARABLE, (mark,))}
        lines.append(
            Line(tuple(texts.get(column.key, Entry(ABSENT)) for column in shown if column.heading))
        )
    return tuple(lines)


def _names(runs: Sequence[FoundRun]) -> str:
    return listed([found.run.checkpoint.name for found in runs])
