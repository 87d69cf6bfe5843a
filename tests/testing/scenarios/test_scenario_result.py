"""Results of scenarios as text and as JUnit XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import attrs

from trio_realtime.testing.scenarios import Failure, ScenarioResult, junit_xml

FAILURE = Failure(line=7, expected="a <call>", happened="the \x07 bell")
PASSED = ScenarioResult(
    path=Path("a.scenario.yaml"), name="A", failure=None, conversation="x", seconds=1.25
)
FAILED = attrs.evolve(
    PASSED,
    path=Path("b.scenario.yaml"),
    name="B",
    failure=FAILURE,
    conversation="first\nsecond",
)


def test_a_report_has_the_conversation_of_a_failure() -> None:
    assert PASSED.report == "passed  a.scenario.yaml: A (1.2 s)"
    assert FAILED.report == (
        "FAILED  b.scenario.yaml:7: B\n  expected: a <call>\n  happened: the \x07 bell\n\n"
        "  first\n  second"
    )
    without_line = attrs.evolve(FAILED, failure=attrs.evolve(FAILURE, line=None))
    assert without_line.report.startswith("FAILED  b.scenario.yaml: B\n")


def test_junit_xml_has_a_case_for_each_scenario() -> None:
    suite = ET.fromstring(junit_xml([PASSED, FAILED])).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("2", "1", "2.500")
    passed, failed = suite.findall("testcase")
    assert (passed.get("name"), passed.get("file"), passed.find("failure")) == (
        "A",
        "a.scenario.yaml",
        None,
    )
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "expected: a <call>"
    assert failure.text is not None
    assert "the \N{REPLACEMENT CHARACTER} bell" in failure.text
    assert failure.text.endswith("first\n  second")


def test_the_xml_of_no_scenarios_is_valid() -> None:
    suite = ET.fromstring(junit_xml([])).find("testsuite")
    assert suite is not None
    assert suite.get("tests") == "0"
