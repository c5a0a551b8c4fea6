"""The report of the gate: tables, reasons, warnings and next steps, computed once.

`explain` makes it, and the writers of all forms only read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalsuite.comparison.comparison import MEAN, Difference
from evalsuite.comparison.gate import Assessment, Finding, GateResult, Verdict
from evalsuite.comparison.pairing import Paired
from evalsuite.comparison.power import DetectableEffect
from evalsuite.report.format import ABSENT, over, percent, signed, written_p
from evalsuite.report.model.column import Column
from evalsuite.report.model.notes import UNANSWERED, Notes
from evalsuite.report.tables import gate_sensitivity
from evalsuite.report.tables.comparison import few_marks, incomparable_lines, pair_marks
from evalsuite.report.tables.gate_reasons import Reason, because, next_steps, reasons
from evalsuite.report.tables.grid import Grid, lay_out
from evalsuite.runs.records import FoundRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A benchmark that can be compared, or the mean."""

    difference: Difference
    finding: Finding
    effect: DetectableEffect
    paired: Paired | None = None
    """None for the mean."""
    name: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessmentReport:
    """The report of the assessment against one run."""

    assessment: Assessment
    title: str
    rows: tuple[Row, ...]
    """The benchmarks that can be compared."""
    mean: Row | None
    table: Grid
    """All benchmarks, with the mean below."""
    reasons: tuple[Reason, ...]
    """Everything that prevents a pass, the most serious first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """What the gate reports, in all forms."""

    result: GateResult
    assessments: tuple[AssessmentReport, ...]
    because: tuple[str, ...]
    """The reasons of the verdict, one per line."""
    warnings: tuple[str, ...]
    next_steps: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all assessments."""
        return self.result.verdict

    @property
    def exit_code(self) -> int:
        """The exit code of the verdict."""
        return self.result.exit_code

    @property
    def headline(self) -> str:
        """The verdict as a line."""
        parts = [each.assessment for each in self.assessments if each.assessment.unpaired]
        if not parts:
            return f"verdict: {self.verdict}"
        compared, samples = min((part.coverage for part in parts), key=lambda c: c[0] / c[1])
        return f"verdict: {self.verdict} (on {compared} of {samples} samples)"

    @property
    def lines(self) -> tuple[str, ...]:
        """The reasons, warnings and next steps as lines."""
        return (
            *self.because,
            *(f"warning: {line}" for line in self.warnings),
            *(f"next: {line}" for line in self.next_steps),
        )


def explain(result: GateResult) -> GateReport:
    """Make the report of `result`."""
    reports = tuple(_report(assessment) for assessment in result.assessments)
    found = [each.reasons for each in reports]
    return GateReport(
        result=result,
        assessments=reports,
        because=tuple(because(result, found)),
        warnings=tuple(gate_sensitivity.warnings(result)),
        next_steps=tuple(next_steps(result, found)),
    )


def name_of(run: FoundRun) -> str:
    """Return the name of the checkpoint, with the limit of the run."""
    name, limit = run.run.checkpoint.name, run.run.limit
    return name + ("" if limit is None else f" (--limit {limit})")


def _report(assessment: Assessment) -> AssessmentReport:
    comparison, notes = assessment.comparison, Notes()
    rows = tuple(_rows(assessment, notes))
    mean = _mean(assessment)
    title = (
        f"{name_of(comparison.candidate[0])} against the {assessment.role} "
        f"{name_of(comparison.baseline[0])}"
    )
    shown = columns(assessment.terms.alpha)
    incomparable = incomparable_lines(comparison.incomparable, shown, "verdict", notes)
    return AssessmentReport(
        assessment=assessment,
        title=title,
        rows=rows,
        mean=mean,
        table=lay_out(
            shown,
            rows,
            title=title,
            summary=mean,
            more=incomparable,
            keys=3,
            remarks=tuple(_remarks(assessment)),
            footnotes=notes.footnotes(),
        ),
        reasons=reasons(assessment),
    )


