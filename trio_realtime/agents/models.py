"""Pydantic's models among the types that tools take and return.

Whoever declares one has imported pydantic; nothing here does so for anybody else.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias, TypeGuard, cast

import msgspec

Schema: TypeAlias = dict[str, Any]
REF = "#/$defs/"


def is_model(kind: Any) -> TypeGuard[type[Any]]:
    """Whether it is a class of pydantic's."""
    return hasattr(kind, "__pydantic_core_schema__") and hasattr(kind, "model_json_schema")


def is_field(default: Any) -> bool:
    """Whether a default is what pydantic's ``Field`` makes."""
    return type(default).__module__ == "pydantic.fields" and hasattr(default, "is_required")


def default_of(parameter: inspect.Parameter) -> Any:
    """A parameter's default, also of one that is declared with pydantic's ``Field``."""
    field = parameter.default
    if not is_field(field):
        return field
    if field.is_required():
        return inspect.Parameter.empty
    return field.get_default(call_default_factory=True)


def read_model(kind: Any, value: Any) -> Any:
    """For msgspec: a model from its JSON value, as the model's own settings have it.

    Raises:
        ValueError: it does not fit; the text says what is wrong with which field.
        NotImplementedError: it is no model.
    """
    if not is_model(kind):
        raise NotImplementedError
    try:
        # From JSON, because there a strict model takes what JSON has no type for: dates as text.
        return kind.model_validate_json(msgspec.json.encode(value))
    except ValueError as exc:
        raise ValueError(_complaints(exc)) from None


def _complaints(exc: Any) -> str:
    if not hasattr(exc, "errors"):
        return str(exc)
    found = exc.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(_complaint(one) for one in found)


def _complaint(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}" if place else str(error["msg"])


def with_models(kinds: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """JSON Schemas of types, and what they refer to as ``#/$defs/...``.

    Raises:
        TypeError: there is none of one of them.
    """
    models: list[type[Any]] = []

    def note(kind: type[Any]) -> Schema:
        if not is_model(kind):
            raise NotImplementedError
        models.append(kind)
        return {"$ref": _placeholder(kind)}

    tops, components = msgspec.json.schema_components(
        kinds, schema_hook=note, ref_template=f"{REF}{{name}}"
    )
    if not models:
        return list(tops), components
    places, definitions = _definitions(models, components)
    return (
        [_redirected(top, places) for top in tops],
        {name: _redirected(one, places) for name, one in components.items()} | definitions,
    )


def _placeholder(kind: type[Any]) -> str:
    return f"model:{id(kind)}"


def _definitions(
    models: Sequence[type[Any]], taken: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Schema]]:
    """Where each model is described, and the descriptions, under names that are not taken."""
    # pydantic sees to it that no two of its own have one name.
    json_schema = import_module("pydantic.json_schema")
    unique = list(dict.fromkeys(models))
    told, document = json_schema.models_json_schema(
        [(model, "validation") for model in unique], ref_template=f"{REF}{{model}}"
    )
    found: dict[str, Schema] = document.get("$defs", {})
    names: dict[str, str] = {}
    for name in found:
        names[name] = _free(name, {*taken, *names.values()})
    moved = {REF + old: REF + new for old, new in names.items()}
    places = {_placeholder(model): moved[told[model, "validation"]["$ref"]] for model in unique}
    return places, {names[name]: _redirected(one, moved) for name, one in found.items()}


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _redirected(schema: Any, places: Mapping[str, str]) -> Any:
    """The same with its references elsewhere."""
    if isinstance(schema, dict):
        return {
            key: places.get(value, value)
            if key == "$ref" and isinstance(value, str)
            else _redirected(value, places)
            for key, value in cast("Schema", schema).items()
        }
    if isinstance(schema, list):
        return [_redirected(one, places) for one in cast("Any", schema)]
    return schema
