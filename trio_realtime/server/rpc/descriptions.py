"""Descriptions of classes and their fields, from their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

import attrs
import docstring_parser
from docstring_parser import DocstringStyle

__all__ = ["Descriptions", "describe"]

_ROLE: Final = re.compile(r":\w+:`[~.]*([^`<]*?)(?:\s*<[^>]*>)?`")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_SUBJECT: Final = re.compile(r"``(\w+)``")


@attrs.frozen(kw_only=True)
class Descriptions:
    """What the docstring of a class says.

    Attributes:
        summary: the first sentence.
        fields: the descriptions of the fields, as far as there are any.
    """

    summary: str
    fields: dict[str, str]


def describe(cls: type[Any]) -> Descriptions:
    """Return the descriptions of a class and its fields.

    Those of a field come from the entries of the section ``Attributes`` or ``Args``, also of the base classes, or
    from a sentence that begins with the name of the field.
    """
    fields: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        fields.update(_field_descriptions(base))
    first, *_ = _sentences(_parse(cls))
    return Descriptions(summary=_plain(first), fields=fields)


def _parse(cls: type[Any]) -> docstring_parser.Docstring:
    own = cls.__dict__.get("__doc__") or cls.__name__
    # The parser takes the second line for the margin of the first without the leading line break.
    return docstring_parser.parse("\n" + inspect.cleandoc(own), DocstringStyle.GOOGLE)


def _sentences(parsed: docstring_parser.Docstring) -> list[str]:
    text = "\n\n".join(filter(None, (parsed.short_description, parsed.long_description)))
    return _SENTENCE_END.split(" ".join(text.split()))


def _field_descriptions(cls: type[Any]) -> Iterator[tuple[str, str]]:
    parsed = _parse(cls)
    for sentence in _sentences(parsed):
        subject = _SUBJECT.match(sentence)
        if subject is not None and subject[1] in getattr(cls, "__annotations__", {}):
            yield subject[1], _plain(sentence)
    for entry in parsed.params:
        for name in entry.arg_name.split(","):
            yield name.strip(), _plain(entry.description or "")


def _plain(text: str) -> str:
    """Return the text of a docstring without its markup, as a sentence."""
    plain = " ".join(_ROLE.sub(r"`\1`", text).replace("``", "`").split())
    plain = plain.replace("`None`", "`null`")  # as JSON has it
    return plain[:1].upper() + plain[1:]
