"""The kinds of values in a spec: each checks a value, converts it, and has a JSON Schema.

A kind reads what a TOML file has, and also what it returned before, so that a spec can be evolved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias

import attrs

from trio_realtime._validation import is_number
from trio_realtime.errors import ConfigurationError

from .paths import SpecError, describe, describe_type, is_list, is_mapping, join, nearest

__all__ = [
    "Anything",
    "Choice",
    "Field",
    "Flag",
    "Kind",
    "ListOf",
    "MapOf",
    "Number",
    "Object",
    "OneOf",
    "OrNone",
    "Schema",
    "Table",
    "Text",
]

Schema: TypeAlias = dict[str, Any]

NONE: Final = "none"
"""What a TOML file, which has no null, says for ``None``."""


class Kind(Protocol):
    """A kind of values."""

    @property
    def expected(self) -> str:
        """What is expected, for an error message."""
        ...

    def accepts(self, value: Any) -> bool:
        """Return whether the value has the type, whatever is in it."""
        ...

    def read(self, value: Any, path: str) -> Any:
        """Return the value, converted.

        Raises:
            SpecError: it is not of this kind.
        """
        ...

    def schema(self) -> Schema:
        """Return the JSON Schema of the values in a file."""
        ...


def _wrong(kind: Kind, value: Any, path: str) -> SpecError:
    return SpecError(path, f"expected {kind.expected}, got {describe(value)}")


# --- values ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Text:
    """A string.

    Args:
        expected: what is expected, for an error message.
        pattern: what the whole string must match.
        is_secret: never quote the value.
    """

    expected: str = "a string"
    pattern: str | None = None
    is_secret: bool = False

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return isinstance(value, str)

    def read(self, value: Any, path: str) -> str:
        """See :class:`Kind`."""
        if not isinstance(value, str) or (
            self.pattern is not None and not re.fullmatch(self.pattern, value)
        ):
            shown = describe_type(value) if self.is_secret else describe(value)
            raise SpecError(path, f"expected {self.expected}, got {shown}")
        return value

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        return {"type": "string"} | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})


@attrs.frozen(kw_only=True)
class Flag:
    """A boolean."""

    expected: str = "true or false"

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return isinstance(value, bool)

    def read(self, value: Any, path: str) -> bool:
        """See :class:`Kind`."""
        if not isinstance(value, bool):
            raise _wrong(self, value, path)
        return value

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        return {"type": "boolean"}


@attrs.frozen(kw_only=True)
class Number:
    """A number.

    Args:
        low, high: the least and the greatest one.
        above: what it must be greater than.
        is_integer: whether it must be an integer.
    """

    low: float | None = None
    high: float | None = None
    above: float | None = None
    is_integer: bool = False

    @property
    def expected(self) -> str:
        """See :class:`Kind`."""
        what = "an integer" if self.is_integer else "a number"
        if self.low is not None and self.high is not None:
            return f"{what} from {self.low:g} to {self.high:g}"
        if self.above is not None:
            return f"{what} > {self.above:g}"
        return what if self.low is None else f"{what} >= {self.low:g}"

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return is_number(value)

    def read(self, value: Any, path: str) -> Any:
        """See :class:`Kind`."""
        if not is_number(value) or (self.is_integer and not isinstance(value, int)):
            what = "an integer" if self.is_integer else "a number"
            raise SpecError(path, f"expected {what}, got {describe(value)}")
        is_in_range = (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
        )
        if not is_in_range:
            raise _wrong(self, value, path)
        return value

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        limits = {"minimum": self.low, "maximum": self.high, "exclusiveMinimum": self.above}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        return {"type": "integer" if self.is_integer else "number", **given}


def _as_values(given: Mapping[str, Any] | Iterable[str]) -> dict[str, Any]:
    if is_mapping(given):
        return dict(given)
    return {value: value for value in given}


@attrs.frozen
class Choice:
    """One of several strings, which may stand for other values."""

    values: Mapping[str, Any] = attrs.field(converter=_as_values)

    @property
    def expected(self) -> str:
        """See :class:`Kind`."""
        shown = [describe(value) for value in self.values]
        return " or ".join(shown) if len(shown) < 4 else f"one of {', '.join(shown)}"

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return isinstance(value, str)

    def read(self, value: Any, path: str) -> Any:
        """See :class:`Kind`."""
        if not isinstance(value, str) or value not in self.values:
            raise _wrong(self, value, path)
        return self.values[value]

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        return {"enum": [*self.values]}


@attrs.frozen(kw_only=True)
class Anything:
    """Any value."""

    expected: str = "a value"

    def accepts(self, value: Any) -> bool:  # noqa: ARG002
        """See :class:`Kind`."""
        return True

    def read(self, value: Any, path: str) -> Any:  # noqa: ARG002
        """See :class:`Kind`."""
        return value

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        return {}


@attrs.frozen(kw_only=True)
class Object:
    """An object of Python, which no file has.

    Args:
        expected: what is expected, for an error message.
        test: whether a value is such an object.
    """

    expected: str
    test: Callable[[Any], bool]

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return self.test(value)

    def read(self, value: Any, path: str) -> Any:
        """See :class:`Kind`."""
        if not self.test(value):
            raise _wrong(self, value, path)
        return value

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        return {"not": {}}


# --- combinations ------------------------------------------------------------------------------


class OneOf:
    """Several kinds. The first one that accepts the type of a value reads it."""

    def __init__(self, *kinds: Kind) -> None:
        self.kinds = kinds

    @property
    def expected(self) -> str:
        """See :class:`Kind`."""
        return ", or ".join(dict.fromkeys(kind.expected for kind in self.kinds))

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return any(kind.accepts(value) for kind in self.kinds)

    def read(self, value: Any, path: str) -> Any:
        """See :class:`Kind`."""
        kind = next((kind for kind in self.kinds if kind.accepts(value)), None)
        if kind is None:
            raise _wrong(self, value, path)
        if isinstance(kind, Choice) and value not in kind.values:
            raise _wrong(self, value, path)  # not only the strings are expected
        return kind.read(value, path)

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        schemas = [kind.schema() for kind in self.kinds if not isinstance(kind, Object)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


@attrs.frozen
class OrNone:
    """A kind, or ``None``, which a file writes as ``"none"``."""

    kind: Kind

    @property
    def expected(self) -> str:
        """See :class:`Kind`."""
        return f'{self.kind.expected}, or "{NONE}"'

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return value is None or value == NONE or self.kind.accepts(value)

    def read(self, value: Any, path: str) -> Any:
        """See :class:`Kind`."""
        if value is None or (isinstance(value, str) and value == NONE):
            return None
        if not self.kind.accepts(value):
            raise _wrong(self, value, path)
        return self.kind.read(value, path)

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        return {"anyOf": [{"const": NONE}, self.kind.schema()]}


@attrs.frozen
class ListOf:
    """A list, read as a tuple.

    Args:
        kind: the kind of its items.
        length: how many items it must have; any number by default.
    """

    kind: Kind
    length: int | None = None

    @property
    def expected(self) -> str:
        """See :class:`Kind`."""
        return "a list" if self.length is None else f"a list of {self.length}"

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return is_list(value)

    def read(self, value: Any, path: str) -> tuple[Any, ...]:
        """See :class:`Kind`."""
        if not is_list(value):
            raise _wrong(self, value, path)
        if self.length is not None and len(value) != self.length:
            raise SpecError(path, f"expected {self.expected}, got {len(value)}")
        return tuple(self.kind.read(one, f"{path}[{index}]") for index, one in enumerate(value))

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        items = {} if self.length is None else {"minItems": self.length, "maxItems": self.length}
        return {"type": "array", "items": self.kind.schema(), **items}


@attrs.frozen
class MapOf:
    """A table with any keys, and values of one kind."""

    kind: Kind

    @property
    def expected(self) -> str:
        """See :class:`Kind`."""
        return "a table"

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return is_mapping(value)

    def read(self, value: Any, path: str) -> dict[str, Any]:
        """See :class:`Kind`."""
        if not is_mapping(value):
            raise _wrong(self, value, path)
        for key in value:
            if not isinstance(key, str):
                raise SpecError(path, f"expected keys that are strings, got {describe(key)}")
        return {key: self.kind.read(one, join(path, key)) for key, one in value.items()}

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        return {"type": "object", "additionalProperties": self.kind.schema()}


@attrs.frozen(kw_only=True)
class Field:
    """A key of a table.

    Args:
        kind: the kind of its value.
        is_required: whether it must be there.
    """

    kind: Kind
    is_required: bool = False


def _as_fields(fields: Mapping[str, Kind | Field]) -> dict[str, Field]:
    return {
        name: one if isinstance(one, Field) else Field(kind=one) for name, one in fields.items()
    }


@attrs.frozen(kw_only=True)
class Table:
    """A table with known keys.

    Args:
        fields: the keys.
        make: what is made of the values; a dict by default. What it refuses is an error of the table.
        made: the class of what ``make`` returns, which is then read unchanged.
        refused: keys that are not allowed, and what to do instead.
        places: keys of other tables, and where they belong.
    """

    fields: Mapping[str, Field] = attrs.field(converter=_as_fields)
    make: Callable[..., Any] = dict
    made: type[Any] | None = None
    refused: Mapping[str, str] = attrs.field(factory=dict[str, str])
    places: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @property
    def expected(self) -> str:
        """See :class:`Kind`."""
        return "a table"

    def accepts(self, value: Any) -> bool:
        """See :class:`Kind`."""
        return is_mapping(value) or (self.made is not None and isinstance(value, self.made))

    def read(self, value: Any, path: str) -> Any:
        """See :class:`Kind`."""
        if self.made is not None and isinstance(value, self.made):
            return value
        if not is_mapping(value):
            raise _wrong(self, value, path)
        self.check_keys(value, path)
        values = {
            key: self.fields[key].kind.read(one, join(path, key)) for key, one in value.items()
        }
        try:
            return self.make(**values)
        except SpecError:
            raise
        except (ConfigurationError, ValueError, TypeError) as exc:
            raise SpecError(path, str(exc)) from None

    def check_keys(self, value: Mapping[Any, Any], path: str) -> None:
        """Check that all keys are known, and that no required one is missing.

        Raises:
            SpecError: a key is unknown or missing. The message does not quote its value.
        """
        for key in value:
            if key in self.refused:
                raise SpecError(join(path, key), self.refused[key])
            if key in self.places:
                raise SpecError(join(path, key), f"unknown key: did you mean {self.places[key]}?")
            if key not in self.fields:
                raise SpecError(join(path, key), f"unknown key: {nearest(str(key), self.fields)}")
        for name, one in self.fields.items():
            if one.is_required and name not in value:
                raise SpecError(join(path, name), f"missing: expected {one.kind.expected}")

    def schema(self) -> Schema:
        """See :class:`Kind`."""
        required = [name for name, one in self.fields.items() if one.is_required]
        return {
            "type": "object",
            "properties": {name: one.kind.schema() for name, one in self.fields.items()},
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }
