"""Run cases and show their results, as text or as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from trio_realtime import RealtimeAgent, SessionConfig

from .case import FaultCase, run_case

LIBRARIES: Final[dict[str, str]] = {
    "LiveKit": "LiveKit Agents 1.7.0 / 1.8.9",
    "Pipecat": "Pipecat acead05 / 1.14.0",
    "openai-agents": "openai-agents 0.24.0",
    "pydantic-ai": "pydantic-ai 2.68.0",
}
"""The other libraries in ``FaultCase.peers``, and the versions of them that were measured."""

NOT_MEASURED: Final = "not measured"


@attrs.frozen
class CaseResult:
    """The result of one case.

    Attributes:
        case: The case.
        text: What happened, or what failed.
        passed: Whether everything held that must hold.
    """

    case: FaultCase
    text: str
    passed: bool


def run_cases(
    cases: Iterable[FaultCase],
    agent: RealtimeAgent[Any] | None = None,
    *,
    context: Any = None,
    config: SessionConfig | None = None,
) -> list[CaseResult]:
    """Run cases one after another. A case that fails does not stop the others.

    Args:
        cases: The cases.
        agent, context, config: As for :func:`run_case`.

    Returns:
        list[CaseResult]: One result for each case.
    """
    results: list[CaseResult] = []
    for case in cases:
        try:
            text = run_case(case, agent, context=context, config=config)
        except AssertionError as failure:
            results.append(CaseResult(case, str(failure), passed=False))
        else:
            results.append(CaseResult(case, text, passed=True))
    return results


def text_table(results: Sequence[CaseResult]) -> str:
    """Return the results as lines of text, with the number of cases that passed.

    Args:
        results: The results.
    """
    width = max((len(result.case.name) for result in results), default=0)
    lines = [
        f"{'ok  ' if result.passed else 'FAIL'}  {result.case.name:{width}}  {result.text}"
        for result in results
    ]
    passed = sum(result.passed for result in results)
    return "\n".join([*lines, f"{passed} of {len(results)} cases passed"])


def markdown_table(results: Sequence[CaseResult]) -> str:
    """Return the results as Markdown: a table with the other libraries, and one of the other cases.

    Args:
        results: The results.
    """
    compared = [result for result in results if result.case.peers]
    others = [result for result in results if not result.case.peers]
    tables: list[list[str]] = []
    if compared:
        tables.append(_rows(["Fault", "trio_realtime", *LIBRARIES.values()], compared, LIBRARIES))
    if others:
        tables.append(_rows(["Case", "trio_realtime"], others, ()))
    return "\n".join("\n".join(table) + "\n" for table in tables)


def _rows(
    header: Sequence[str], results: Iterable[CaseResult], libraries: Iterable[str]
) -> list[str]:
    names = [*libraries]
    rows = [[*header], ["---"] * len(header)]
    for result in results:
        own = result.text if result.passed else f"**fails**: {result.text}"
        peers = [result.case.peers.get(name, NOT_MEASURED) for name in names]
        rows.append([result.case.title, own, *peers])
    return [f"| {' | '.join(map(_cell, row))} |" for row in rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
