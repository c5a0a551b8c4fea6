"""JUnit XML: valid for CI systems, and never passed if something is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from evalsuite.comparison.gate import gate
from evalsuite.comparison.policy import Policy
from evalsuite.report.export.junit import to_junit
from evalsuite.report.tables.gate import GateReport, explain
from evalsuite.runs.records import FoundRun
from tests.builders.gates import STRICT, correct, report_of
from tests.builders.stored_runs import failed, stored

# The subset that we write of the schema of Jenkins' xUnit plugin (junit-10.xsd), and stricter:
# numbers must be numbers, and a case has at most one result.
SCHEMA = """
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="testsuites">
    <xs:complexType>
      <xs:sequence><xs:element ref="testsuite" maxOccurs="unbounded"/></xs:sequence>
      <xs:attribute name="name" type="xs:string"/>
      <xs:attributeGroup ref="counts"/>
    </xs:complexType>
  </xs:element>
  <xs:attributeGroup name="counts">
    <xs:attribute name="tests" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="failures" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="errors" type="xs:nonNegativeInteger" use="required"/>
  </xs:attributeGroup>
  <xs:element name="testsuite">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="properties">
          <xs:complexType>
            <xs:sequence>
              <xs:element name="property" maxOccurs="unbounded">
                <xs:complexType>
                  <xs:attribute name="name" type="xs:string" use="required"/>
                  <xs:attribute name="value" type="xs:string" use="required"/>
                </xs:complexType>
              </xs:element>
            </xs:sequence>
          </xs:complexType>
        </xs:element>
        <xs:element ref="testcase" maxOccurs="unbounded"/>
        <xs:element name="system-out" type="xs:string" minOccurs="0"/>
      </xs:sequence>
      <xs:attribute name="name" type="xs:string" use="required"/>
      <xs:attribute name="id" type="xs:nonNegativeInteger"/>
      <xs:attribute name="timestamp" type="xs:dateTime"/>
      <xs:attribute name="skipped" type="xs:nonNegativeInteger"/>
      <xs:attributeGroup ref="counts"/>
    </xs:complexType>
  </xs:element>
  <xs:element name="testcase">
    <xs:complexType>
      <xs:sequence>
        <xs:choice minOccurs="0">
          <xs:element name="skipped" type="result"/>
          <xs:element name="error" type="result"/>
          <xs:element name="failure" type="result"/>
        </xs:choice>
        <xs:element name="system-out" type="xs:string" minOccurs="0"/>
      </xs:sequence>
      <xs:attribute name="name" type="xs:string" use="required"/>
      <xs:attribute name="classname" type="xs:string"/>
    </xs:complexType>
  </xs:element>
  <xs:complexType name="result" mixed="true">
    <xs:attribute name="type" type="xs:string"/>
    <xs:attribute name="message" type="xs:string"/>
  </xs:complexType>
</xs:schema>
"""


def valid(report: GateReport) -> etree._Element:
    root = etree.fromstring(to_junit(report).encode())
    etree.XMLSchema(etree.fromstring(SCHEMA)).assertValid(root)
    for suite in root:
        for count, element in (("failures", "failure"), ("errors", "error"),
                               ("skipped", "skipped")):  # fmt: skip
            assert int(suite.get(count)) == len(suite.findall(f"testcase/{element}"))
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
    for count in ("tests", "failures", "errors"):
        assert int(root.get(count)) == sum(int(suite.get(count)) for suite in root)
    return root


def valid_gate(*arguments: Any) -> etree._Element:
    return valid(explain(gate(*arguments)))


def results(root: etree._Element, suite: int = 0) -> dict[str, str]:
    """Return the result of each case: passed if it has none."""
    shown = {}
    for case in root[suite].findall("testcase"):
        kinds = [child.tag for child in case if child.tag != "system-out"]
        shown[case.get("name")] = kinds[0] if kinds else "passed"
    return shown


def test_a_pass_has_no_result(tmp_path: Path) -> None:
    root = valid(report_of(tmp_path, {"A": correct(300)}, {"A": correct(300)}))
    assert results(root) == {"A": "passed", "mean": "passed"}
    line = root.findtext(".//testcase/system-out")
    assert "difference 0.00, 90 % interval -0.75 to +0.75" in line
    assert "verdict: pass" in root.findtext("testsuite/system-out")


def test_a_regression_is_a_failure_and_an_incomparable_benchmark_an_error(tmp_path: Path) -> None:
    before = {"A": correct(300), "B": correct(300), "C": correct(300), "D": correct(20, 25)}
    after = {"A": correct(300), "B": correct(200), "D": correct(20, 25)}
    root = valid(report_of(tmp_path, before, after))
    assert results(root) == {
        "A": "passed", "B": "failure", "C": "error", "D": "skipped", "mean": "failure",
    }  # fmt: skip
    failure = root.find(".//failure")
    assert failure.get("type") == "regression"
    assert failure.get("message") == failure.text
    assert failure.text.startswith("B ")
    assert "25 points" in failure.text
    assert root[0].get("name") == "new against the baseline old"
    assert root[0].find("testcase").get("classname") == "new"


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    root = valid(report_of(tmp_path, {"A": correct(300)}, {"B": correct(300)}))
    assert results(root) == {"A": "error", "B": "error", "mean": "error"}


def test_failed_samples_that_decide_are_errors(tmp_path: Path) -> None:
    after = correct(300)
    after[:40] = [failed(row) for row in after[:40]]
    root = valid(report_of(tmp_path, {"A": correct(300)}, {"A": after}))
    assert results(root)["mean"] == "error"
    assert int(root.get("errors")) == 1


def test_an_anchor_is_a_second_suite(tmp_path: Path) -> None:
    runs = [stored(tmp_path, name, {"A": correct(count)})
            for name, count in (("anchor", 380), ("old", 362), ("new", 360))]  # fmt: skip
    root = valid_gate(runs[1], runs[2], Policy(margin=2, cliff=5), {}, runs[0])
    assert [suite.get("id") for suite in root] == ["0", "1"]
    assert results(root, 0)["mean"] == "passed"
    assert results(root, 1)["mean"] == "failure"


@pytest.mark.parametrize("name", ["a & <b>", "\x1b[31mred", "two\nlines", "]]>", "\ud800", "数"])
def test_any_name_can_be_written(tmp_path: Path, name: str) -> None:
    found = stored(tmp_path, "old", {"A": correct(300)})
    record = dataclasses.replace(found.run.checkpoint, name=name)
    other = FoundRun(found.path, dataclasses.replace(found.run, checkpoint=record))
    root = valid_gate(found, other, STRICT, {})
    shown = root.find(".//testcase").get("classname")
    assert shown.isprintable()
    if name.isprintable():
        assert shown == name


@pytest.mark.parametrize("moment", ["<&\x00", "", "yesterday"])
def test_an_invalid_time_is_left_out(tmp_path: Path, moment: str) -> None:
    found = stored(tmp_path, "old", {"A": correct(300)}, started=moment, finished=moment or None)
    assert valid_gate(found, found, STRICT, {}).find("testsuite").get("timestamp") is None
