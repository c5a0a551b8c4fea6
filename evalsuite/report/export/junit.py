"""The report of the gate as JUnit XML, which CI systems show as tests.

A suite is the assessment against one run; a case is a benchmark or the mean. A regression is a
failure. A benchmark that cannot be compared is an error, so that it is never shown as passed. A
benchmark that is neither within its limit nor a regression is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from evalsuite.comparison.comparison import MEAN
from evalsuite.comparison.gate import Assessment
from evalsuite.report.format import batch_sensitivity, visible
from evalsuite.report.tables.gate import AssessmentReport, GateReport, Row, columns
from evalsuite.report.tables.gate_reasons import Kind

_ELEMENTS: dict[Kind, str] = {
    "regression": "failure",
    "incomparable": "error",
    "unfinished": "error",
    "partial": "error",
    "failed samples": "error",
    "open": "skipped",
}


def to_junit(report: GateReport) -> str:
    """Render `report` for the strict schema of Jenkins, which other readers accept as well."""
    root = Element("testsuites", name="evalsuite gate")
    suites = [_suite(each, index) for index, each in enumerate(report.assessments)]
    root.extend(suites)
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    SubElement(suites[0], "system-out").text = "\n".join(
        map(visible, (report.headline, *report.because))
    )
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(report: AssessmentReport, index: int) -> Element:
    assessment = report.assessment
    run = assessment.comparison.candidate[0].run
    suite = Element("testsuite", name=visible(report.title), id=str(index))
    if moment := _moment(run.finished or run.started):
        suite.set("timestamp", moment)
    properties = SubElement(suite, "properties")
    for name, value in _properties(assessment):
        SubElement(properties, "property", name=name, value=visible(value))
    rows = {row.name: row for row in (*report.rows, *([report.mean] if report.mean else []))}
    # A case has one result: the first reason is the most serious.
    reasons = {reason.subject: reason for reason in reversed(report.reasons)}
    incomparable = [item.benchmark for item in assessment.comparison.incomparable]
    for name in dict.fromkeys([*incomparable, *rows, MEAN]):
        case = SubElement(
            suite, "testcase", name=visible(name), classname=visible(run.checkpoint.name)
        )
        if name in reasons:
            reason = reasons[name]
            text = visible(reason.text)
            SubElement(case, _ELEMENTS[reason.kind], type=reason.kind, message=text).text = text
        if name in rows:
            SubElement(case, "system-out").text = visible(_line(rows[name], assessment))
    suite.set("tests", str(len(suite.findall("testcase"))))
    for count, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{element}"))))
    return suite


def _line(row: Row, assessment: Assessment) -> str:
    """Return the columns of a row of the table as a line."""
    shown = [column for column in columns(assessment.terms.alpha) if column.heading]
    return ", ".join(f"{column.heading} {column.shown(row)}" for column in shown[1:])


def _moment(text: str) -> str | None:
    """Return a time in the format of the schema; None if `text` is not a time."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None, microsecond=0).isoformat()
    except ValueError:
        return None


def _properties(assessment: Assessment) -> Iterator[tuple[str, str]]:
    runs = {
        "baseline": assessment.comparison.baseline[0],
        "candidate": assessment.comparison.candidate[0],
    }
    yield "verdict", assessment.verdict
    if assessment.unpaired:
        yield "samples compared", "{} of {}".format(*assessment.coverage)
    for side, found in runs.items():
        yield f"{side} run", str(found.path)
        yield f"{side} digest", found.run.checkpoint.digest
    yield "margin", f"{assessment.terms.margin:g}"
    yield "alpha", f"{assessment.terms.alpha:g}"
    yield "power", f"{assessment.terms.power:g}"
    for side, found in runs.items():
        if found.run.batch_sensitivity is not None:
            yield f"{side} batch-size sensitivity", batch_sensitivity(found.run.batch_sensitivity)
    if assessment.power is not None:
        yield "pass if equal", f"{assessment.power.pass_if_equal:.3f}"
