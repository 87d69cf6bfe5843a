"""The fields of the classes that msgspec decodes field by field."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Final, TypeVar, cast

import attrs
import msgspec

from .conversion import is_json
from .names import field_types

COMPUTED: Final = object()
"""The default of a field whose class computes it."""
_NOTHING: Final = (msgspec.NODEFAULT, attrs.NOTHING, dataclasses.MISSING)


@attrs.frozen
class Field:
    """A field of a class.

    Attributes:
        name: its name.
        json_name: its name in JSON.
        argument: the argument of the class that sets it.
        default: its default; :data:`COMPUTED` if the class computes it; ``NODEFAULT`` if there is none.
        type: its annotation.
    """

    name: str
    json_name: str
    argument: str
    default: Any
    type: Any = None


def has_fields(type_: Any) -> bool:
    """Return whether msgspec decodes a type field by field."""
    if not isinstance(type_, type):
        return False
    cls = cast("type[Any]", type_)
    return (
        issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or attrs.has(cls)
        or is_typed_dict(cls)
        or is_named_tuple(cls)
    )


def is_typed_dict(cls: Any) -> bool:
    """Return whether a class is a TypedDict."""
    return hasattr(cls, "__total__") and issubclass(cls, dict)


def is_named_tuple(cls: Any) -> bool:
    """Return whether a class is a NamedTuple."""
    return hasattr(cls, "_fields") and issubclass(cls, tuple)


def fields_of(type_: Any) -> list[Field]:
    """Return the fields of a class, or of a generic class with arguments.

    Raises:
        Exception: evaluating an annotation failed, for example with a NameError.
    """
    cls = typing.get_origin(type_) or type_
    types_ = field_types(cls)
    variables = _type_variables(cls, typing.get_args(type_))
    fields = list(_declared_fields(cls))
    for field in fields:
        if field.name not in types_:  # attrs accepts that
            raise TypeError(f"{cls.__name__}.{field.name} has no annotation: add one")
    return [attrs.evolve(one, type=substitute(types_[one.name], variables)) for one in fields]


def _declared_fields(cls: Any) -> Iterator[Field]:
    if issubclass(cls, msgspec.Struct):
        for field in msgspec.structs.fields(cls):
            default = _default(field.default, field.default_factory)
            yield Field(field.name, field.encode_name, field.name, default)
    elif attrs.has(cls):
        for each in filter(_is_argument, attrs.fields(cls)):
            default = _default(each.default, getattr(each.default, "factory", attrs.NOTHING))
            yield Field(each.name, each.name, each.alias or each.name, default)
    elif dataclasses.is_dataclass(cls):
        for item in filter(_is_argument, dataclasses.fields(cls)):
            yield Field(
                item.name, item.name, item.name, _default(item.default, item.default_factory)
            )
    else:
        defaults = getattr(cls, "_field_defaults", {})  # of a NamedTuple
        for name in getattr(cls, "_fields", None) or field_types(cls):
            yield Field(name, name, name, defaults.get(name, msgspec.NODEFAULT))


def _is_argument(field: Any) -> bool:
    return bool(field.init)


def _default(default: Any, factory: Any) -> Any:
    """Return a field's default, :data:`COMPUTED`, or ``NODEFAULT``."""
    if not _is_nothing(factory):
        return COMPUTED if factory not in (list, dict, set) else cast("Any", factory)()
    return msgspec.NODEFAULT if _is_nothing(default) else default


def _is_nothing(value: Any) -> bool:
    return any(value is nothing for nothing in _NOTHING)  # a default may define ``==``


# --- generic classes -----------------------------------------------------------------------------


def _type_variables(cls: Any, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Return what the type variables of a class and of its bases stand for."""
    found = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    names = cast("dict[str, Any]", vars(cls))
    for base in names.get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        if isinstance(origin, type) and origin not in (typing.Generic, object):
            inner = [substitute(argument, found) for argument in typing.get_args(base)]
            found = _type_variables(origin, tuple(inner)) | found
    return found


def alias_value(alias: Any) -> Any:
    """Return the type that an alias stands for, with the arguments of the alias."""
    arguments = typing.get_args(alias)
    return substitute(alias.__value__, dict(zip(alias.__type_params__, arguments, strict=False)))


def substitute(annotation: Any, variables: Mapping[Any, Any]) -> Any:
    """Replace type variables in an annotation."""
    if isinstance(annotation, TypeVar):
        return variables.get(annotation, annotation)
    return map_arguments(annotation, lambda inner: substitute(inner, variables))


def map_arguments(annotation: Any, transform: Callable[[Any], Any]) -> Any:
    """Apply a function to the arguments of a generic type or union."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is typing.Literal:
        return annotation
    if origin is typing.Annotated:
        inner = transform(arguments[0])
        return annotation if inner is arguments[0] else typing.Annotated[(inner, *arguments[1:])]
    mapped = tuple(argument if argument is ... else transform(argument) for argument in arguments)
    if all(new is old for new, old in zip(mapped, arguments, strict=True)):
        return annotation
    if origin in (typing.Union, types.UnionType):
        return typing.Union[mapped]  # noqa: UP007 - the number of members varies
    if hasattr(annotation, "copy_with"):  # typing's own generics: NotRequired, List, Sequence
        return annotation.copy_with(mapped)
    return origin[mapped]


# --- defaults ------------------------------------------------------------------------------------


def struct_field(
    name: str, type_: Any, default: Any = msgspec.NODEFAULT, make: Callable[[], Any] | None = None
) -> tuple[str, Any, Any] | tuple[str, Any]:
    """Return a field of a Struct, for ``msgspec.defstruct``.

    Args:
        name: its name.
        type_: its type.
        default: the default for the schema, where it is left out if it has no JSON.
        make: makes the value of the Struct if the JSON object has none. Without it, the field is
            required.
    """
    if make is None:
        return (name, type_)
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        if default is not msgspec.NODEFAULT and is_json(plain := _json_value(default)):
            type_ = Annotated[type_, msgspec.Meta(extra_json_schema={"default": plain})]
    return (name, type_, msgspec.field(default_factory=make))


def _json_value(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_encode)


def _encode(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    dump = getattr(value, "model_dump", None)  # of a pydantic model
    if dump is None:
        raise TypeError(f"{type(value).__name__} has no JSON")
    return dump(mode="json")
