"""How a scenario ended, as text and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import attrs

from trio_realtime.events import SessionEvent
from trio_realtime.items import HistoryItem
from trio_realtime.testing.conversation_log import LogEntry

__all__ = ["Failure", "JudgedConversation", "ScenarioResult", "Verdict", "junit_xml"]


@attrs.frozen(kw_only=True)
class JudgedConversation:
    """What a judge is given: a whole conversation.

    Attributes:
        name: the name of the scenario.
        text: the conversation as text, with times in seconds.
        entries: the lines of the text.
        history: the items of the conversation at its end.
        events: every event except the audio, with its time in seconds since the beginning.
    """

    name: str
    text: str
    entries: Sequence[LogEntry] = attrs.field(repr=False)
    history: Sequence[HistoryItem] = attrs.field(repr=False)
    events: Sequence[tuple[float, SessionEvent]] = attrs.field(repr=False)


@attrs.frozen
class Verdict:
    """What a judge returns.

    Args:
        passed: whether the conversation is good.
        reason: why; shown if it is not.
    """

    passed: bool
    reason: str = ""


@attrs.frozen(kw_only=True)
class Failure:
    """Why a scenario failed.

    Attributes:
        line: the line of the step in the file; ``None`` if it was not one step.
        expected: what should have happened.
        happened: what happened instead.
    """

    line: int | None
    expected: str
    happened: str


@attrs.frozen(kw_only=True)
class ScenarioResult:
    """How a scenario ended.

    Attributes:
        path: the file.
        name: what was tested.
        failure: why it failed; ``None`` if it passed.
        conversation: the conversation as text.
        seconds: how long the conversation took, on the clock of the scenario.
    """

    path: Path
    name: str
    failure: Failure | None
    conversation: str = attrs.field(repr=False)
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether everything happened as expected."""
        return self.failure is None

    @property
    def report(self) -> str:
        """Why the scenario failed, with the conversation; one line if it passed."""
        if self.failure is None:
            return f"passed  {self.path}: {self.name} ({self.seconds:.1f} s)"
        line = "" if self.failure.line is None else f":{self.failure.line}"
        conversation = "\n".join(f"  {each}" for each in self.conversation.splitlines())
        return (
            f"FAILED  {self.path}{line}: {self.name}\n"
            f"  expected: {self.failure.expected}\n"
            f"  happened: {self.failure.happened}\n\n"
            f"{conversation}"
        )


def junit_xml(results: Sequence[ScenarioResult]) -> bytes:
    """Return the results as a JUnit XML document."""
    failures = [result for result in results if not result.passed]
    counts: dict[str, Any] = {
        "tests": str(len(results)),
        "failures": str(len(failures)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
    root = ET.Element("testsuites")
    suite = ET.SubElement(root, "testsuite", name="trio-realtime", **counts)
    for result in results:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=str(result.path),
            name=result.name,
            file=str(result.path),
            time=f"{result.seconds:.3f}",
        )
        if result.failure is not None:
            message = f"expected: {result.failure.expected}"
            ET.SubElement(case, "failure", message=_xml_text(message)).text = _xml_text(
                result.report
            )
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _xml_text(text: str) -> str:
    """Replace the control characters that XML cannot contain."""
    return "".join(c if c in "\t\n" or c >= " " else "\N{REPLACEMENT CHARACTER}" for c in text)
