"""Validation of the ``parameters`` of function tools, which are JSON schemas.

Each keyword that the server or a model reads must have a value of the right type; unknown keywords
are ignored. As elsewhere in the protocol, a keyword that is null counts as absent, except for those
whose value is any JSON, such as ``default``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from . import errors, validation
from .types import Json, is_array
from .validation import Check

__all__ = ["PARAMETERS"]

_TYPES: Final = ("object", "string", "number", "integer", "boolean", "array", "null")
_TYPE: Final = validation.one_of(*_TYPES)
_TYPE_LIST: Final = validation.array_of(_TYPE, min_length=1)


def _parameters(value: Any, path: str) -> Any:
    """Accept the schema of a function's parameters. The result is the schema unchanged."""
    schema: Json = validation.json_object(value, path)
    _check_keywords(schema, path)
    kind = schema.get("type")
    if kind is not None and "object" not in (kind if is_array(kind) else [kind]):
        raise errors.unsupported_value(f"{path}.type", kind, ["object"])
    return schema


PARAMETERS: Final[Check] = _parameters


def _check_keywords(schema: Json, path: str) -> None:
    for keyword, check in _KEYWORDS.items():
        if schema.get(keyword) is not None:
            check(schema[keyword], f"{path}.{keyword}")


def _subschema(value: Any, path: str) -> Any:
    if not isinstance(value, bool):  # true and false are schemas, too
        _check_keywords(validation.members(value, path), path)
    return value


_subschemas: Final = validation.array_of(_subschema, min_length=1)


def _named_subschemas(value: Any, path: str) -> Any:
    for name, part in validation.members(value, path).items():
        _subschema(part, f"{path}.{name}")
    return value


def _type(value: Any, path: str) -> Any:
    return (_TYPE_LIST if is_array(value) else _TYPE)(value, path)


def _items(value: Any, path: str) -> Any:
    # Before draft 2020-12, a list of schemas described a tuple.
    return (_subschemas if is_array(value) else _subschema)(value, path)


def _exclusive_bound(value: Any, path: str) -> Any:
    # In draft 4 and in OpenAPI 3.0 this is a flag of ``minimum`` or ``maximum``.
    return value if isinstance(value, bool) else validation.number()(value, path)


def _step(value: Any, path: str) -> Any:
    step: float = validation.number(0)(value, path)
    if step == 0:
        raise errors.invalid_value(path, f"Invalid '{path}': expected a number above 0.")
    return value


_COUNT: Final = validation.integer(0)
_KEYWORDS: Final[Mapping[str, Check]] = {
    "type": _type,
    "description": validation.string(),
    "title": validation.string(),
    "format": validation.string(),
    "pattern": validation.string(),
    "$ref": validation.string(),
    "enum": validation.array_of(validation.anything),
    "required": validation.array_of(validation.string()),
    "minimum": validation.number(),
    "maximum": validation.number(),
    "exclusiveMinimum": _exclusive_bound,
    "exclusiveMaximum": _exclusive_bound,
    "multipleOf": _step,
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "properties": _named_subschemas,
    "patternProperties": _named_subschemas,
    "dependentSchemas": _named_subschemas,
    "$defs": _named_subschemas,
    "definitions": _named_subschemas,
    "items": _items,
    "prefixItems": _subschemas,
    "allOf": _subschemas,
    "anyOf": _subschemas,
    "oneOf": _subschemas,
    "additionalItems": _subschema,
    "additionalProperties": _subschema,
    "contains": _subschema,
    "else": _subschema,
    "if": _subschema,
    "not": _subschema,
    "propertyNames": _subschema,
    "then": _subschema,
    "unevaluatedItems": _subschema,
    "unevaluatedProperties": _subschema,
}
