"""Session events as JSON-safe dicts, and the JSON Schema of these dicts.

The annotated types of a class decide how its fields are converted, and the same conversion describes itself as
JSON Schema. A new event class or field needs no code here. The types are resolved once per class.

- Agents and tools become their names.
- Items and other wire objects become their wire dicts. Keys that are not set are left out.
- Exceptions become ``type``, ``message`` and, if they have one, ``code``.
- ``bytes`` become base64.
- Values of any type become JSON where possible, and their text otherwise.
- NaN and infinity become ``None``, and a lone surrogate becomes U+FFFD.
"""

from __future__ import annotations

import math
import operator
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, TypeAlias, Union, cast
from urllib.parse import urlsplit

import attrs
import msgspec
import pybase64

from .wire import UNSET, JsonObject, McpToolSpec, UnknownToolSpec, Unset, WireObject
from .wire.plain_values import plain_value

__all__ = [
    "ALWAYS",
    "AUDIO_KEY",
    "OMIT_NONE",
    "JsonField",
    "JsonType",
    "event_audio",
    "event_data",
    "event_dict",
    "is_raw",
    "json_fields",
    "json_safe",
    "json_type",
    "object_encoder",
    "wire_tag",
]

Encode: TypeAlias = Callable[[Any], Any]

MASK: Final = "***"


# --- values ------------------------------------------------------------------------------------

_MAX_DEPTH: Final = 64
"""How many objects and arrays may be in one another. What is deeper becomes text."""

_MAX_BITS: Final = 1000
"""The size of an integer that is written as a number. Python limits the conversion of larger ones."""


def _text(value: Any) -> str:
    if type(value) is str and value.isascii():
        return value
    return _clean_text(value)


