"""The cattrs converter of the codec, between JSON values and objects.

Decoding is lenient and encoding is strict; see :mod:`.codec`. Importing cattrs and making the hooks takes a while,
so both happen on first use.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin

import attrs
import pybase64

from . import base, client, items, response, server, settings
from .base import UNSET, InvalidValue, JsonObject, Unset, WireObject
from .items import (
    KNOWN_ITEMS,
    KNOWN_PARTS,
    ContentPart,
    Item,
    ItemReference,
    UnknownItem,
    UnknownPart,
)
from .response import InputItem
from .settings import (
    FunctionToolSpec,
    McpToolSpec,
    SemanticVad,
    ServerVad,
    ToolSpec,
    TurnDetection,
    UnknownToolSpec,
    UnknownTurnDetection,
)

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")
Hook: TypeAlias = Callable[[Any, Any], Any]


# --- values ------------------------------------------------------------------------------------


def _str(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    raise InvalidValue


def _int(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise InvalidValue


def _float(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue
    try:
        return float(value)
    except OverflowError:  # JSON integers are unbounded
        raise InvalidValue from None


def _bool(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidValue


def _base64(value: Any, _: Any) -> bytes:
    try:
        return pybase64.b64decode(value)
    except (ValueError, TypeError):
        raise InvalidValue from None


def _any(value: Any, _: Any) -> Any:
    return value


def _mapping(value: Any, _: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    raise InvalidValue


def _tuple_hook(annotation: Any, converter: Converter) -> Hook:
    (element, _dots) = get_args(annotation)
    hook = converter.get_structure_hook(element)

    def structure(value: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidValue
        return tuple(_valid_elements(hook, element, value))

    return structure


def _valid_elements(hook: Hook, element: Any, values: Any) -> Any:
    for value in values:
        try:
            yield hook(value, element)
        except InvalidValue:
            continue


# --- objects -----------------------------------------------------------------------------------


def _lenient_hook(cls: type[Any], converter: Converter) -> Hook:
    """Create a hook for an attrs class that replaces invalid values with the field's default."""
    attrs.resolve_types(cls, globalns=_names())
    readers = [
        _field_reader(field, converter) for field in attrs.fields(cls) if _is_on_the_wire(field)
    ]

    def structure(value: Any, _: Any) -> Any:
        source = _mapping(value, None)
        arguments: dict[str, Any] = {}
        for read in readers:
            read(source, arguments)
        return _construct(cls, arguments)

    return structure


def _construct(cls: type[T], arguments: dict[str, Any]) -> T:
    try:
        return cls(**arguments)
    except (ValueError, TypeError):
        # The limits of the validators apply only to objects that the client sends.
        with attrs.validators.disabled():
            return cls(**arguments)


def _is_on_the_wire(field: attrs.Attribute[Any]) -> bool:
    return bool(field.metadata.get("on_the_wire", True))


def _field_reader(
    field: attrs.Attribute[Any], converter: Converter
) -> Callable[[Mapping[str, Any], dict[str, Any]], None]:
    name, annotation = field.name, field.type
    required = field.default is attrs.NOTHING
    nullable = annotation is Any or type(None) in get_args(annotation)
    hook = converter.get_structure_hook(annotation) if annotation is not Any else _any

    def read(source: Mapping[str, Any], arguments: dict[str, Any]) -> None:
        value = source.get(name, UNSET)
        if value is None and nullable:
            arguments[name] = None
            return
        if value is not UNSET and value is not None:
            try:
                arguments[name] = hook(value, annotation)
                return
            except InvalidValue:
                pass
        if required:
            raise InvalidValue(f"{name} is missing or has the wrong type")

    return read


def _tagged_hook(
    classes: tuple[type[WireObject], ...],
    unknown: type[Any],
    converter: Converter,
) -> Hook:
    by_tag: dict[str, tuple[Hook, type[WireObject]]] = {
        cls.type: (converter.get_structure_hook(cls), cls)  # type: ignore[attr-defined]
        for cls in classes
    }

    def structure(value: Any, _: Any) -> Any:
        source = _mapping(value, None)
        tag = source.get("type")
        entry = by_tag.get(tag) if isinstance(tag, str) else None
        if entry is not None:
            return entry[0](source, entry[1])
        return unknown(raw=source)

    return structure


