"""Annotations in msgspec's words, where they are in pydantic's.

msgspec reads annotations of its own kind only: the bounds of pydantic's ``Field`` say nothing to it,
and a dataclass of pydantic's is a plain one. So bounds become msgspec's, and such dataclasses become
types that msgspec asks us about (see ``models``).

Inside of the user's own classes nothing can be rewritten. What is told to the model, and checked, is
a copy of such a class, one that differs in its annotations only; the value is made of the class.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeAlias, cast

import msgspec

from .pydantic import is_dataclass_of_pydantic, is_model, stand_in

Types: TypeAlias = Callable[[Any], Any]
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def as_is(kind: Any) -> Any:
    """A class that is left as it is."""
    return kind


def in_own_words(annotation: Any, classes: Types = as_is) -> Any:
    """The same annotation as msgspec understands it.

    Args:
        annotation: whatever a user writes.
        classes: what becomes of each of the user's own classes in it.

    Raises:
        TypeError, ValueError: something in it cannot be said in msgspec's words.
    """
    if typing.get_origin(annotation) is Annotated:
        inner, *extras = typing.get_args(annotation)
        bounds = _bounds_in(extras)
        meant = _bounded(in_own_words(inner, classes), msgspec.Meta(**bounds) if bounds else None)
        told = tuple(_own_words_in(extras))
        return Annotated[(meant, *told)] if told else meant
    if is_dataclass_of_pydantic(annotation):
        return stand_in(annotation)
    if _has_fields(annotation):
        return classes(annotation)
    return _rebuilt(annotation, lambda one: in_own_words(one, classes))


def _text_of(extra: Any) -> str | None:
    text = extra if isinstance(extra, str) else getattr(extra, "description", None)
    return text if isinstance(text, str) else None


def _own_words_in(extras: list[Any]) -> Iterator[msgspec.Meta]:
    """What stands beside a type in msgspec's own words, and descriptions in whatever words."""
    for extra in extras:
        if isinstance(extra, msgspec.Meta):
            yield extra
        elif (text := _text_of(extra)) is not None:
            yield msgspec.Meta(description=text)


def _bounds_in(extras: list[Any]) -> dict[str, Any]:
    """The bounds in others' words."""
    bounds: dict[str, Any] = {}
    for extra in extras:
        for part in () if isinstance(extra, msgspec.Meta) else _parts_of(extra):
            if hasattr(part, "__get_pydantic_core_schema__"):
                name = type(part).__name__
                raise TypeError(f"{name} of pydantic has to stand in a model of pydantic's")
            bounds |= _bounds_of(part)
    return bounds


def _bounded(kind: Any, bounds: msgspec.Meta | None) -> Any:
    """A type with its bounds; of a union each type but ``None``, as pydantic means it."""
    if bounds is None or kind is types.NoneType:
        return kind
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return _rebuilt(kind, lambda one: _bounded(one, bounds))
    return Annotated[kind, bounds]


def _bounds_of(part: Any) -> dict[str, Any]:
    found = {bound: getattr(part, bound, None) for bound in _BOUNDS}
    # A pattern may come compiled.
    return {bound: getattr(one, "pattern", one) for bound, one in found.items() if one is not None}


