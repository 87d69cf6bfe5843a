"""Translate annotations that use pydantic into annotations that msgspec understands.

msgspec reads its own metadata only: it ignores the constraints of ``pydantic.Field`` and treats a
pydantic dataclass as a plain one. :func:`to_msgspec` therefore turns constraints into
``msgspec.Meta`` and pydantic dataclasses into proxies, for which msgspec calls the hooks in
``pydantic``.

The fields of a user's class cannot be rewritten in place. :func:`schema_type` returns a copy of such a
class with translated annotations. The copy provides the schema and checks the JSON; the value itself
is an instance of the original class.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeAlias, cast

import msgspec

from .pydantic import is_pydantic_dataclass, is_pydantic_model, make_dataclass_proxy

TypeTransform: TypeAlias = Callable[[Any], Any]
_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def unchanged(type_: Any) -> Any:
    """Return the type as it is."""
    return type_


def to_msgspec(annotation: Any, transform_class: TypeTransform = unchanged) -> Any:
    """Translate an annotation into one that msgspec understands.

    Args:
        annotation: the user's annotation.
        transform_class: applied to each class with fields in the annotation.

    Raises:
        TypeError, ValueError: if msgspec cannot express a part of the annotation.
    """
    if typing.get_origin(annotation) is Annotated:
        inner, *metadata = typing.get_args(annotation)
        constraints = _constraints(metadata)
        translated = _constrain(
            to_msgspec(inner, transform_class),
            msgspec.Meta(**constraints) if constraints else None,
        )
        extra = tuple(_msgspec_metadata(metadata))
        return Annotated[(translated, *extra)] if extra else translated
    if is_pydantic_dataclass(annotation):
        return make_dataclass_proxy(annotation)
    if _has_fields(annotation):
        return transform_class(annotation)
    return _map_arguments(annotation, lambda argument: to_msgspec(argument, transform_class))


def _description(metadata: Any) -> str | None:
    text = metadata if isinstance(metadata, str) else getattr(metadata, "description", None)
    return text if isinstance(text, str) else None


def _msgspec_metadata(metadata: list[Any]) -> Iterator[msgspec.Meta]:
    """Yield msgspec's own metadata as it is, and descriptions from any other metadata."""
    for item in metadata:
        if isinstance(item, msgspec.Meta):
            yield item
        elif (text := _description(item)) is not None:
            yield msgspec.Meta(description=text)


def _constraints(metadata: list[Any]) -> dict[str, Any]:
    """Collect the constraints from metadata that is not msgspec's own."""
    found: dict[str, Any] = {}
    for item in metadata:
        for part in () if isinstance(item, msgspec.Meta) else _flatten(item):
            if hasattr(part, "__get_pydantic_core_schema__"):
                name = type(part).__name__
                raise TypeError(f"pydantic's {name} works only in a model: move it into one")
            found |= _constraints_of(part)
    return found


def _constrain(type_: Any, meta: msgspec.Meta | None) -> Any:
    """Add constraints to a type; to each type of a union except ``None``, as pydantic does."""
    if meta is None or type_ is types.NoneType:
        return type_
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        return _map_arguments(type_, lambda argument: _constrain(argument, meta))
    return Annotated[type_, meta]


def _constraints_of(part: Any) -> dict[str, Any]:
    values = {name: getattr(part, name, None) for name in _CONSTRAINTS}
    # A pattern may be compiled.
    return {
        name: getattr(value, "pattern", value)
        for name, value in values.items()
        if value is not None
    }


