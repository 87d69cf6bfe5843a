"""How JSON becomes the types that msgspec does not know."""

from __future__ import annotations

import enum
import typing
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any, Final, cast

import attrs
import msgspec

from .conversion import Mismatch, Problem, Rule, Schema, convert, problems_of, rule_of
from .fields import fields_of, has_fields


class DescribedRule(Rule):
    """A rule that has its schema from msgspec's schemas of other types."""

    @property
    def members(self) -> Sequence[Any]:
        """Return the types that msgspec has to describe."""
        return ()

    @abstractmethod
    def schema(self, members: Sequence[Schema]) -> Schema:
        """Return the JSON Schema, given those of the members."""


@attrs.frozen(eq=False)
class PathRule(DescribedRule):
    """A string becomes a path of this class."""

    path_class: type[PurePath]

    def decode(self, value: Any) -> PurePath:
        """Return the path. It need not exist."""
        return self.path_class(convert(value, str))

    def schema(self, members: Sequence[Schema]) -> Schema:  # noqa: ARG002
        """Return the schema of a string."""
        return {"type": "string", "format": "path"}


@attrs.frozen(eq=False)
class LiteralRule(DescribedRule):
    """Some of the values of enums, possibly together with plain values."""

    values: tuple[Any, ...]

    def decode(self, value: Any) -> Any:
        """Return the member that has the value."""
        for candidate in self.values:
            plain = _plain(candidate)
            if type(plain) is type(value) and plain == value:
                return candidate
        raise Mismatch([Problem("", f"Invalid value {value!r:.80}")])

    def schema(self, members: Sequence[Schema]) -> Schema:  # noqa: ARG002
        """Return the schema that lists the values."""
        return {"enum": [_plain(value) for value in self.values]}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


@attrs.frozen(eq=False)
class UnionRule(DescribedRule):
    """A union whose members msgspec cannot tell apart by the kind of JSON value: they are tried.

    ``str`` and ``float`` are tried last, because they accept every text and every number. Of several
    classes, those that have most keys of an object are tried first. Otherwise the order of the
    declaration counts.
    """

    types: tuple[Any, ...]

    @property
    def members(self) -> Sequence[Any]:
        """Return the types of the union."""
        return self.types

    def decode(self, value: Any) -> Any:
        """Return what the first member that accepts the value makes of it."""
        found: list[list[Problem]] = []
        for member in sorted(self.types, key=lambda member: _rank(member, value)):
            try:
                return convert(value, member)
            except msgspec.ValidationError as exc:
                found.append(problems_of(exc))
        raise Mismatch(_closest(found))

    def schema(self, members: Sequence[Schema]) -> Schema:
        """Return the schema that accepts what any member accepts."""
        return {"anyOf": list(members)}


def _rank(member: Any, value: Any) -> int:
    if getattr(member, "__origin__", member) in (str, float):
        return 1
    keys = cast("Schema", value) if isinstance(value, dict) else {}
    return -len(_names(member).intersection(keys))


def _names(member: Any) -> frozenset[str]:
    """Return the keys of a class in JSON."""
    rule = rule_of(member)
    if rule is not None:
        return rule.names
    if not has_fields(typing.get_origin(member) or member):
        return frozenset()
    return frozenset(field.json_name for field in fields_of(member))


def _closest(found: Sequence[Sequence[Problem]]) -> list[Problem]:
    """Return the problems of the members that have the right kind, or of all if there is none."""
    inside = [problems for problems in found if all(problem.path for problem in problems)]
    return [problem for problems in inside or found for problem in problems]


OMITTED: Final = object()
"""The value of a field that is not in the JSON object, so that its class uses the default."""


@attrs.define(eq=False)
class ObjectRule(DescribedRule):
    """A class with fields, some of which msgspec cannot decode.

    Attributes:
        build: called with the values of the fields by name.
        fields: the argument of ``build`` for each field.
        names: the keys in JSON.
        mirror: a class for msgspec with translated fields. It is set last, because a class may contain
            itself.
    """

    build: Callable[..., Any]
    fields: dict[str, str] = attrs.field(factory=dict[str, str])
    names: frozenset[str] = frozenset()
    mirror: Any = None

    @property
    def members(self) -> Sequence[Any]:
        """Return the mirror, which has the schema."""
        return (self.mirror,)

    def decode(self, value: Any) -> Any:
        """Return an instance of the user's class, whose own checks run."""
        decoded = convert(value, self.mirror)
        if not isinstance(decoded, msgspec.Struct):  # a TypedDict
            return decoded
        values = {
            argument: field
            for name, argument in self.fields.items()
            if (field := getattr(decoded, name)) is not OMITTED
        }
        try:
            return self.build(**values)
        except (ValueError, TypeError) as exc:
            raise Mismatch([Problem("", str(exc))]) from None

    def schema(self, members: Sequence[Schema]) -> Schema:
        """Return the reference to the definition of the mirror."""
        return members[0]
