"""What a function's docstring tells the model: what it does, and what its parameters are.

Google's, NumPy's and reST's style are understood; sections such as Returns are for readers of code.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import docstring_parser


@attrs.frozen
class Documentation:
    """A docstring, taken apart."""

    description: str | None = None
    parameters: Mapping[str, str] = attrs.field(factory=dict[str, str])


def documentation(function: Callable[..., Any]) -> Documentation:
    """What is written of a function; of a callable object, what is written of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    text = inspect.getdoc(function)
    if not text:
        return Documentation()
    try:
        # The parser cleans it once more, and would take the second line for the first's margin.
        parsed = docstring_parser.parse("\n" + text)
    except Exception:  # noqa: BLE001 - a style of one's own trips it in more ways than ParseError
        return Documentation(text)
    return Documentation(_description(parsed), dict(_parameters(parsed)))


def _description(parsed: docstring_parser.Docstring) -> str | None:
    parts = (parsed.short_description, parsed.long_description)
    return "\n\n".join(part.strip() for part in parts if part) or None


def _parameters(parsed: docstring_parser.Docstring) -> Iterator[tuple[str, str]]:
    for parameter in parsed.params:
        for name in parameter.arg_name.split(","):  # NumPy's style describes several at once
            if parameter.description:
                yield name.strip(), parameter.description
