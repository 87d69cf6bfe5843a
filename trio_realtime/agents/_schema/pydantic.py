"""Pydantic's models and dataclasses among the types that tools take and return.

Whoever declares one has imported pydantic; nothing here does so for anybody else.
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
REF = "#/$defs/"


def is_model(kind: Any) -> TypeGuard[type[Any]]:
    """Whether it is a class of pydantic's."""
    return hasattr(kind, "__pydantic_core_schema__") and hasattr(kind, "model_json_schema")


def is_dataclass_of_pydantic(kind: Any) -> TypeGuard[type[Any]]:
    """Whether it is a dataclass of pydantic's, which validates where a plain one does not."""
    return (
        isinstance(kind, type)
        and dataclasses.is_dataclass(kind)
        and hasattr(kind, "__pydantic_validator__")
    )


class _PydanticDataclassProxy(type):
    """For msgspec, which would fill in a dataclass of pydantic's itself: a class it knows nothing of.

    Attributes:
        meant: the dataclass.
    """

    meant: type[Any]

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, cls.meant)


def stand_in(kind: type[Any]) -> Any:
    """What msgspec is given in place of a dataclass of pydantic's, so that pydantic is asked."""
    return _PydanticDataclassProxy(kind.__name__, (), {"meant": kind})


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
    model = _model_of(kind)
    try:
        # From JSON, because there a strict model takes what JSON has no type for: dates as text.
        return _validate_json(model, msgspec.json.encode(value))
    except ValueError as exc:
        raise ValueError(_complaints(exc)) from None


def _model_of(kind: Any) -> type[Any]:
    if isinstance(kind, _PydanticDataclassProxy):
        return kind.meant
    if not is_model(kind):
        raise NotImplementedError
    return kind


def _validate_json(model: Any, data: bytes) -> Any:
    if is_model(model):
        return model.model_validate_json(data)
    return _adapter(model).validate_json(data)


@functools.lru_cache(maxsize=256)
def _adapter(kind: type[Any]) -> Any:
    return import_module("pydantic").TypeAdapter(kind)


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
        model = _model_of(kind)
        models.append(model)
        return {"$ref": _placeholder(model)}

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