def _map_arguments(annotation: Any, transform: TypeTransform) -> Any:
    """Apply a function to the arguments of a generic type or union."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is typing.Literal:
        return annotation
    mapped = tuple(map(transform, arguments))
    if all(new is old for new, old in zip(mapped, arguments, strict=True)):
        return annotation
    if origin in (typing.Union, types.UnionType):
        return typing.Union[mapped]  # noqa: UP007 - the number of members varies
    if hasattr(annotation, "copy_with"):  # typing's own generics: NotRequired, List, Sequence
        return annotation.copy_with(mapped)
    return origin[mapped]


# --- classes with fields -----------------------------------------------------------------------


def _has_fields(type_: Any) -> bool:
    """Return whether msgspec decodes a type field by field."""
    if not isinstance(type_, type) or is_pydantic_model(type_) or is_pydantic_dataclass(type_):
        return False
    cls = cast("type[Any]", type_)
    return (
        issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or hasattr(cls, "__attrs_attrs__")
        or _is_typed_dict(cls)
        or _is_named_tuple(cls)
    )


def _is_typed_dict(cls: Any) -> bool:
    return hasattr(cls, "__total__") and issubclass(cls, dict)


def _is_named_tuple(cls: Any) -> bool:
    return hasattr(cls, "_fields") and issubclass(cls, tuple)


def _type_hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001 - msgspec reports unresolvable annotations more clearly
        return {}


def schema_type(type_: Any) -> Any:
    """Return the type that provides the schema of ``type_`` and checks its JSON.

    This is ``type_`` itself if msgspec understands all of its annotations.

    Raises:
        TypeError, ValueError: if msgspec cannot express an annotation.
    """
    return _AnnotatedClassCopies().convert(type_)


class _AnnotatedClassCopies:
    """Copies classes, giving the copies translated annotations.

    Each class is copied once, so a class may contain itself.
    """

    def __init__(self) -> None:
        self._copies: dict[Any, Any] = {}

    def convert(self, type_: Any) -> Any:
        """Translate an annotation, with copies in place of the classes that need one."""
        return to_msgspec(type_, self._convert_class)

    def _convert_class(self, cls: type[Any]) -> Any:
        if cls in self._copies:
            return self._copies[cls]
        if not any(map(_needs_translation, _walk(cls, set()))):
            return cls
        if _is_typed_dict(cls):
            return self._copy_typed_dict(cls)
        copy = self._copies[cls] = _make_subclass(cls)
        copy.__annotations__ = {
            name: self._convert_field(cls, name, hint) for name, hint in _type_hints(cls).items()
        }
        return copy

    def _copy_typed_dict(self, cls: Any) -> Any:
        """Copy a TypedDict.

        Its fields cannot be added after its creation, so a TypedDict that contains itself refers to
        the original there.
        """
        self._copies[cls] = cls
        fields: dict[str, Any] = {}
        for name, hint in _type_hints(cls).items():
            converted = self._convert_field(cls, name, hint)
            is_qualified = typing.get_origin(hint) in (typing.Required, typing.NotRequired)
            qualifier = typing.Required if name in cls.__required_keys__ else typing.NotRequired
            fields[name] = converted if is_qualified else qualifier[converted]
        copy = self._copies[cls] = typing.TypedDict(cls.__name__, fields)  # type: ignore[operator]
        return copy

    def _convert_field(self, cls: type[Any], name: str, hint: Any) -> Any:
        if any(map(is_pydantic_dataclass, _walk(hint, {cls}))):
            raise TypeError(
                f"{cls.__name__}.{name} is a pydantic dataclass, which {cls.__name__} would not "
                f"validate: make {cls.__name__} a pydantic dataclass too"
            )
        return self.convert(hint)


def _make_subclass(cls: type[Any]) -> Any:
    if issubclass(cls, msgspec.Struct):
        return msgspec.defstruct(cls.__name__, [], bases=(cls,), module=cls.__module__)
    namespace = {"__slots__": (), "__module__": cls.__module__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), namespace)


def _needs_translation(annotation: Any) -> bool:
    if typing.get_origin(annotation) is not Annotated:
        return is_pydantic_dataclass(annotation)
    foreign = [item for item in annotation.__metadata__ if not isinstance(item, msgspec.Meta)]
    return any(_has_description_or_constraints(item) for item in foreign)


def _has_description_or_constraints(metadata: Any) -> bool:
    return _description(metadata) is not None or any(map(_constraints_of, _flatten(metadata)))


def _flatten(metadata: Any) -> tuple[Any, ...]:
    """Return the metadata and the parts that it collects, as ``pydantic.Field`` does."""
    return (metadata, *getattr(metadata, "metadata", ()))


def _walk(annotation: Any, seen: set[Any]) -> Iterator[Any]:
    """Yield an annotation and every annotation nested in it, including those of class fields."""
    yield annotation
    if typing.get_origin(annotation) is typing.Literal:
        return
    inside: list[Any] = [*typing.get_args(annotation)]
    if _has_fields(annotation) and annotation not in seen:
        seen.add(annotation)
        inside += _type_hints(annotation).values()
    for part in inside:
        yield from _walk(part, seen)
