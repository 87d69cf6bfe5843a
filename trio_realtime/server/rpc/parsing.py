"""Parses what a client sends, with errors that name the key at fault."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal, TypeAlias, cast

import attrs
import pybase64

from trio_realtime.wire import FrameError, JsonObject, parse_frame

from .messages import CLIENT_MESSAGES, MAX_AUDIO_BYTES, ClientMessage

__all__ = ["MAX_MESSAGE_LENGTH", "MessageError", "UnknownMessageType", "parse_client_message"]

MAX_MESSAGE_LENGTH: Final = 2 * MAX_AUDIO_BYTES
"""The number of characters of a message. The audio in it is limited further."""

ErrorCode: TypeAlias = Literal["invalid_json", "invalid_message", "unknown_type"]


class MessageError(ValueError):
    """A client sent something that is no message. The text says which key is wrong, and what is expected.

    Attributes:
        code: ``invalid_json``, ``invalid_message`` or ``unknown_type``, for :class:`.ErrorReply`.
        key: the key at fault, if one is.
        id: the id of the message, if it has a valid one.
    """

    code: ErrorCode

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode = "invalid_message",
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the name in the protocol
    ) -> None:
        super().__init__(message)
        self.code = code
        self.key = key
        self.id = id


class UnknownMessageType(MessageError):
    """The type of a message is not known. The gateway answers with an error, and the connection stays open."""

    def __init__(self, message: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(message, code="unknown_type", key="type", id=id)


def parse_client_message(text: str | Mapping[str, Any]) -> ClientMessage:
    """Return the message that a client sent. Unknown keys are ignored.

    Args:
        text: the text of a frame, or its JSON object.

    Raises:
        UnknownMessageType: there is no message of this type.
        MessageError: it is not a JSON object, too long, a key is missing, or a value has the wrong type or is
            too long or too large.
    """
    source = _parse(text) if isinstance(text, str) else text
    if not isinstance(source, Mapping):
        raise MessageError(
            f"expected a JSON object, got {type(source).__name__}", code="invalid_json"
        )
    message_id = _valid_id(source.get("id"))
    kind = source.get("type")
    if not isinstance(kind, str):
        raise MessageError(_wrong("type", "a string", kind, source), key="type", id=message_id)
    cls = _CLASSES.get(kind)
    if cls is None:
        known = ", ".join(_CLASSES)
        raise UnknownMessageType(
            f"type: {kind!r:.80} is unknown; expected one of {known}", id=message_id
        )
    readers = _readers(cast("Any", cls))
    try:
        arguments = {name: value for read in readers for name, value in read(source)}
    except MessageError as exc:
        exc.id = message_id
        raise
    return cls(**arguments)


def _parse(text: str) -> JsonObject:
    if len(text) > MAX_MESSAGE_LENGTH:
        raise MessageError(
            f"the message has {len(text)} characters, and at most {MAX_MESSAGE_LENGTH} are allowed"
        )
    try:
        return parse_frame(text)
    except FrameError as exc:
        raise MessageError(str(exc), code="invalid_json") from None


_CLASSES: Final[dict[str, type[ClientMessage]]] = {cls.type: cls for cls in CLIENT_MESSAGES}

Read: TypeAlias = Callable[[Mapping[str, Any]], list[tuple[str, Any]]]
Check: TypeAlias = Callable[[Any], Any]


def _valid_id(value: Any) -> str | None:
    is_valid = isinstance(value, str) and 0 < len(value) <= 128
    return value if is_valid else None


# --- fields ------------------------------------------------------------------------------------


@cache
def _readers(cls: Any) -> tuple[Read, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(_reader(field, hints[field.name]) for field in attrs.fields(cls))


def _reader(field: attrs.Attribute[Any], annotation: Any) -> Read:
    """Return a function that reads one field: nothing if the key is absent and may be."""
    name, limits = field.name, cast("Mapping[str, Any]", field.metadata.get("schema", {}))
    members = [kind for kind in typing.get_args(annotation) if kind is not types.NoneType]
    nullable = types.NoneType in typing.get_args(annotation)
    kind = members[0] if nullable else annotation
    check = _check(name, kind, limits)
    required = field.default is attrs.NOTHING

    def read(source: Mapping[str, Any]) -> list[tuple[str, Any]]:
        if name not in source:
            if required:
                raise MessageError(f"{name} is missing", key=name)
            return []
        value = source[name]
        return [(name, None if value is None and nullable else check(value))]

    return read


def _check(name: str, kind: Any, limits: Mapping[str, Any]) -> Check:
    if typing.get_origin(kind) is Literal:
        return _choice_check(name, typing.get_args(kind))
    if kind in (int, float):
        return _number_check(name, kind, limits)
    if kind is bytes:
        return _audio_check(name)
    if kind is bool:
        return _bool_check(name)
    return _text_check(name, limits)


def _choice_check(name: str, choices: tuple[str, ...]) -> Check:
    expected = "one of " + ", ".join(choices)

    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise MessageError(_wrong(name, expected, value), key=name)
        return value

    return check


def _number_check(name: str, kind: Any, limits: Mapping[str, Any]) -> Check:
    low, high = limits.get("minimum", -math.inf), limits.get("maximum", _MAX_INTEGER)
    expected, kinds = ("an integer", (int,)) if kind is int else ("a number", (int, float))

    def check(value: Any) -> Any:
        is_special = isinstance(value, float) and not math.isfinite(value)
        if not isinstance(value, kinds) or isinstance(value, bool) or is_special:
            raise MessageError(_wrong(name, expected, value), key=name)
        if not low <= value <= high:
            raise MessageError(_wrong(name, f"{expected} from {low} to {high}", value), key=name)
        return value

    return check


def _bool_check(name: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, bool):
            raise MessageError(_wrong(name, "true or false", value), key=name)
        return value

    return check


def _text_check(name: str, limits: Mapping[str, Any]) -> Check:
    low, high = limits.get("minLength", 0), limits.get("maxLength", math.inf)

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise MessageError(_wrong(name, "a string", value), key=name)
        if len(value) < low:
            raise MessageError(f"{name} is empty", key=name)
        if len(value) > high:
            raise MessageError(
                f"{name} has {len(value)} characters, and at most {high} are allowed", key=name
            )
        return value

    return check


def _audio_check(name: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, str):
            raise MessageError(_wrong(name, "base64 as a string", value), key=name)
        try:
            audio = pybase64.b64decode(value, validate=True)
        except ValueError:
            raise MessageError(f"{name}: the string is not base64", key=name) from None
        if len(audio) > MAX_AUDIO_BYTES:
            raise MessageError(
                f"{name} has {len(audio)} bytes, and at most {MAX_AUDIO_BYTES} are allowed",
                key=name,
            )
        return audio

    return check


_MAX_INTEGER: Final = 2**53
"""The largest integer up to which JavaScript has all integers."""


def _wrong(name: str, expected: str, value: Any, source: Mapping[str, Any] | None = None) -> str:
    if source is not None and name not in source:
        return f"{name} is missing"
    if value is None:
        return f"{name}: expected {expected}, got null"
    if isinstance(value, bool):
        return f"{name}: expected {expected}, got {str(value).lower()}"
    is_short = isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64)
    return f"{name}: expected {expected}, got {value if is_short else type(value).__name__}"
