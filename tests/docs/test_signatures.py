"""Signatures in the reference show what users pass, and aliases by their names."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
SIGNATURES = runpy.run_path(str(DOCS / "signatures.py"))
ALIASES: dict[str, str] = SIGNATURES["NAMED_ALIASES"]


def tidy(signature: str, name: str = "trio_realtime.f") -> str:
    shown: str = SIGNATURES["tidy_signature"](name, signature)
    return shown


def test_internal_arguments_are_left_out() -> None:
    given = "(*, usage: Usage = Usage(), early: EarlyAnswer | None = None)"
    assert tidy(given, "trio_realtime.ToolContext") == "(*, usage: Usage = Usage())"
    assert tidy(given, "trio_realtime.Other") == given


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            "(agent: AnyAgent, tool: AnyTool | None)",
            "(agent: RealtimeAgent, tool: FunctionTool | None)",
        ),
        (
            "(history: Sequence[~a.HistoryItem] | ReadItems = ())",
            "(history: Sequence[~a.HistoryItem] = ())",
        ),
        ("(usage: Usage = Usage(responses=0, total_tokens=0))", "(usage: Usage = Usage())"),
        (
            "(format: AudioFormat = AudioFormat(type='audio/pcm', rate=24000))",
            "(format: AudioFormat = PCM24K)",
        ),
        (
            "(policy: InterruptionPolicy = InterruptionPolicy(text='a (b', size=(1, 2)), x: int = 1)",
            "(policy: InterruptionPolicy = InterruptionPolicy(), x: int = 1)",
        ),
        ("(env: Any = NOTHING)", "(env: Any = ...)"),
        ("(connector: Connector = <function connect>)", "(connector: Connector = connect)"),
        ("(pcm: bytes, *, commit: bool = False)", "(pcm: bytes, *, commit: bool = False)"),
    ],
)
def test_names_and_defaults_are_short(given: str, shown: str) -> None:
    assert tidy(given) == shown


def test_arguments_are_split_at_commas_outside_of_brackets_and_quotes() -> None:
    split = SIGNATURES["split_arguments"]
    text = "a: dict[str, int] = {}, b: str = 'x, y)', *, c: Callable[[int, int], None]"
    assert list(split(text)) == [
        "a: dict[str, int] = {}",
        "b: str = 'x, y)'",
        "*",
        "c: Callable[[int, int], None]",
    ]
    assert list(split("")) == []


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_each_alias_is_defined_where_the_table_says(alias: str) -> None:
    assert SIGNATURES["definition_of"](alias)


def test_definition_of_an_alias_is_that_of_the_source() -> None:
    assert SIGNATURES["definition_of"]("Verdict") == "GuardrailResult | bool"


def test_page_of_types_lists_no_other_aliases() -> None:
    page = (DOCS / "reference" / "types.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\.\. type-alias:: (\w+)$", page, re.MULTILINE)) <= set(ALIASES)