def _rows(assessment: Assessment, notes: Notes) -> Iterator[Row]:
    findings, power, comparison = assessment.findings, assessment.power, assessment.comparison
    if findings is None or power is None:
        return
    for difference, paired in zip(comparison.differences, comparison.paired, strict=True):
        name = difference.name
        yield Row(
            name=name,
            difference=difference,
            finding=findings.benchmarks[name],
            effect=power.benchmarks[name],
            paired=paired,
            marks=(*_marks(difference, notes), *pair_marks(paired, notes)),
        )


def _mean(assessment: Assessment) -> Row | None:
    findings, power, comparison = assessment.findings, assessment.power, assessment.comparison
    if findings is None or power is None:
        return None
    difference = comparison.mean or comparison.differences[0]  # one benchmark is its own mean
    return Row(name=MEAN, difference=difference, finding=findings.mean, effect=power.mean)


def _marks(difference: Difference, notes: Notes) -> Iterator[str]:
    yield from few_marks(difference, notes)
    if sum(difference.failed):
        before, after = difference.failed
        without = difference.without_failed
        shown = "no sample remains" if without is None else signed(without.points)
        yield notes.add(UNANSWERED, f"{difference.name} {before} and {after}, without them {shown}")


def columns(alpha: float) -> tuple[Column[Row], ...]:
    """Return the columns of the table and of the JSON file; differences and sizes in points.

    A column without heading is only in the JSON file, one without key only in the table.
    """
    level = f"{100 * (1 - 2 * alpha):g} %"
    return (
        Column("name", "benchmark", lambda r: r.name, numeric=False, wraps=True),
        Column("n", "n", lambda r: r.difference.drop.n),
        Column("clusters", "", lambda r: r.difference.drop.clusters),
        Column("effective_clusters", "", lambda r: r.difference.drop.effective_clusters),
        Column("baseline", "", lambda r: r.difference.baseline),
        Column("candidate", "", lambda r: r.difference.candidate),
        Column("difference", "difference", lambda r: r.difference.points, signed,
               marks=lambda r: r.marks),
        Column("", f"{level} interval", lambda _: None,
               text=lambda r: f"{signed(r.finding.lower)} to {signed(r.finding.upper)}"),
        Column("lower", "", lambda r: r.finding.lower),
        Column("upper", "", lambda r: r.finding.upper),
        Column("standard_error", "", lambda r: r.difference.standard_error),
        Column("margin", "margin", lambda r: r.finding.margin, "{:g}".format),
        Column("mde", "MDE", lambda r: r.effect.mde, "{:.2f}".format),
        Column("mde_pass", "", lambda r: r.effect.mde_pass),
        Column("p", "p", lambda r: r.finding.p, text=_p),
        Column("p_unadjusted", "", lambda r: r.difference.drop.p_worse),
        Column("verdict", "verdict", lambda r: r.finding.status, numeric=False),
        Column("failed_baseline", "", lambda r: r.difference.failed[0]),
        Column("failed_candidate", "", lambda r: r.difference.failed[1]),
        Column("difference_without_failed", "", lambda r: r.difference.without_failed
               and r.difference.without_failed.points),
        Column("left_out", "", lambda r: r.paired and r.paired.left_out),
        Column("different_prompts", "", lambda r: r.paired and r.paired.different_prompts),
    )  # fmt: skip


def _p(row: Row) -> str:
    return ABSENT if row.difference.drop.too_few_clusters else written_p(row.finding.p)


def _remarks(assessment: Assessment) -> Iterator[str]:
    terms, count = assessment.terms, len(assessment.comparison.differences)
    yield "difference: candidate minus baseline, in points; a loss is negative"
    if assessment.findings is not None:
        yield (
            "margin: the allowed drop, in points; within: the drop is below the margin with "
            f"{100 * (1 - terms.alpha):g} % confidence"
        )
        yield (
            f"p: one-sided, Holm-adjusted over {over(count)}; "
            f"regression: p below {terms.alpha:g} and a drop larger than the margin"
        )
        yield (
            f"MDE: the smallest true drop that is detected with probability {percent(terms.power)}"
            ", for the variability of these predictions"
        )
    yield from gate_sensitivity.remarks(assessment)
    yield from assessment.comparison.notes
