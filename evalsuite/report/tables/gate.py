"""What `evalsuite gate` shows: every drop beside what it may be, the verdict, and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from evalsuite.comparison.comparison import MEAN, Difference
from evalsuite.comparison.gate import Gated, Judged
from evalsuite.comparison.power import Prospect
from evalsuite.report.format import ABSENT, counted, signed, visible, written_p
from evalsuite.report.model.notes import UNANSWERED, Notes
from evalsuite.report.tables import gate_noise
from evalsuite.report.tables.comparison import INCOMPARABLE, few_marks, pair_marks
from evalsuite.report.tables.gate_reasons import advice, because, times
from evalsuite.report.tables.grid import Entry, Grid, Heading, Line, entries
from evalsuite.runs.records import FoundRun
from evalsuite.stats.decision import Finding
from evalsuite.system.files import write_atomically


def show(gated: Gated, *, github: bool = False) -> None:
    """Print a table for each run the candidate was held against, and the verdict.

    With `github` lines that GitHub marks follow, and it heeds no others.
    """
    if not github:
        _show(gated)
        return
    from evalsuite.report.export.github import marked_lines, unheeded

    with unheeded():
        _show(gated)
    for line in marked_lines(gated):
        print(line)


def _show(gated: Gated) -> None:
    from rich.console import Console

    from evalsuite.report.writers.terminal import print_grid

    console = Console()
    for judged in gated.judged:
        print_grid(table(judged), console)
    for line in (headline(gated), *because(gated), *gate_noise.warnings(gated), *advice(gated)):
        print(visible(line))


def write(
    gated: Gated,
    *,
    junit: Path | None = None,
    json: Path | None = None,
    summary: Path | None = None,
    github: bool = False,
) -> None:
    """Write what CI systems read, with `github` the summary of the job. Raises `DiskError`."""
    from evalsuite.report.export.github import LIMIT_BYTES, append, to_markdown

    if junit is not None:
        from evalsuite.report.export.junit import to_junit

        write_atomically(junit, to_junit(gated))
    if json is not None:
        from evalsuite.report.writers.gate_json import to_json

        write_atomically(json, to_json(gated))
    if summary is not None:
        append(summary, to_markdown(gated))
    if github and (step_summary := os.environ.get("GITHUB_STEP_SUMMARY")):
        # What the step wrote there before counts against the limit, too.
        append(Path(step_summary), to_markdown(gated), LIMIT_BYTES)


def table(judged: Judged) -> Grid:
    """Lay out one judgement: a line a benchmark, the mean beneath."""
    notes = Notes()
    comparison, decision, outlook = judged.comparison, judged.decision, judged.outlook
    lines = []
    if decision is not None and outlook is not None:
        for difference, paired in zip(comparison.differences, comparison.paired, strict=True):
            name = difference.name
            marks = (*_marks(difference, notes), *pair_marks(paired, notes))
            found, prospect = decision.benchmarks[name], outlook.benchmarks[name]
            lines.append(Line(_entries(name, found, prospect, judged.terms.alpha, marks)))
    for item in comparison.incomparable:
        mark = notes.add(f"{item.benchmark} cannot be compared: {'; '.join(item.why)}")
        lines.append(
            Line((Entry(item.benchmark), *entries([ABSENT] * 6), Entry(INCOMPARABLE, (mark,))))
        )
    return Grid(
        title=f"{name_of(judged, 'candidate')} against the {judged.role} "
        f"{name_of(judged, 'baseline')}",
        headings=(
            Heading("benchmark", numeric=False, wraps=True),
            *(Heading(text) for text in ("n", "drop", f"{_level(judged.terms.alpha)} interval",
                                         "allowed", "detectable", "p")),
            Heading("verdict", numeric=False),
        ),
        lines=tuple(lines),
        summary=None
        if decision is None or outlook is None
        else _entries(MEAN, decision.mean, outlook.mean, judged.terms.alpha),
        keys=3,
        remarks=tuple(_remarks(judged)),
        footnotes=notes.footnotes(),
    )  # fmt: skip


def word(finding: Finding) -> str:
    """What is shown of one drop."""
    if finding.drop.too_few_clusters:
        return "too few clusters"
    if finding.regressed:
        return "regression"
    return "within" if finding.within else "open"


def headline(gated: Gated) -> str:
    """The verdict in a line."""
    return f"verdict: {gated.verdict}"


def row_texts(judged: Judged) -> dict[str, str]:
    """What the table says of each drop, in a line: for forms that have no columns."""
    grid = table(judged)
    rows = [line.entries for line in grid.lines] + ([grid.summary] if grid.summary else [])
    headings = [heading.text for heading in grid.headings[1:]]
    return {
        row[0].text: ", ".join(
            f"{heading} {entry.text}" for heading, entry in zip(headings, row[1:], strict=True)
        )
        for row in rows
        if row[-1].text != INCOMPARABLE
    }


def name_of(judged: Judged, side: str) -> str:
    """The checkpoint's name on that side of the comparison."""
    runs: tuple[FoundRun, ...] = getattr(judged.comparison, side)
    limit = runs[0].run.limit
    return runs[0].run.checkpoint.name + ("" if limit is None else f" (--limit {limit})")


def _entries(
    name: str, finding: Finding, prospect: Prospect, alpha: float, marks: tuple[str, ...] = ()
) -> tuple[Entry, ...]:
    drop = finding.drop
    low, high = drop.lower(alpha), finding.upper
    return (
        *entries((name, str(drop.n))),
        Entry(signed(100 * drop.estimate), marks),
        *entries((
            f"{signed(100 * low)} to {signed(100 * high)}",
            f"{100 * finding.allowed:g}",
            ABSENT if prospect.detectable is None else f"{prospect.detectable:.2f}",
            ABSENT if drop.too_few_clusters else written_p(finding.p),
            word(finding),
        )),
    )  # fmt: skip


def _level(alpha: float) -> str:
    return f"{100 * (1 - 2 * alpha):g} %"


def _marks(difference: Difference, notes: Notes) -> Iterator[str]:
    yield from few_marks(difference, notes)
    if sum(difference.failed):
        before, after = difference.failed
        without = difference.without_failed
        shown = "nothing is left" if without is None else signed(100 * without.estimate)
        yield notes.add(UNANSWERED, f"{difference.name} {before} and {after}, without them {shown}")


def _remarks(judged: Judged) -> Iterator[str]:
    terms, count = judged.terms, len(judged.comparison.differences)
    yield "drop: what the candidate lost, in points; a gain is negative"
    if judged.decision is not None:
        yield (
            f"within: the drop is below what is allowed with {100 * (1 - terms.alpha):g} % "
            "confidence, as the interval ends below it"
        )
        yield (
            f"p: one-sided, Holm-adjusted over {counted(count, 'benchmark')} and the mean; below "
            f"{terms.alpha:g}, with a drop above what is allowed, it is a regression"
        )
        yield (
            f"detectable: the smallest true drop found {times(terms.power)}, if answers vary as "
            "they do here"
        )
    yield from gate_noise.remarks(judged)
    yield from judged.comparison.notes
