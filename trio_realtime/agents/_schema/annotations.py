"""Translate annotations into types that msgspec understands.

msgspec reads its own metadata only, and does not decode paths, unions of several types of strings or of
several classes, enums in ``Literal``, and pydantic's types. For these, :class:`Translator` puts
constraints into ``msgspec.Meta``, and converted types (see ``conversion``) in place of types.
"""

from __future__ import annotations

import collections.abc
import datetime as dt
import enum
import pathlib
import types
import typing
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from .conversion import converted_type, rule_of
from .fields import (
    COMPUTED,
    Field,
    alias_value,
    fields_of,
    has_fields,
    is_typed_dict,
    map_arguments,
    struct_field,
)
from .metadata import as_meta, constraints_of
from .names import is_alias
from .pydantic import pydantic_rule
from .rules import OMITTED, LiteralRule, ObjectRule, PathRule, UnionRule

_UNIONS: Final = (typing.Union, types.UnionType)
_PATHS: Final = (pathlib.Path, pathlib.PurePath, pathlib.PurePosixPath, pathlib.PureWindowsPath)
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
# msgspec gives a time a format only if it requires a time zone.
_FORMATS: Final = {dt.datetime: "date-time", dt.time: "time"}
# msgspec does not describe keys that are no strings in Python.
_KEYS: Final[dict[Any, dict[str, str]]] = {
    int: {"pattern": "^-?(0|[1-9][0-9]*)$"},
    dt.date: {"format": "date"},
    dt.datetime: {"format": "date-time"},
    uuid.UUID: {"format": "uuid"},
}


class Translator:
    """Translates annotations. It keeps the classes it has seen, because a class may contain itself."""

    def __init__(self) -> None:
        # A list, because metadata in the arguments of a generic class may have no hash.
        self._objects: list[tuple[Any, Any]] = []
        self._aliases: list[Any] = []

    def translate(self, annotation: Any) -> Any:
        """Return a type for msgspec.

        Raises:
            Exception: a part of the annotation has no JSON, or cannot be resolved.
        """
        if is_alias(annotation):
            return self._alias(annotation)
        rule = pydantic_rule(annotation)
        if rule is not None:
            return self._with_own_metadata(converted_type("pydantic", rule), annotation)
        origin = typing.get_origin(annotation)
        if origin is Annotated:
            return self._annotated(annotation)
        if origin in _UNIONS:
            return _union([self.translate(member) for member in typing.get_args(annotation)])
        if origin is Literal:
            return _literal(annotation)
        if has_fields(origin or annotation):
            return self._object(annotation)
        return self._simple(annotation, origin)

    def _simple(self, annotation: Any, origin: Any) -> Any:
        if isinstance(annotation, type) and annotation in _PATHS:
            return converted_type(annotation.__name__, PathRule(annotation))
        if isinstance(annotation, type) and annotation in _FORMATS:
            return _described(annotation, {"format": _FORMATS[annotation]})
        translated = map_arguments(annotation, self.translate)
        key = typing.get_args(annotation)[0] if origin in _MAPPINGS else None
        if isinstance(key, type) and key in _KEYS:
            return _described(translated, {"propertyNames": _KEYS[key]})
        return translated

    def _alias(self, alias: Any) -> Any:
        if alias in self._aliases:
            raise TypeError(f"the type {alias} contains itself: use a class")
        self._aliases.append(alias)
        try:
            return self.translate(alias_value(alias))
        finally:
            self._aliases.pop()

    # --- metadata

    def _annotated(self, annotation: Any) -> Any:
        inner, *metadata = typing.get_args(annotation)
        found = constraints_of(metadata)
        members = typing.get_args(inner) if typing.get_origin(inner) in _UNIONS else (inner,)
        constrained = [self._constrained(member, found) for member in members]
        translated = constrained[0] if len(members) == 1 else _union(constrained)
        return self._with_own_metadata(translated, annotation)

    def _constrained(self, type_: Any, found: dict[str, Any]) -> Any:
        """Constrain a type; of a union each member except ``None``, as pydantic does."""
        translated = self.translate(type_)
        if not found or type_ is types.NoneType:
            return translated
        return Annotated[translated, msgspec.Meta(**found)]

    def _with_own_metadata(self, type_: Any, annotation: Any) -> Any:
        """Add msgspec's own metadata as it is, and descriptions from any other metadata."""
        for meta in map(as_meta, getattr(annotation, "__metadata__", ())):
            type_ = type_ if meta is None else Annotated[type_, meta]
        return type_

    # --- classes

    def _object(self, type_: Any) -> Any:
        """Return a class with fields, or a converted type if msgspec cannot decode the class itself."""
        for known, made in self._objects:
            if known == type_:
                return made
        cls = typing.get_origin(type_) or type_
        rule = ObjectRule(cls)
        converted = converted_type(cls.__name__, rule)
        self._objects.append((type_, converted))
        fields = fields_of(type_)
        translated = [self.translate(field.type) for field in fields]
        if _is_supported(type_) and all(
            new is field.type for new, field in zip(translated, fields, strict=True)
        ):
            self._objects.remove((type_, converted))
            return type_
        rule.fields = {field.name: field.argument for field in fields}
        rule.names = frozenset(field.json_name for field in fields)
        rule.mirror = _mirror(cls, list(zip(fields, translated, strict=True)))
        return converted