def _union_hook(annotation: Any, converter: Converter) -> Hook:
    """Create a hook for a union that returns the first member that accepts the value.

    ``None`` and ``UNSET`` are handled by the reader of the field.
    """
    members = [m for m in get_args(annotation) if m is not type(None) and m is not Unset]
    if frozenset(members) in _TAGGED_UNIONS:
        return converter.get_structure_hook(_TAGGED_UNIONS[frozenset(members)])
    if len(members) == 1:
        return converter.get_structure_hook(members[0])
    hooks = [(converter.get_structure_hook(member), member) for member in members]

    def structure(value: Any, _: Any) -> Any:
        for hook, member in hooks:
            try:
                return hook(value, member)
            except InvalidValue:
                continue
        raise InvalidValue

    return structure


def _origin(annotation: Any) -> Any:
    return get_origin(annotation)


def _is_union(annotation: Any) -> bool:
    return _origin(annotation) in (Union, types.UnionType)


_TAGGED_UNIONS: dict[frozenset[Any], Any] = {
    frozenset(get_args(union)): union for union in (Item, ContentPart, ToolSpec, TurnDetection)
}


# --- the converter -----------------------------------------------------------------------------


def _register_values(converter: Converter) -> None:
    values: tuple[tuple[Any, Hook], ...] = (
        (str, _str),
        (int, _int),
        (float, _float),
        (bool, _bool),
        (bytes, _base64),
    )
    for kind, hook in values:
        converter.register_structure_hook(kind, hook)

    def tuple_of(kind: Any) -> Hook:
        return _tuple_hook(kind, converter)

    def mapping(_kind: Any) -> Hook:
        return _mapping

    converter.register_structure_hook_factory(lambda kind: _origin(kind) is tuple, tuple_of)
    converter.register_structure_hook_factory(lambda kind: _origin(kind) is Mapping, mapping)


def _register_objects(converter: Converter) -> None:
    def union_of(kind: Any) -> Hook:
        return _union_hook(kind, converter)

    def object_of(kind: Any) -> Hook:
        return _lenient_hook(kind, converter)

    converter.register_structure_hook_factory(_is_union, union_of)
    converter.register_structure_hook_factory(attrs.has, object_of)
    kinds: tuple[tuple[Any, tuple[type[WireObject], ...], type[Any]], ...] = (
        (ContentPart, KNOWN_PARTS, UnknownPart),
        (Item, KNOWN_ITEMS, UnknownItem),
        (InputItem, (*KNOWN_ITEMS, ItemReference), UnknownItem),
        (ToolSpec, (FunctionToolSpec, McpToolSpec), UnknownToolSpec),
        (TurnDetection, (ServerVad, SemanticVad), UnknownTurnDetection),
    )
    for union, classes, unknown in kinds:
        hook = _tagged_hook(classes, unknown, converter)
        converter.register_structure_hook_func(_is_exactly(union), hook)


def _is_exactly(union: Any) -> Callable[[Any], bool]:
    return lambda annotation: annotation == union


def _strict_unstructure_hook(cls: type[Any], converter: Converter) -> Callable[[Any], JsonObject]:
    from cattrs.gen import make_dict_unstructure_fn, override

    if "raw" in attrs.fields_dict(cls):
        return lambda value: dict(value.raw)
    attrs.resolve_types(cls, globalns=_names())
    overrides = {
        field.name: override(omit_if_default=True)
        if _is_on_the_wire(field)
        else override(omit=True)
        for field in attrs.fields(cls)
        if field.default is None or field.default is UNSET
    }
    fields_fn: Callable[[Any], JsonObject] = make_dict_unstructure_fn(cls, converter, **overrides)  # type: ignore[arg-type]
    tag = getattr(cls, "type", None)
    if not isinstance(tag, str):
        return fields_fn
    return lambda value: {"type": tag, **fields_fn(value)}


@cache
def converter() -> Converter:
    """Return the cattrs converter of the codec: ``converter().structure(json, Session)``."""
    from cattrs import Converter

    converter = Converter(detailed_validation=False)
    _register_values(converter)
    _register_objects(converter)
    converter.register_unstructure_hook(bytes, pybase64.b64encode_as_string)
    converter.register_unstructure_hook(Unset, lambda _: None)

    def strict(cls: type[Any]) -> Callable[[Any], JsonObject]:
        return _strict_unstructure_hook(cls, converter)

    def by_value(_kind: Any) -> Callable[[Any], Any]:
        return converter.unstructure

    converter.register_unstructure_hook_factory(attrs.has, strict)
    converter.register_unstructure_hook_factory(_is_union, by_value)
    return converter


@cache
def _names() -> dict[str, Any]:
    """Return the names in the annotations of all classes.

    By default, they would be looked up in ``sys.modules``, which may have changed since the import.
    """
    modules = (base, client, items, response, server, settings)
    return {name: value for module in modules for name, value in vars(module).items()}
