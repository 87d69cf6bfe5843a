"""Compare what happened with what a test expects: texts, and the arguments of calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["TextMatch", "arguments_match"]


@attrs.frozen(kw_only=True)
class TextMatch:
    """What a text has to be. All conditions that are given apply.

    Args:
        contains: a part of the text.
        equals: the whole text.
        regex: a regular expression that matches a part of the text.

    Raises:
        ValueError: no condition is given, or the regular expression is invalid.
    """

    contains: str | None = None
    equals: str | None = None
    regex: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.contains is None and self.equals is None and self.regex is None:
            raise ValueError("give contains, equals or regex")
        try:
            re.compile(self.regex or "")
        except re.error as exc:
            raise ValueError(f"{self.regex!r} is not a regular expression: {exc}") from None

    def matches(self, text: str) -> bool:
        """Return whether the text meets all conditions."""
        return (
            (self.contains is None or self.contains in text)
            and (self.equals is None or self.equals == text)
            and (self.regex is None or re.search(self.regex, text) is not None)
        )

    def __str__(self) -> str:
        conditions = (
            ("containing", self.contains),
            ("equal to", self.equals),
            ("matching", self.regex),
        )
        return " and ".join(f"{word} {value!r}" for word, value in conditions if value is not None)


def arguments_match(expected: Mapping[str, Any], actual: Mapping[str, Any] | None) -> bool:
    """Return whether a call has all expected arguments. It may have others.

    Args:
        expected: values by name.
        actual: the arguments of the call; ``None`` if they were not a JSON object.
    """
    return actual is not None and all(
        name in actual and _equal(value, actual[name]) for name, value in expected.items()
    )


def _equal(expected: Any, actual: Any) -> bool:
    """Compare JSON values. ``True`` is not ``1``, but ``1`` is ``1.0``."""
    return bool(expected == actual) and isinstance(expected, bool) == isinstance(actual, bool)
