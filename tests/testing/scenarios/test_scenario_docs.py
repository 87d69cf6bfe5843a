"""The page on scenarios names every key that a file may have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from trio_realtime.testing.matching import TextMatch
from trio_realtime.testing.scenarios.model import Expectation, HeardRange, Reply, Scenario, Step

KINDS = (
    Scenario,
    TextMatch,
    HeardRange,
    *(k for u in (Step, Reply, Expectation) for k in get_args(u)),
)
KEYS = {field.name for kind in KINDS for field in attrs.fields(kind)} - {"path", "step_lines"}


@pytest.fixture(scope="module")
def words(repository: Path) -> set[str]:
    """The words in code spans of the page."""
    page = (repository / "docs" / "guides" / "scenarios.md").read_text(encoding="utf-8")
    return {word for span in re.findall(r"`([^`\n]+)`", page) for word in re.findall(r"\w+", span)}


@pytest.mark.parametrize("key", sorted(KEYS))
def test_each_key_is_documented(key: str, words: set[str]) -> None:
    assert key in words


@pytest.mark.parametrize("name", ["outcome", "clock", "modality", "incomplete"])
def test_each_value_of_a_choice_is_documented(name: str, words: set[str]) -> None:
    found: list[Any] = [
        field.type
        for kind in KINDS
        for field in attrs.fields(attrs.resolve_types(kind))
        if field.name == name
    ]
    choices = {value for kind in found for value in re.findall(r"'(\w+)'", str(kind))}
    assert len(choices) >= 2
    assert choices <= words
