"""Composable validators for client events.

A :data:`Check` takes a value and its path, and returns the validated value or raises a
:class:`ProtocolError` for the first problem. The checks are written by hand because the published
schema is too permissive, and does not say which error the service sends.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

import pybase64

from . import errors
from .types import Json, is_array, is_object

__all__ = ["Check"]

Check: TypeAlias = Callable[[Any, str], Any]

#: Limit of JSON that is not validated further, such as a schema or the variables of a prompt.
MAX_DEPTH: Final = 64


def anything(value: Any, path: str) -> Any:  # noqa: ARG001
    """Accept any value, because it was validated before or does not matter."""
    return value


def string(
    *, max_length: int | None = None, min_length: int = 0, pattern: str | None = None
) -> Check:
    """Accept a string.

    Args:
        max_length: The maximum number of characters, ``None`` for no limit.
        min_length: The minimum number of characters.
        pattern: A regular expression that the whole string must match, ``None`` for any string.
    """

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise errors.invalid_type(path, "a string", value)
        if max_length is not None and len(value) > max_length:
            raise errors.too_long(path, max_length, len(value))
        if len(value) < min_length:
            raise errors.invalid_value(path, f"Invalid '{path}': the string must not be empty.")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise errors.invalid_value(
                path, f"Invalid '{path}': string does not match pattern '^{pattern}$'."
            )
        return value

    return check


def boolean(value: Any, path: str) -> Any:
    """Accept ``true`` and ``false``."""
    if not isinstance(value, bool):
        raise errors.invalid_type(path, "a boolean", value)
    return value


def integer(low: int | None = None, high: int | None = None) -> Check:
    """Accept an integer from ``low`` to ``high``, both inclusive. ``None`` means no bound."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            raise errors.invalid_type(path, "an integer", value)
        return _within(value, path, low, high)

    return check


def number(low: float | None = None, high: float | None = None) -> Check:
    """Accept a number from ``low`` to ``high``, both inclusive. The result is a float."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise errors.invalid_type(path, "a number", value)
        try:
            return _within(float(value), path, low, high)
        except OverflowError:
            raise errors.invalid_value(
                path, f"Invalid '{path}': the number is too large."
            ) from None

    return check


def _within(value: float, path: str, low: float | None, high: float | None) -> float:
    if (low is not None and value < low) or (high is not None and value > high):
        raise errors.out_of_range(path, value, low=low, high=high)
    return value


def one_of(*legal: str) -> Check:
    """Accept one of these strings."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise errors.invalid_type(path, "a string", value)
        if value not in legal:
            raise errors.unsupported_value(path, value, legal)
        return value

    return check


def array_of(inner: Check, *, min_length: int = 0) -> Check:
    """Accept an array of at least ``min_length`` elements that all pass ``inner``."""

    def check(value: Any, path: str) -> Any:
        if not is_array(value):
            raise errors.invalid_type(path, "an array", value)
        if len(value) < min_length:
            raise errors.invalid_value(
                path, f"Invalid '{path}': expected an array of at least {min_length} element(s)."
            )
        return [inner(part, f"{path}[{index}]") for index, part in enumerate(value)]

    return check


def json_object(value: Any, path: str) -> Any:
    """Accept any object that is not nested too deeply to be processed and echoed."""
    _check_depth(members(value, path), path)
    return value


def _check_depth(value: Any, path: str) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [part for parent in level for part in _parts_of(parent)]
        if not level:
            return
    raise errors.invalid_value(path, f"Invalid '{path}': nested more than {MAX_DEPTH} levels deep.")


def _parts_of(value: Any) -> Iterable[Any]:
    if is_object(value):
        return value.values()
    return value if is_array(value) else ()


def record(
    fields: Mapping[str, Check],
    *,
    required: Collection[str] = (),
    clearable: Collection[str] = (),
    absent: Collection[str] = (),
) -> Check:
    """Accept an object with only these fields. The result has them in this order.

    As on the live service, an optional field that is null counts as absent.

    Args:
        fields: the fields with their checks.
        required: fields that must be present. Their checks also get null.
        clearable: optional fields for which null is a value of its own, which is preserved.
        absent: fields of similar objects, which this object may only have as null.
    """

    def check(value: Any, path: str) -> Any:
        given = members(value, path)
        for key, part in given.items():
            if key not in fields and not (part is None and key in absent):
                raise errors.unknown_parameter(_join(path, key))
        for key in required:
            if key not in given:
                raise errors.missing_parameter(_join(path, key))
        result: Json = {}
        for key, inner in fields.items():
            if given.get(key) is not None or (key in given and key in required):
                result[key] = inner(given[key], _join(path, key))
            elif key in given and key in clearable:
                result[key] = None
        return result

    return check


def members(value: Any, path: str) -> Json:
    """Return the members of an object, for the caller to validate."""
    if not is_object(value):
        raise errors.invalid_type(path, "an object", value)
    return value


def tagged(key: str, branches: Mapping[str, Check]) -> Check:
    """Accept an object that passes the branch selected by its member ``key``."""

    def check(value: Any, path: str) -> Any:
        given = members(value, path)
        if key not in given:
            raise errors.missing_parameter(_join(path, key))
        tag = one_of(*branches)(given[key], _join(path, key))
        return branches[tag](given, path)

    return check


def string_or(text: Check, other: Check) -> Check:
    """Apply the first check to strings, and the second to other values."""

    def check(value: Any, path: str) -> Any:
        return (text if isinstance(value, str) else other)(value, path)

    return check


def base64_bytes(*, max_bytes: int) -> Check:
    """Accept a base64 string. The result is the decoded bytes."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            raise errors.invalid_type(path, "a string", value)
        data = _decode(value, path)
        if len(data) > max_bytes:
            raise errors.invalid_value(
                path, f"Invalid '{path}': {len(data)} bytes of audio, at most {max_bytes} allowed."
            )
        return data

    return check


def _decode(value: str, path: str) -> bytes:
    try:
        return pybase64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise errors.invalid_value(path, f"Invalid '{path}': not valid base64.") from None


def text_map(*, max_pairs: int, max_key: int, max_value: int) -> Check:
    """Accept an object whose values are strings, such as ``metadata``."""
    inner = string(max_length=max_value)

    def check(value: Any, path: str) -> Any:
        given = members(value, path)
        if len(given) > max_pairs:
            raise errors.invalid_value(
                path, f"Invalid '{path}': at most {max_pairs} pairs allowed, got {len(given)}."
            )
        for key in given:
            if len(key) > max_key:
                raise errors.too_long(f"{path}.{key[:max_key]}", max_key, len(key))
        return {key: inner(part, _join(path, key)) for key, part in given.items()}

    return check


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
