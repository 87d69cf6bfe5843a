"""Make the classes of :mod:`.model` from plain values, and find every mistake with its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Literal, TypeGuard, TypeVar, cast, get_args, get_origin

import attrs
import cattrs

from trio_realtime.testing.matching import TextMatch

from .model import Expectation, Reply, Script, Step
from .yaml_source import KeyPath

__all__ = ["Invalid", "structure"]

T = TypeVar("T")


class Invalid(Exception):
    """Values are not as a class needs them.

    Args:
        mistakes: the place of each wrong value, and what is wrong.
    """

    def __init__(self, mistakes: Sequence[tuple[KeyPath, str]]) -> None:
        super().__init__("; ".join(message for _, message in mistakes))
        self.mistakes: Sequence[tuple[KeyPath, str]] = mistakes


def structure(
    value: Any, kind: type[T], *, defaults: Mapping[str, Any], known: Mapping[str, Any]
) -> T:
    """Make an object of a plain value.

    Args:
        value: the value.
        kind: the class of the object.
        defaults: values of keys that may be absent.
        known: values of fields that are no keys.

    Raises:
        Invalid: the value is not as the class needs it.
    """
    try:
        return _make(_converter(), kind, value, defaults=defaults, known=known)
    except (ValueError, TypeError) as exc:
        raise Invalid([((), str(exc))]) from exc


class _Mistakes:
    """The mistakes of a mapping or a list, so that one error reports all of them."""

    def __init__(self) -> None:
        self._found: list[tuple[KeyPath, str]] = []

    def add(self, key: str | int, message: str) -> None:
        """Add a mistake of the value of a key."""
        self._found.append(((key,), message))

    @contextmanager
    def of(self, key: str | int) -> Generator[None]:
        """Note the mistakes of the value of a key, instead of raising them."""
        try:
            yield
        except Invalid as exc:
            self._found += [((key, *place), message) for place, message in exc.mistakes]
        except (ValueError, TypeError) as exc:
            self.add(key, str(exc))

    def check(self) -> None:
        """Raise if there are mistakes."""
        if self._found:
            raise Invalid(self._found)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()

    def register(kind: Any, make: Callable[..., Any]) -> None:
        converter.register_structure_hook_func(
            lambda other: bool(other == kind), lambda value, _: make(value)
        )

    converter.register_structure_hook_func(
        attrs.has, lambda value, kind: _make(converter, kind, value)
    )
    converter.register_structure_hook_func(_has_origin(Sequence), partial(_make_list, converter))
    converter.register_structure_hook_func(_has_origin(Literal), _make_literal)
    register(type(None), _make_nothing)
    register(TextMatch, partial(_make_text_match, converter))
    register(Mapping[str, Any], _make_mapping)
    register(Mapping[str, Any] | str, _text_or(_make_mapping))
    register(Script | None, _text_or(partial(_make_script, converter)))
    register(Sequence[str], partial(_make_texts, converter))
    converter.register_structure_hook(str, lambda value, _: _make_text(value))
    converter.register_structure_hook(float, lambda value, _: _make_number(value))
    for union in (Step, Expectation, Reply):
        register(union, partial(_choose, converter, get_args(union)))
    return converter


def _has_origin(origin: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


# --- classes -----------------------------------------------------------------------------------


def _make(
    converter: cattrs.Converter,
    kind: type[T],
    value: Any,
    *,
    defaults: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | None = None,
) -> T:
    """Make an object of an attrs class from a mapping with its fields."""
    made: dict[str, Any] = {**(defaults or {}), **(known or {})}
    fields = {
        field.name: field
        for field in attrs.fields(attrs.resolve_types(cast("Any", kind)))
        if field.name not in (known or {})
    }
    given = _make_mapping(value)
    mistakes = _Mistakes()
    for key in given:
        if key not in fields:
            mistakes.add(key, f"unknown key{_suggestion(key, fields)}")
    for name, field in fields.items():
        if name in given:
            with mistakes.of(name):
                made[name] = converter.structure(given[name], field.type)
        elif field.default is attrs.NOTHING and name not in made:
            mistakes.add(name, "this key is missing")
    mistakes.check()
    return kind(**made)


def _choose(converter: cattrs.Converter, kinds: Sequence[type[Any]], value: Any) -> Any:
    """Make the one of several classes whose first field is a key of the mapping."""
    by_key = {attrs.fields(kind)[0].name: kind for kind in kinds}
    given = {value: None} if isinstance(value, str) else value
    if not _is_mapping(given):
        raise TypeError(f"expected a mapping with one of {_listed(by_key)}, got {value!r:.80}")
    keys = list(given)
    found = [key for key in by_key if key in keys]
    if len(found) == 1:
        return converter.structure(given, by_key[found[0]])
    hint = "" if found else "".join(_suggestion(key, by_key) for key in keys[:1])
    raise ValueError(
        f"expected exactly one of {_listed(by_key)}, got {_listed(found or keys)}{hint}"
    )


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_mapping(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether it is a mapping. The keys of a mapping in a scenario file are texts."""
    return isinstance(value, dict)


def _suggestion(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(keys) or "none"


# --- other values ------------------------------------------------------------------------------


def _make_list(converter: cattrs.Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    if not _is_list(value):
        raise TypeError(f"expected a list, got {value!r:.80}")
    (item_kind,) = get_args(kind)
    mistakes = _Mistakes()
    made: list[Any] = []
    for index, item in enumerate(value):
        with mistakes.of(index):
            made.append(converter.structure(item, item_kind))
    mistakes.check()
    return tuple(made)


def _make_script(converter: cattrs.Converter, value: Any) -> tuple[tuple[Reply, ...], ...]:
    """Make the replies of each response. A response with one reply needs no list."""
    responses: Any = value
    if _is_list(value):
        responses = [entry if _is_list(entry) else [entry] for entry in value]
    return _make_list(converter, responses, Sequence[Sequence[Reply]])


def _text_or(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, str) else make(value)


def _make_texts(converter: cattrs.Converter, value: Any) -> tuple[str, ...]:
    """Make a list of texts. A single text needs no list."""
    return _make_list(converter, [value] if isinstance(value, str) else value, Sequence[str])


def _make_text_match(converter: cattrs.Converter, value: Any) -> TextMatch:
    if _is_mapping(value):
        return _make(converter, TextMatch, value)
    return TextMatch(contains=_make_text(value))


def _make_mapping(value: Any) -> dict[str, Any]:
    if not _is_mapping(value):
        raise TypeError(f"expected a mapping, got {value!r:.80}")
    return value


def _make_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.80}; quote it if it is one")
    return value


def _make_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r:.80}")
    return float(value)


def _make_nothing(value: Any) -> None:
    if value is not None:
        raise ValueError(f"expected no value, got {value!r:.80}")


def _make_literal(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise ValueError(f"expected one of {_listed(get_args(kind))}, got {value!r:.80}")
    return value
