"""Parse docstrings into a description of the function and descriptions of its parameters.

Google, NumPy and reST styles are recognized. Other sections, such as ``Returns``, are meant for
readers of the code and are left out.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from docstring_parser import Docstring


@attrs.frozen
class ParsedDocstring:
    """The parts of a docstring that the model receives.

    Attributes:
        description: the text before the sections; ``None`` if there is none.
        parameters: the description of each documented parameter, by name.
    """

    description: str | None = None
    parameters: Mapping[str, str] = attrs.field(factory=dict[str, str])


def parse_docstring(function: Callable[..., Any]) -> ParsedDocstring:
    """Parse a function's docstring. For a callable object, use the docstring of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    text = inspect.getdoc(function)
    if not text:
        return ParsedDocstring()
    import docstring_parser  # takes a while, and agents may have no tools

    try:
        # The parser dedents the text again, taking the second line for the margin of the first. The
        # leading line break prevents that.
        parsed = docstring_parser.parse("\n" + text)
    except Exception:  # noqa: BLE001 - unusual styles raise more than ParseError
        return ParsedDocstring(text)
    return ParsedDocstring(_description(parsed), dict(_parameters(parsed)))


def _description(parsed: Docstring) -> str | None:
    parts = (parsed.short_description, parsed.long_description)
    return "\n\n".join(part.strip() for part in parts if part) or None


def _parameters(parsed: Docstring) -> Iterator[tuple[str, str]]:
    for parameter in parsed.params:
        for name in parameter.arg_name.split(","):  # NumPy style may describe several at once
            if parameter.description:
                yield name.strip(), parameter.description
