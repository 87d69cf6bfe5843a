"""Annotations that involve pydantic, which describes and validates them with its ``TypeAdapter``.

Nothing here imports pydantic unless the user's code has imported it.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain
from typing import Annotated, Any, TypeGuard

import attrs
import msgspec

from .conversion import REF_PREFIX, Mismatch, Problem, Rule, Schema, replace_references
from .fields import alias_value, fields_of, has_fields
from .metadata import is_own, needs_pydantic
from .names import is_alias


def is_pydantic_model(type_: Any) -> TypeGuard[type[Any]]:
    """Return whether ``type_`` is a pydantic model class."""
    return hasattr(type_, "__pydantic_core_schema__") and hasattr(type_, "model_json_schema")


def is_pydantic_dataclass(type_: Any) -> bool:
    """Return whether ``type_`` is a pydantic dataclass, which validates its fields."""
    return isinstance(type_, type) and hasattr(type_, "__pydantic_validator__")


def is_pydantic_field(default: Any) -> bool:
    """Return whether a parameter's default was made by ``pydantic.Field``."""
    return type(default).__module__ == "pydantic.fields" and hasattr(default, "is_required")


def parameter_default(parameter: inspect.Parameter) -> Any:
    """Return a parameter's default, resolving ``pydantic.Field``; ``Parameter.empty`` if none."""
    field = parameter.default
    if not is_pydantic_field(field):
        return field
    if field.is_required():
        return inspect.Parameter.empty
    return field.get_default(call_default_factory=True)


# --- the rule ------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class PydanticRule(Rule):
    """An annotation that pydantic describes and validates."""

    adapter: Any
    names: frozenset[str] = frozenset()

    def decode(self, value: Any) -> Any:
        """Return what pydantic makes of a JSON value, without coercion of numbers and strings."""
        # From JSON text, strict mode accepts a date as a string, and a list for a tuple.
        text = msgspec.json.encode(value)
        try:
            return self.adapter.validate_json(text, strict=True)
        except ValueError as exc:
            raise Mismatch(_problems(exc, value)) from None


def describe(
    rules: Sequence[PydanticRule], taken: Mapping[str, Any]
) -> tuple[list[Schema], dict[str, Schema]]:
    """Return the schema of each rule, and the definitions they reference, under names not taken."""
    if not rules:
        return [], {}
    adapters = [(number, "validation", rule.adapter) for number, rule in enumerate(rules)]
    # Pydantic keeps the names of its own definitions distinct.
    schemas, document = import_module("pydantic").TypeAdapter.json_schemas(adapters)
    definitions: dict[str, Schema] = document.get("$defs", {})
    names: dict[str, str] = {}
    for name in definitions:
        names[name] = _unused_name(name, {*taken, *names.values()})
    renamed = {REF_PREFIX + old: {"$ref": REF_PREFIX + new} for old, new in names.items()}.get
    return (
        [replace_references(schemas[number, "validation"], renamed) for number, *_ in adapters],
        {names[name]: replace_references(one, renamed) for name, one in definitions.items()},
    )


def _unused_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _problems(exc: Any, value: Any) -> list[Problem]:
    if not hasattr(exc, "errors"):
        return [Problem("", str(exc))]
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    return [Problem(_path(error, value), error["msg"]) for error in errors]


def _path(error: Mapping[str, Any], value: Any) -> str:
    """Return where the error is in the JSON value.

    Pydantic's locations name the members of unions and the validators too, which are left out.
    """
    path = ""
    for part in error["loc"]:
        try:
            value = value[part]
        except (LookupError, TypeError):
            if error["type"] != "missing" or part != error["loc"][-1]:
                continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


# --- which annotations ---------------------------------------------------------------------------


def pydantic_rule(annotation: Any) -> PydanticRule | None:
    """Return the rule for an annotation that pydantic has to handle; ``None`` for any other.

    Pydantic handles unions and classes as a whole, if it can. It knows neither attrs classes nor Structs,
    and ignores the metadata of msgspec: then only parts of the annotation are pydantic's.

    Raises:
        TypeError: pydantic has to handle the annotation, and cannot.
    """
    pydantic = sys.modules.get("pydantic")
    if pydantic is None:
        return None
    parts = list(_walk(annotation, []))
    if not any(map(_is_for_pydantic, parts)):
        return None
    is_needed = _is_for_pydantic(annotation)
    if is_needed:
        annotation = _without_own_metadata(annotation)
    elif _is_container(annotation) or any(map(is_own, chain(*map(_metadata, parts)))):
        return None
    try:
        adapter = pydantic.TypeAdapter(annotation)
        schema = adapter.json_schema()
    except Exception as exc:
        if is_needed:
            reason = str(exc).partition("\n")[0]
            raise TypeError(f"pydantic does not accept it: {reason}") from exc
        return None
    return PydanticRule(adapter, frozenset(schema.get("properties", ())))


def _is_for_pydantic(annotation: Any) -> bool:
    return (
        hasattr(annotation, "__get_pydantic_core_schema__")
        or is_pydantic_dataclass(annotation)
        or any(map(needs_pydantic, _metadata(annotation)))
    )


def _is_container(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    return isinstance(origin, type) and origin is not types.UnionType and not has_fields(origin)


def _metadata(annotation: Any) -> tuple[Any, ...]:
    is_annotated = typing.get_origin(annotation) is Annotated
    return annotation.__metadata__ if is_annotated else ()


def _without_own_metadata(annotation: Any) -> Any:
    metadata = _metadata(annotation)
    others = tuple(item for item in metadata if not is_own(item))
    if others == metadata:
        return annotation
    return Annotated[(annotation.__origin__, *others)] if others else annotation.__origin__


def _walk(annotation: Any, seen: list[Any]) -> Iterator[Any]:
    """Yield an annotation and every annotation nested in it, including those of class fields."""
    yield annotation
    if typing.get_origin(annotation) is typing.Literal:
        return
    inside: list[Any] = [*typing.get_args(annotation)]
    cls = typing.get_origin(annotation) or annotation
    contains_more = is_alias(annotation) or (has_fields(cls) and not _is_for_pydantic(cls))
    if contains_more and annotation not in seen:
        seen.append(annotation)
        # The translation reports names that cannot be resolved.
        with contextlib.suppress(Exception):
            if is_alias(annotation):
                inside.append(alias_value(annotation))
            else:
                inside += [field.type for field in fields_of(annotation)]
    for part in inside:
        yield from _walk(part, seen)
