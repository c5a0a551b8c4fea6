"""A gate's verdict as JUnit XML, which CI systems show as tests.

A suite is a run held against another, a case is a benchmark; the mean is a case, too. A regression
is a failure. What could not be compared is an error: a broken benchmark must not look green. A
benchmark that is neither shown to be within its cliff nor beyond it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from evalsuite.comparison.comparison import MEAN
from evalsuite.comparison.gate import Gated, Judged
from evalsuite.report.format import batch_sensitivity, visible
from evalsuite.report.tables.gate import name_of, row_texts
from evalsuite.report.tables.gate_reasons import Kind, Reason, because, reasons

_ELEMENTS: dict[Kind, str] = {
    "regression": "failure",
    "incomparable": "error",
    "unfinished": "error",
    "failed samples": "error",
    "open": "skipped",
}


def to_junit(gated: Gated) -> str:
    """Render `gated` for the schema of Jenkins, which other readers' are wider than."""
    root = Element("testsuites", name="evalsuite gate")
    suites = [_suite(judged, index) for index, judged in enumerate(gated.judged)]
    root.extend(suites)
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    SubElement(suites[0], "system-out").text = "\n".join(
        map(visible, (f"verdict: {gated.verdict}", *because(gated)))
    )
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(judged: Judged, index: int) -> Element:
    run = judged.comparison.candidate[0].run
    suite = Element(
        "testsuite",
        name=visible(f"{name_of(judged, 'candidate')} against the {judged.role} "
                     f"{name_of(judged, 'baseline')}"),
        id=str(index),
    )  # fmt: skip
    if moment := _moment(run.finished or run.started):
        suite.set("timestamp", moment)
    properties = SubElement(suite, "properties")
    for name, value in _properties(judged):
        SubElement(properties, "property", name=name, value=visible(value))
    shown = row_texts(judged)
    found = _gravest(reasons(judged))
    checkpoint = visible(run.checkpoint.name)
    for name in dict.fromkeys([*(i.benchmark for i in judged.comparison.incomparable),
                               *shown, MEAN]):  # fmt: skip
        case = SubElement(suite, "testcase", name=visible(name), classname=checkpoint)
        if name in found:
            reason = found[name]
            said = visible(reason.text)
            SubElement(case, _ELEMENTS[reason.kind], type=reason.kind, message=said).text = said
        if name in shown:
            SubElement(case, "system-out").text = visible(shown[name])
    suite.set("tests", str(len(suite.findall("testcase"))))
    for count, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{element}"))))
    return suite


def _moment(text: str) -> str | None:
    """A time of ours as the schema has it; None for anything else that a file may hold."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None, microsecond=0).isoformat()
    except ValueError:
        return None


def _gravest(found: Sequence[Reason]) -> dict[str, Reason]:
    """Keep one reason a case, as a case has one result: the first, which is the gravest."""
    kept: dict[str, Reason] = {}
    for reason in found:
        kept.setdefault(reason.subject, reason)
    return kept


def _properties(judged: Judged) -> Iterator[tuple[str, str]]:
    yield "verdict", judged.verdict
    for side in ("baseline", "candidate"):
        found = getattr(judged.comparison, side)[0]
        yield f"{side} run", str(found.path)
        yield f"{side} digest", found.run.checkpoint.digest
    yield "margin", f"{judged.terms.margin:g}"
    yield "alpha", f"{judged.terms.alpha:g}"
    yield "power", f"{judged.terms.power:g}"
    for side in ("baseline", "candidate"):
        found = getattr(judged.comparison, side)[0].run.batch_sensitivity
        if found is not None:
            yield f"{side} noise", batch_sensitivity(found)
    if judged.outlook is not None:
        yield "pass if equal", f"{judged.outlook.pass_if_equal:.3f}"
