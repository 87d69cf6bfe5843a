"""Types that msgspec does not know, and the errors that the model receives.

msgspec decodes most annotations by itself. For the rest, ``annotations`` puts a *converted type* in their
place: a class that msgspec does not know, so that it calls :func:`convert_value`. The rule of the class
converts the JSON value and describes it.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import attrs
import msgspec

Schema: TypeAlias = dict[str, Any]

REF_PREFIX: Final = "#/$defs/"
MAX_PROBLEMS: Final = 3
MAX_LENGTH: Final = 300
_LOCATED: Final = re.compile(r"(?P<message>.*) - at (?P<key>`key` in )?`\$(?P<path>.*)`", re.DOTALL)


class Rule(ABC):
    """How a converted type reads JSON.

    Attributes:
        names: the keys of an object in JSON, for a class with fields.
    """

    names: frozenset[str] = frozenset()

    @abstractmethod
    def decode(self, value: Any) -> Any:
        """Return what the function receives for a JSON value.

        Raises:
            Mismatch: the value does not match.
            msgspec.ValidationError: the same.
        """


class _ConvertedType(type):
    """The class of all converted types. Whatever the rule returns is an instance."""

    rule: Rule

    def __instancecheck__(cls, _value: Any) -> bool:
        return True


def converted_type(name: str, rule: Rule) -> Any:
    """Return a class that stands for what the rule decodes."""
    return _ConvertedType(name, (), {"rule": rule})


def rule_of(type_: Any) -> Rule | None:
    """Return the rule of a converted type; ``None`` for other types."""
    return type_.rule if isinstance(type_, _ConvertedType) else None


def convert_value(type_: Any, value: Any) -> Any:
    """Decode a value of a converted type. A ``dec_hook`` of msgspec.

    Raises:
        Mismatch: the value does not match.
        NotImplementedError: ``type_`` is not a converted type.
    """
    rule = rule_of(type_)
    if rule is None:
        raise NotImplementedError
    try:
        return rule.decode(value)
    except msgspec.ValidationError as exc:
        raise Mismatch(problems_of(exc)) from None


def convert(value: Any, type_: Any) -> Any:
    """Convert the value of a part of the JSON text.

    Raises:
        msgspec.ValidationError: the value does not match the type.
    """
    return msgspec.convert(value, type_, dec_hook=convert_value, str_keys=True)


# --- errors --------------------------------------------------------------------------------------


@attrs.frozen
class Problem:
    """One reason why a value does not match.

    Attributes:
        path: where in the value, as in ``.guests[0].name``.
        message: the reason.
        is_in_key: a key of the object there does not match.
    """

    path: str
    message: str
    is_in_key: bool = False

    def __str__(self) -> str:
        key = "`key` in " if self.is_in_key else ""
        return f"{self.message} - at {key}`${self.path}`"


class Mismatch(ValueError):
    """A value does not match a converted type. msgspec appends where the value is."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


def problems_of(exc: msgspec.ValidationError) -> list[Problem]:
    """Return what is wrong, with paths from the value that msgspec decoded."""
    cause = exc.__cause__
    if isinstance(cause, Mismatch):
        around = _located(str(exc).removeprefix(str(cause)))
        return [attrs.evolve(inner, path=around.path + inner.path) for inner in cause.problems]
    return [_located(str(exc))]


def _located(text: str) -> Problem:
    """Read the text of msgspec's error."""
    found = _LOCATED.fullmatch(text)
    if found is None:
        return Problem("", text)
    return Problem(found["path"], found["message"], found["key"] is not None)


def problems_text(problems: Sequence[Problem]) -> str:
    """Return the text for the model. It is short: the model corrects the first errors first."""
    different = list(dict.fromkeys(str(_shorten(problem)) for problem in problems))
    more = len(different) - MAX_PROBLEMS
    return "; ".join([*different[:MAX_PROBLEMS], *([f"{more} more"] if more > 0 else [])])


def _shorten(problem: Problem) -> Problem:
    """Shorten a message, such as a list of all values of a large enum."""
    if len(problem.message) <= MAX_LENGTH:
        return problem
    return attrs.evolve(problem, message=f"{problem.message[:MAX_LENGTH]}...")


# --- schemas -------------------------------------------------------------------------------------


def placeholder(type_: Any) -> str:
    """Return the reference that stands for a converted type until its schema is known."""
    return f"converted:{id(type_)}"


def replace_references(schema: Any, lookup: Callable[[str], Schema | None]) -> Any:
    """Return a copy of a schema with other schemas in place of some references.

    Defaults that are not JSON, such as NaN, are left out.

    Args:
        schema: the schema.
        lookup: returns the schema for a reference, or ``None`` to keep the reference.
    """
    if isinstance(schema, list):
        items: list[Any] = cast("Any", schema)
        return [replace_references(item, lookup) for item in items]
    if not isinstance(schema, dict):
        return schema
    copy = {
        key: replace_references(value, lookup)
        for key, value in cast("Schema", schema).items()
        if key != "default" or is_json(value)
    }
    reference = copy.get("$ref")
    replacement = lookup(reference) if isinstance(reference, str) else None
    if replacement is None:
        return copy
    del copy["$ref"]
    return {**replacement, **copy}


def is_json(value: Any) -> bool:
    """Return whether a value made of lists, dicts and scalars has no NaN and no infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(is_json, cast("Schema", value).values()))
    if isinstance(value, list):
        items: list[Any] = cast("Any", value)
        return all(map(is_json, items))
    return True