def _mirror(cls: Any, fields: list[tuple[Field, Any]]) -> Any:
    """Return a class that msgspec can decode, with the same JSON as ``cls``."""
    if is_typed_dict(cls):
        types_ = {field.name: _qualified(cls, field.name, type_) for field, type_ in fields}
        make: Any = typing.TypedDict
        return make(cls.__name__, types_)
    is_generated = (cls.__doc__ or "").startswith(f"{cls.__name__}(")  # by a decorator
    options: dict[str, Any] = {"array_like": issubclass(cls, tuple)}
    if issubclass(cls, msgspec.Struct):
        config = cls.__struct_config__
        names = ("tag", "tag_field", "forbid_unknown_fields", "array_like")
        options = {name: getattr(config, name) for name in names}
    return msgspec.defstruct(
        cls.__name__,
        [_mirror_field(field, type_) for field, type_ in fields],
        module=cls.__module__,
        namespace={} if is_generated else {"__doc__": cls.__doc__},
        rename={field.name: field.json_name for field, _ in fields},
        kw_only=True,
        **options,
    )


def _mirror_field(field: Field, type_: Any) -> Any:
    if field.default is msgspec.NODEFAULT:
        return struct_field(field.name, type_)
    default = msgspec.NODEFAULT if field.default is COMPUTED else field.default
    return struct_field(field.name, type_, default, lambda: OMITTED)


def _qualified(cls: Any, name: str, type_: Any) -> Any:
    if typing.get_origin(type_) in (typing.Required, typing.NotRequired):
        return type_
    qualifier: Any = typing.Required if name in cls.__required_keys__ else typing.NotRequired
    return qualifier[type_]


def _union(members: Sequence[Any]) -> Any:
    """Return a union, as a converted type if msgspec cannot tell its members apart."""
    union: Any = typing.Union[tuple(members)]  # noqa: UP007 - the number of members varies
    if (
        _is_supported(union)
        and not _has_overlapping_numbers(members)
        and not _has_one_type_twice(union)
    ):
        return union
    flat: list[Any] = []
    for member in members:
        rule = rule_of(member)
        flat += rule.types if isinstance(rule, UnionRule) else [member]
    return converted_type("union", UnionRule(tuple(flat)))


def _has_overlapping_numbers(members: Sequence[Any]) -> bool:
    """Return whether a whole number may be a float although it is none of the allowed integers.

    msgspec does not try the float then.
    """
    bases = [getattr(member, "__origin__", member) for member in members]
    return float in bases and any(
        (base is int and member is not int) or base is Literal or isinstance(base, enum.EnumMeta)
        for base, member in zip(bases, members, strict=True)
    )


def _has_one_type_twice(union: Any) -> bool:
    """Return whether members differ only in their constraints, of which msgspec applies one."""
    members = typing.get_args(union) or (union,)
    bases = [member.__origin__ for member in members if typing.get_origin(member) is Annotated]
    return any(base in members or bases.count(base) > 1 for base in bases)


def _literal(annotation: Any) -> Any:
    values = typing.get_args(annotation)
    if not any(isinstance(value, enum.Enum | bool) for value in values):
        return annotation
    return converted_type("literal", LiteralRule(values))


def _is_supported(type_: Any) -> bool:
    try:
        msgspec.json.Decoder(type_)
    except Exception:  # noqa: BLE001 - unresolvable annotations raise anything
        return False
    return True


def _described(type_: Any, schema: dict[str, Any]) -> Any:
    return Annotated[type_, msgspec.Meta(extra_json_schema=schema)]