def _rebuilt(annotation: Any, change: Types) -> Any:
    """The same generic type or union of changed types."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is typing.Literal:
        return annotation
    changed = tuple(map(change, inside))
    if all(new is old for new, old in zip(changed, inside, strict=True)):
        return annotation
    if origin in (typing.Union, types.UnionType):
        return typing.Union[changed]  # noqa: UP007 - of as many as there are
    if hasattr(annotation, "copy_with"):  # of typing's own generics: NotRequired, List, Sequence
        return annotation.copy_with(changed)
    return origin[changed]


# --- the user's classes ------------------------------------------------------------------------


def _has_fields(kind: Any) -> bool:
    """Whether it is a class that msgspec takes apart into fields."""
    if not isinstance(kind, type) or is_model(kind) or is_dataclass_of_pydantic(kind):
        return False
    kind = cast("type[Any]", kind)
    return (
        issubclass(kind, msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "__attrs_attrs__")
        or _is_typed_dict(kind)
        or _is_named_tuple(kind)
    )


def _is_typed_dict(kind: Any) -> bool:
    return hasattr(kind, "__total__") and issubclass(kind, dict)


def _is_named_tuple(kind: Any) -> bool:
    return hasattr(kind, "_fields") and issubclass(kind, tuple)


def _hints(kind: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - msgspec says so more clearly, if it cannot resolve them either
        return {}


def told_as(kind: Any) -> Any:
    """What is told of a type and checked: the type itself, if msgspec understands all that is in it.

    Raises:
        TypeError, ValueError: something in it cannot be said in msgspec's words.
    """
    return _AnnotatedClassCopies().of(kind)


class _AnnotatedClassCopies:
    """See the module. A class that contains itself is copied once."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def of(self, kind: Any) -> Any:
        return in_own_words(kind, self._of_class)

    def _of_class(self, kind: type[Any]) -> Any:
        if kind in self._made:
            return self._made[kind]
        if not any(map(_is_in_others_words, _all_in(kind, set()))):
            return kind
        if _is_typed_dict(kind):
            return self._of_typed_dict(kind)
        copy = self._made[kind] = _subclass(kind)
        copy.__annotations__ = {
            name: self._of_field(kind, name, hint) for name, hint in _hints(kind).items()
        }
        return copy

    def _of_typed_dict(self, kind: Any) -> Any:
        """A dict is a dict: here nothing can be filled in later, so inside itself it stays as it is."""
        self._made[kind] = kind
        fields: dict[str, Any] = {}
        for name, hint in _hints(kind).items():
            meant = self._of_field(kind, name, hint)
            says = typing.get_origin(hint) in (typing.Required, typing.NotRequired)
            wanted = name in kind.__required_keys__
            need = typing.Required if wanted else typing.NotRequired
            fields[name] = meant if says else need[meant]
        made = self._made[kind] = typing.TypedDict(kind.__name__, fields)  # type: ignore[operator]
        return made

    def _of_field(self, kind: type[Any], name: str, hint: Any) -> Any:
        if any(map(is_dataclass_of_pydantic, _all_in(hint, {kind}))):
            raise TypeError(
                f"{kind.__name__}.{name} is a dataclass of pydantic's in a class that is none:"
                f" make {kind.__name__} one too"
            )
        return self.of(hint)


def _subclass(kind: type[Any]) -> Any:
    if issubclass(kind, msgspec.Struct):
        return msgspec.defstruct(kind.__name__, [], bases=(kind,), module=kind.__module__)
    own = {"__slots__": (), "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), own)


def _is_in_others_words(kind: Any) -> bool:
    if typing.get_origin(kind) is not Annotated:
        return is_dataclass_of_pydantic(kind)
    others = [extra for extra in kind.__metadata__ if not isinstance(extra, msgspec.Meta)]
    return any(_says_something(extra) for extra in others)


def _says_something(extra: Any) -> bool:
    return _text_of(extra) is not None or any(map(_bounds_of, _parts_of(extra)))


def _parts_of(extra: Any) -> tuple[Any, ...]:
    """What pydantic's ``Field`` gathers, and the like."""
    return (extra, *getattr(extra, "metadata", ()))


def _all_in(kind: Any, seen: set[Any]) -> Iterator[Any]:
    """An annotation, and all that it is made of, also in the fields of the user's classes."""
    yield kind
    if typing.get_origin(kind) is typing.Literal:
        return
    inside: list[Any] = [*typing.get_args(kind)]
    if _has_fields(kind) and kind not in seen:
        seen.add(kind)
        inside += _hints(kind).values()
    for one in inside:
        yield from _all_in(one, seen)
