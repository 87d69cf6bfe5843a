"""Support for pydantic models and pydantic dataclasses, which pydantic validates and describes.

msgspec handles every other type; its decode and schema hooks call the functions here. Nothing here
imports pydantic unless the user has declared such a class, and so has imported pydantic already.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias, TypeGuard, cast

import msgspec

Schema: TypeAlias = dict[str, Any]
REF_PREFIX = "#/$defs/"


# --- recognize pydantic's classes --------------------------------------------------------------


def is_pydantic_model(type_: Any) -> TypeGuard[type[Any]]:
    """Return whether ``type_`` is a pydantic model class."""
    return hasattr(type_, "__pydantic_core_schema__") and hasattr(type_, "model_json_schema")


def is_pydantic_dataclass(type_: Any) -> TypeGuard[type[Any]]:
    """Return whether ``type_`` is a pydantic dataclass, which validates its fields."""
    return (
        isinstance(type_, type)
        and dataclasses.is_dataclass(type_)
        and hasattr(type_, "__pydantic_validator__")
    )


class _PydanticDataclassProxy(type):
    """Stand-in for a pydantic dataclass in the types that msgspec sees.

    msgspec would decode the dataclass as a plain one and skip pydantic's validation. It does not know
    the proxy, so it calls the hooks.

    Attributes:
        target: the pydantic dataclass.
    """

    target: type[Any]

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, cls.target)


def make_dataclass_proxy(type_: type[Any]) -> Any:
    """Return the type to give to msgspec in place of a pydantic dataclass."""
    return _PydanticDataclassProxy(type_.__name__, (), {"target": type_})


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


# --- decode ------------------------------------------------------------------------------------


def decode_pydantic(type_: Any, value: Any) -> Any:
    """Validate a decoded JSON value with pydantic. A ``dec_hook`` of msgspec.

    Raises:
        ValueError: if the value is invalid; the text names each field and its problem.
        NotImplementedError: if ``type_`` is not a pydantic class.
    """
    cls = _pydantic_class(type_)
    try:
        # Validate JSON text: in strict mode, pydantic accepts a date as a string only from JSON.
        return _validate_json(cls, msgspec.json.encode(value))
    except ValueError as exc:
        raise ValueError(_format_errors(exc)) from None


def _pydantic_class(type_: Any) -> type[Any]:
    if isinstance(type_, _PydanticDataclassProxy):
        return type_.target
    if not is_pydantic_model(type_):
        raise NotImplementedError
    return type_


def _validate_json(cls: Any, data: bytes) -> Any:
    if is_pydantic_model(cls):
        return cls.model_validate_json(data)
    return _type_adapter(cls).validate_json(data)


@functools.lru_cache(maxsize=256)
def _type_adapter(cls: type[Any]) -> Any:
    return import_module("pydantic").TypeAdapter(cls)


def _format_errors(exc: Any) -> str:
    if not hasattr(exc, "errors"):
        return str(exc)
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(_format_error(error) for error in errors)


def _format_error(error: Mapping[str, Any]) -> str:
    location = ".".join(str(part) for part in error["loc"])
    return f"{location}: {error['msg']}" if location else str(error["msg"])


# --- JSON Schema -------------------------------------------------------------------------------


def json_schemas(types: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """Return the JSON Schema of each type, and the definitions they reference by name.

    Raises:
        TypeError: if a type has no JSON Schema.
    """
    found: list[type[Any]] = []

    def schema_hook(type_: type[Any]) -> Schema:
        cls = _pydantic_class(type_)
        found.append(cls)
        return {"$ref": _placeholder(cls)}

    schemas, definitions = msgspec.json.schema_components(
        types, schema_hook=schema_hook, ref_template=f"{REF_PREFIX}{{name}}"
    )
    if not found:
        return list(schemas), definitions
    refs, pydantic_definitions = _pydantic_definitions(found, definitions)
    return (
        [_replace_refs(schema, refs) for schema in schemas],
        {name: _replace_refs(schema, refs) for name, schema in definitions.items()}
        | pydantic_definitions,
    )


def _placeholder(cls: type[Any]) -> str:
    """Return the reference that stands for a class until its definition has a name."""
    return f"model:{id(cls)}"


def _pydantic_definitions(
    classes: Sequence[type[Any]], taken: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Schema]]:
    """Describe pydantic classes under names that are not taken.

    Returns:
        The reference that replaces each placeholder, and the definitions by name.
    """
    # Pydantic keeps the names of its own definitions distinct.
    json_schema = import_module("pydantic.json_schema")
    unique = list(dict.fromkeys(classes))
    schemas, document = json_schema.models_json_schema(
        [(cls, "validation") for cls in unique], ref_template=f"{REF_PREFIX}{{model}}"
    )
    definitions: dict[str, Schema] = document.get("$defs", {})
    names: dict[str, str] = {}
    for name in definitions:
        names[name] = _unused_name(name, {*taken, *names.values()})
    renamed = {REF_PREFIX + old: REF_PREFIX + new for old, new in names.items()}
    refs = {_placeholder(cls): renamed[schemas[cls, "validation"]["$ref"]] for cls in unique}
    return refs, {
        names[name]: _replace_refs(schema, renamed) for name, schema in definitions.items()
    }


def _unused_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _replace_refs(schema: Any, refs: Mapping[str, str]) -> Any:
    """Return a copy of a schema with its references replaced."""
    if isinstance(schema, dict):
        return {
            key: refs.get(value, value)
            if key == "$ref" and isinstance(value, str)
            else _replace_refs(value, refs)
            for key, value in cast("Schema", schema).items()
        }
    if isinstance(schema, list):
        return [_replace_refs(item, refs) for item in cast("Any", schema)]
    return schema