def _clean_text(value: Any) -> str:
    """Return the text of a value, with U+FFFD instead of each lone surrogate. Never raises."""
    text = _text_of(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return str.__str__(str(value))
    except Exception:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<{type(value).__name__}>"


def _integer(value: Any) -> int:
    return value if type(value) is int else int(value)


def _number(value: Any) -> float | None:
    if type(value) is not float:
        return _any_number(value)
    return value if math.isfinite(value) else None


def _any_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return value if type(value) is int else number


def _base64(value: bytes) -> str:
    return pybase64.b64encode_as_string(value)


#: Where the class of agents is. This module is below it, and cannot import it.
_AGENT_MODULE: Final = "trio_realtime.agents.agent"


def json_safe(value: Any) -> Any:
    """Return a JSON value for any object, as a copy. Never raises.

    Dataclasses, attrs classes, pydantic models, enums, dates, and numbers and arrays of NumPy become JSON, as in
    what a model receives for the result of a tool. An agent, which is the result of a handoff, becomes its name:
    its instructions are not for clients. Everything else becomes its text.
    """
    if type(value) is str:
        return _text(value)
    if value is None or value is True or value is False:
        return value
    if any(cls.__module__ == _AGENT_MODULE for cls in type(value).__mro__):
        return _text(value.name)
    try:
        return _plain(msgspec.to_builtins(value, str_keys=True, enc_hook=_unsupported), _MAX_DEPTH)
    except Exception:  # noqa: BLE001 - the user's classes may raise anything
        return _clean_text(value)


def _unsupported(value: Any) -> Any:
    """Return what msgspec can convert instead of a value that it cannot convert."""
    if callable(getattr(value.__class__, "model_dump_json", None)):  # a pydantic model
        return msgspec.json.decode(value.model_dump_json())
    try:
        return plain_value(value)
    except TypeError:
        return str(value)


def _plain(value: Any, depth: int) -> Any:
    """Return a built-in value as a JSON value: finite numbers, valid text, limited depth."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        number = int.__int__(value)
        return number if number.bit_length() <= _MAX_BITS else hex(number)
    if isinstance(value, float):
        return _number(float.__float__(value))
    if depth == 0:
        return _clean_text(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value)  # type: ignore[redundant-cast]
        return {_text(key): _plain(inner, depth - 1) for key, inner in pairs.items()}
    if isinstance(value, Iterable):
        values = cast("Iterable[Any]", value)  # type: ignore[redundant-cast]
        return [_plain(inner, depth - 1) for inner in values]
    return _clean_text(value)


# --- exceptions --------------------------------------------------------------------------------


def encode_exception(exc: BaseException) -> JsonObject:
    """Return the class and the text of an exception, and its code if it has one.

    The text of a group describes the exceptions in it. Tracebacks, causes and notes are left out.
    """
    encoded: JsonObject = {"type": _text(type(exc).__name__), "message": _message_of(exc)}
    code = getattr(exc, "code", None)
    if isinstance(code, str):
        encoded["code"] = _text(code)
    elif isinstance(code, int) and not isinstance(code, bool):
        encoded["code"] = int(code)
    return encoded


def _message_of(exc: BaseException) -> str:
    if not isinstance(exc, BaseExceptionGroup):
        return _clean_text(exc)
    group = cast("BaseExceptionGroup[BaseException]", exc)
    inner = (f"{type(leaf).__name__}: {_message_of(leaf)}" for leaf in group.exceptions)
    return "; ".join(dict.fromkeys(inner))


# --- types -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class JsonType:
    """How values of an annotated type are converted.

    Attributes:
        encode: returns the JSON value of a value.
        schema: the JSON Schema of what ``encode`` returns.
        classes: the classes of the values, to select the member of a union.
        refers_to: the class that the schema refers to by name, if it does.
        inner: the types of elements and members.
    """

    encode: Encode
    schema: JsonObject
    classes: tuple[type[Any], ...] = (object,)
    refers_to: type[Any] | None = None
    inner: tuple[JsonType, ...] = ()


class _Named:
    """Stands for agents and tools in annotations. The classes themselves need not be imported."""

    name: str


_ANNOTATIONS: Final[dict[str, Any]] = {"AnyAgent": _Named, "AnyTool": _Named}
"""Names in the annotations of events that exist only for type checkers."""


def _encode_name(value: Any) -> str:
    return _text(value.name)


_SIMPLE: Final[dict[Any, JsonType]] = {
    str: JsonType(encode=_text, schema={"type": "string"}, classes=(str,)),
    bool: JsonType(encode=bool, schema={"type": "boolean"}, classes=(bool,)),
    int: JsonType(encode=_integer, schema={"type": "integer"}, classes=(int,)),
    # A number that JSON does not have, such as NaN, becomes null.
    float: JsonType(encode=_number, schema={"type": ["number", "null"]}, classes=(int, float)),
    bytes: JsonType(
        encode=_base64,
        schema={"type": "string", "contentEncoding": "base64"},
        classes=(bytes,),
    ),
    _Named: JsonType(encode=_encode_name, schema={"type": "string"}),
    Any: JsonType(encode=json_safe, schema={}),
}


@cache
def json_type(annotation: Any) -> JsonType:
    """Return how values of an annotated type are converted.

    A type that is not known is converted like ``Any``.
    """
    simple = _SIMPLE.get(annotation)
    if simple is not None:
        return simple
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _union_type(annotation)
    if origin is Literal:
        choices = typing.get_args(annotation)
        return JsonType(encode=_text, schema={"enum": list(choices)}, classes=(str,))
    if origin in (tuple, Sequence, list):
        return _array_type(json_type(typing.get_args(annotation)[0]))
    if origin is Mapping or origin is dict:
        return _mapping_type(json_type(typing.get_args(annotation)[1]))
    if isinstance(annotation, type):
        return _class_type(annotation)
    return _SIMPLE[Any]


def _array_type(element: JsonType) -> JsonType:
    encode = element.encode
    return JsonType(
        encode=lambda values: [encode(value) for value in values],
        schema={"type": "array", "items": element.schema},
        classes=(list, tuple, Sequence),
        inner=(element,),
    )


def _mapping_type(element: JsonType) -> JsonType:
    encode = element.encode
    schema: JsonObject = {"type": "object"}
    if element.schema:
        schema["additionalProperties"] = element.schema
    return JsonType(
        encode=lambda pairs: {_text(key): encode(value) for key, value in pairs.items()},
        schema=schema,
        classes=(Mapping,),
        inner=(element,),
    )


def _class_type(cls: type[Any]) -> JsonType:
    if issubclass(cls, BaseException):
        return JsonType(
            encode=encode_exception,
            schema={"$ref": "#/$defs/Exception"},
            classes=(cls,),
            refers_to=BaseException,
        )
    if attrs.has(cls):
        return JsonType(
            encode=_encode_object,
            schema={"$ref": f"#/$defs/{cls.__name__}"},
            classes=(cls,),
            refers_to=cls,
        )
    return _SIMPLE[Any]


def _encode_object(value: Any) -> Any:
    return object_encoder(value.__class__)(value)


def _union_type(annotation: Any) -> JsonType:
    members = typing.get_args(annotation)
    inner = tuple(json_type(kind) for kind in members if kind not in (types.NoneType, Unset))
    nullable = types.NoneType in members
    encode = inner[0].encode if len(inner) == 1 else _encode_member(inner)
    return JsonType(
        encode=_optional(encode) if nullable else encode,
        schema=_union_schema([kind.schema for kind in inner], nullable=nullable),
        classes=tuple(cls for kind in inner for cls in kind.classes),
        inner=inner,
    )


def _encode_member(members: tuple[JsonType, ...]) -> Encode:
    ordered = sorted(members, key=lambda kind: bool not in kind.classes)  # True is an int too
    by_class = tuple((kind.classes, kind.encode) for kind in ordered)

    def encode(value: Any) -> Any:
        for classes, encode_member in by_class:
            if isinstance(value, classes):
                return encode_member(value)
        return json_safe(value)

    return encode


def _optional(encode: Encode) -> Encode:
    return lambda value: None if value is None else encode(value)


def _union_schema(schemas: list[JsonObject], *, nullable: bool) -> JsonObject:
    if len(schemas) == 1 and not nullable:
        return schemas[0]
    if nullable and len(schemas) == 1:
        (schema,) = schemas
        kind, choices = schema.get("type"), schema.get("enum")
        if not schema or isinstance(kind, list):
            return schema
        if isinstance(kind, str):
            return {**schema, "type": [kind, "null"]}
        if isinstance(choices, list):
            values = cast("list[Any]", choices)  # type: ignore[redundant-cast]
            return {"enum": [*values, None]}
    return {"anyOf": [*schemas, {"type": "null"}] if nullable else schemas}


# --- classes -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class JsonField:
    """A key of the JSON object of a class.

    Attributes:
        key: the key.
        read: returns the value from an object.
        type: how the value is converted.
        absent: the value for which the key is left out: ``None``, ``UNSET``, or :data:`ALWAYS`.
        limits: keywords of JSON Schema that limit the value further.
    """

    key: str
    read: Callable[[Any], Any]
    type: JsonType
    absent: Any
    limits: Mapping[str, Any] = attrs.field(factory=dict[str, Any])


ALWAYS: Final = object()
"""Marks a key that is always there."""

OMIT_NONE: Final = {"omit_none": True}
"""Metadata of a field whose key is left out if its value is ``None``."""

# Fields of wire objects that are not on the wire, and that clients need all the same.
_LOCAL_KEYS: Final = frozenset({"heard_ms"})


def is_raw(cls: type[Any]) -> bool:
    """Return whether the objects of a wire class contain their JSON."""
    return issubclass(cls, WireObject) and "raw" in attrs.fields_dict(cls)


def wire_tag(cls: type[Any]) -> str | None:
    """Return the ``type`` of a wire class whose objects have one."""
    tag = getattr(cls, "type", None) if issubclass(cls, WireObject) else None
    return tag if isinstance(tag, str) else None


def _hints(value: Any) -> dict[str, Any]:
    return typing.get_type_hints(value, localns=_ANNOTATIONS)


@cache
def json_fields(cls: Any) -> tuple[JsonField, ...]:
    """Return the keys of the JSON object of an attrs class.

    A private field is read through the public property of the same name, and left out if there is none.
    """
    special = _SPECIAL_FIELDS.get(f"{cls.__module__}.{cls.__qualname__}")
    if special is not None:
        return special(cls)
    return _declared_fields(cls)


def _declared_fields(cls: type[Any]) -> tuple[JsonField, ...]:
    hints = _hints(cls)
    found: list[JsonField] = []
    for field in attrs.fields(cls):
        if not field.metadata.get("on_the_wire", True) and field.name not in _LOCAL_KEYS:
            continue
        if not field.name.startswith("_"):
            found.append(_field(cls, field, field.name, hints[field.name]))
            continue
        name = field.alias or field.name
        annotation = _property_annotation(cls, name)
        if annotation is not None:
            found.append(_field(cls, field, name, annotation))
    return tuple(found)


def _field(cls: type[Any], field: attrs.Attribute[Any], key: str, annotation: Any) -> JsonField:
    is_optional = issubclass(cls, WireObject) or "omit_none" in field.metadata
    leaves_out = is_optional and (field.default is None or field.default is UNSET)
    return JsonField(
        key=key,
        read=operator.attrgetter(key),
        type=_secret_type(cls, key) or json_type(annotation),
        absent=field.default if leaves_out else ALWAYS,
        limits=field.metadata.get("schema", {}),
    )


def _property_annotation(cls: type[Any], name: str) -> Any:
    value = getattr(cls, name, None)
    return _hints(value.fget).get("return") if isinstance(value, property) else None


@cache
def object_encoder(cls: Any) -> Callable[[Any], JsonObject]:
    """Return the function that converts the objects of an attrs class."""
    if issubclass(cls, UnknownToolSpec):
        return _encode_unknown_tool
    if is_raw(cls):
        return _encode_raw
    fields = json_fields(cls)
    if not issubclass(cls, WireObject) and all(field.absent is ALWAYS for field in fields):
        return _plain_encoder(fields)
    return _wire_encoder(fields, wire_tag(cls))


def _plain_encoder(fields: tuple[JsonField, ...]) -> Callable[[Any], JsonObject]:
    rows = tuple((field.key, field.read, field.type.encode) for field in fields)
    return lambda value: {key: encode(read(value)) for key, read, encode in rows}


def _wire_encoder(fields: tuple[JsonField, ...], tag: str | None) -> Callable[[Any], JsonObject]:
    rows = tuple((field.key, field.read, field.type.encode, field.absent) for field in fields)

    def encode_object(value: Any) -> JsonObject:
        encoded: JsonObject = {} if tag is None else {"type": tag}
        for key, read, encode, absent in rows:
            inner = read(value)
            if inner is not absent:
                encoded[key] = encode(inner) if inner is not None else None
        return encoded

    return encode_object


def _encode_raw(value: Any) -> Any:
    return json_safe(value.raw)


# --- secrets -----------------------------------------------------------------------------------

_HARMLESS_KEYS: Final = ("type", "name", "server_label", "description")


def _encode_unknown_tool(tool: UnknownToolSpec) -> JsonObject:
    """Return what certainly is no secret of a tool whose other keys have an unknown meaning."""
    return {key: json_safe(tool.raw[key]) for key in _HARMLESS_KEYS if key in tool.raw}


def _masked_url(url: Any) -> str:
    """Return an URL without the parts that may have a key."""
    try:
        parts = urlsplit(_text(url))
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}" if parts.scheme and host else MASK
    except ValueError:
        return MASK


def _masked_values(pairs: Any) -> Any:
    if not isinstance(pairs, Mapping):
        return MASK
    names = cast("Mapping[Any, Any]", pairs)  # type: ignore[redundant-cast]
    return {_text(name): MASK for name in names}


_SECRETS: Final[dict[str, Encode]] = {
    "authorization": lambda _: MASK,
    "headers": _masked_values,
    "server_url": _masked_url,
}


def _secret_type(cls: type[Any], key: str) -> JsonType | None:
    """Return the type of a field that may have a key for a service."""
    encode = _SECRETS.get(key) if issubclass(cls, McpToolSpec) else None
    if encode is None:
        return None
    kind = "object" if key == "headers" else "string"
    return JsonType(encode=encode, schema={"type": kind})


def _mask_secrets(value: Any) -> Any:
    """Return a JSON value of the service with the credentials of MCP servers and clients masked."""
    if isinstance(value, list):
        values = cast("list[Any]", value)  # type: ignore[redundant-cast]
        return [_mask_secrets(inner) for inner in values]
    if not isinstance(value, dict):
        return value
    pairs = cast("JsonObject", value)
    masks: Mapping[str, Encode] = _SECRETS if pairs.get("type") == "mcp" else {}
    return {key: _mask_pair(key, inner, masks.get(key)) for key, inner in pairs.items()}


def _mask_pair(key: str, value: Any, mask: Encode | None) -> Any:
    if value is None:
        return None
    if key == "client_secret":
        return MASK
    return _mask_secrets(value) if mask is None else mask(value)


# --- events with fields of their own ------------------------------------------------------------

AUDIO_KEY: Final = "audio"
_AUDIO_TYPE: Final = "audio"


def _audio_fields(cls: type[Any]) -> tuple[JsonField, ...]:
    # The bytes are transferred in another way, so that they need not become base64.
    return tuple(field for field in _declared_fields(cls) if field.key != "data")


def _history_fields(cls: type[Any]) -> tuple[JsonField, ...]:
    history = JsonField(
        key="history",
        read=_initial_history,
        type=json_type(_property_annotation(cls, "history")),
        absent=None,
    )
    return (*_declared_fields(cls), history)


def _initial_history(event: Any) -> Any:
    """Return the history that a session begins with, from the event that reports it."""
    is_first = event.item is None and event.deleted_item_id is None
    return event.history if is_first else None


def _raw_fields(_cls: type[Any]) -> tuple[JsonField, ...]:
    frame = JsonType(encode=_mask_secrets, schema={"type": "object"})
    return (JsonField(key="frame", read=_parsed_frame, type=frame, absent=ALWAYS),)


def _parsed_frame(event: Any) -> Any:
    try:
        return json_safe(event.json())
    except ValueError:  # only an event that the service did not send has such a frame
        return {}


_SPECIAL_FIELDS: Final[dict[str, Callable[[type[Any]], tuple[JsonField, ...]]]] = {
    "trio_realtime.events.Audio": _audio_fields,
    "trio_realtime.events.HistoryUpdated": _history_fields,
    "trio_realtime.events.RawModelEvent": _raw_fields,
}


# --- events: objects of the classes in `trio_realtime.events`, which imports this module -------


def event_data(event: Any) -> JsonObject:
    """Return the fields of an event as a JSON object, without the bytes of audio."""
    return object_encoder(event.__class__)(event)


def event_audio(event: Any) -> bytes | None:
    """Return the bytes of an event with audio of the agent, else ``None``."""
    if event.type != _AUDIO_TYPE:
        return None
    audio: bytes = event.data
    return audio


def event_dict(event: Any) -> JsonObject:
    """Return an event as a JSON object with its ``type``, and its audio as base64."""
    encoded: JsonObject = {"type": event.type, **event_data(event)}
    audio = event_audio(event)
    if audio is not None:
        encoded[AUDIO_KEY] = _base64(audio)
    return encoded
