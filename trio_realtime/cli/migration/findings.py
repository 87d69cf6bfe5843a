"""What one program uses of an agents SDK, and what becomes of it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from .javascript_program import find_uses as find_javascript_uses
from .mapping import Counterpart, Language, load_mapping
from .python_program import find_uses as find_python_uses

Status: TypeAlias = Literal["unchanged", "changed", "remove", "none", "unknown"]

NOT_LISTED = Counterpart(
    ours=(), note="not in the tables: this command knows nothing about it; see the migration page"
)


@attrs.frozen(kw_only=True)
class Finding:
    """One name of the SDK that a program uses.

    Attributes:
        name: the name as the tables list it, or as the program writes it.
        lines: the lines that use it, from 1, in order.
        status: ``unchanged``; ``changed``; ``remove``, for a name that is not needed here; ``none``, for
            one without a counterpart; ``unknown``, for one that the tables do not list.
        becomes: the names of this library.
        note: what differs, or what to do instead.
    """

    name: str
    lines: tuple[int, ...]
    status: Status
    becomes: tuple[str, ...]
    note: str

    def text(self) -> str:
        """Return the finding as text, without its lines and its note."""
        match self.status:
            case "changed":
                return f"{self.name} -> {', '.join(self.becomes)}"
            case "remove":
                return f"{self.name}: not needed"
            case "none":
                return f"{self.name}: no counterpart"
            case _:
                return f"{self.name}: {self.status}"

    def where(self) -> str:
        """Return the numbers of the lines as text."""
        return ", ".join(map(str, self.lines))


@attrs.frozen(kw_only=True)
class FileReport:
    """What was found in one program. ``findings`` are in the order of their first lines."""

    path: str
    language: Language
    findings: tuple[Finding, ...]

    def count(self, *statuses: Status) -> int:
        """Return the number of findings with one of these statuses."""
        return sum(finding.status in statuses for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints for this file."""
        return attrs.asdict(self)

    def text(self, width: int) -> str:
        """Return the report for people, wrapped to ``width`` columns."""
        lines = [self.path]
        if not self.findings:
            lines.append("  uses no name of an agents SDK that this command recognizes")
        for finding in self.findings:
            if finding.status != "unchanged":
                lines += _wrap(f"{finding.where()}: {finding.text()}", width, first="  ")
                lines += _wrap(finding.note, width)
        unchanged = [
            f"{finding.name} ({finding.where()})"
            for finding in self.findings
            if finding.status == "unchanged"
        ]
        lines += _wrap(f"unchanged: {', '.join(unchanged)}", width, first="  ") if unchanged else []
        return "\n".join(lines)


def _wrap(text: str, width: int, first: str = "      ") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def analyze(path: str, source: str, language: Language) -> FileReport:
    """Find the names of an agents SDK in a program, and look up what they become.

    Args:
        path: where the program is, for the report.
        source: the text of the program.
        language: of the program.

    Raises:
        SyntaxError: the program is not valid Python. JavaScript is not parsed completely, and never
            raises.
    """
    mapping = load_mapping(language)
    find_uses = find_python_uses if language == "python" else find_javascript_uses
    findings: dict[str, Finding] = {}
    for use in find_uses(source, mapping):
        found = mapping.find(*use.names)
        if found is None and mapping.covers(use.names[0]):
            continue
        listed, counterpart = found or (use.names[0], NOT_LISTED)
        shown = use.shown or listed
        before = findings[shown].lines if shown in findings else ()
        findings[shown] = Finding(
            name=shown,
            lines=tuple(dict.fromkeys((*before, use.line))),
            status=_status(listed, counterpart),
            becomes=counterpart.ours,
            note=plain(counterpart.note),
        )
    return FileReport(path=path, language=language, findings=tuple(findings.values()))


def _status(name: str, counterpart: Counterpart) -> Status:
    if counterpart is NOT_LISTED:
        return "unknown"
    if not counterpart.ours:
        return "remove" if counterpart.remove else "none"
    same = len(counterpart.ours) == 1 and last_part(counterpart.ours[0]) == last_part(name)
    return "unchanged" if same and not counterpart.note else "changed"


def last_part(name: str) -> str:
    """Return the name without modules and classes: ``a.b(c=)`` and ``d.b(c=)`` have the same one."""
    function, bracket, option = name.partition("(")
    return option.removesuffix("=)") if bracket else function.rpartition(".")[2]


def plain(note: str) -> str:
    """Return a note without the links of Markdown."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", note)


def summary(reports: Sequence[FileReport]) -> str:
    """Return one line about all files."""
    return ", ".join(_counts(reports)) + "."


def _counts(reports: Sequence[FileReport]) -> Iterator[str]:
    labels: dict[Status, str] = {
        "unchanged": "unchanged",
        "changed": "changed",
        "remove": "not needed",
        "none": "without counterpart",
        "unknown": "unknown",
    }
    total = sum(len(report.findings) for report in reports)
    yield f"{total} name{'' if total == 1 else 's'}"
    for status, label in labels.items():
        number = sum(report.count(status) for report in reports)
        if number:
            yield f"{number} {label}"
