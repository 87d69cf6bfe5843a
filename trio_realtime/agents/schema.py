"""Arguments of functions: their JSON Schema for the model, and the model's JSON for the function.

By msgspec, from the annotations: strict, with messages that the model can use.
"""

from __future__ import annotations

import copy
import inspect
import typing
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import msgspec

from trio_realtime.errors import ConfigurationError

Function: TypeAlias = Callable[..., Any]


class InvalidArguments(ValueError):
    """The model's arguments do not fit the tool. The message is for the model."""


class Signature:
    """The parameters of a function: their schema, and the model's arguments for them.

    Args:
        function: its annotations tell the types.
        context_type: parameters of this class are not the model's to give.
    """

    def __init__(self, function: Function, context_type: type[Any]) -> None:
        self._name = function_name(function)
        hints = _hints(function)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        self._context_name: str | None = None
        for parameter in inspect.signature(function).parameters.values():
            annotation = self._annotation(parameter, hints)
            if _is_of(annotation, context_type):
                self._context_name = parameter.name
            elif parameter.default is inspect.Parameter.empty:
                fields.append((parameter.name, annotation))
            else:
                fields.append((parameter.name, annotation, _field_default(parameter.default)))
        self._struct = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )

    def _annotation(self, parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(f"tool {self._name}: *{parameter.name} cannot be described")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"tool {self._name}: {parameter.name} is positional-only")
        if parameter.name not in hints:
            raise ConfigurationError(
                f"tool {self._name}: annotate the parameter {parameter.name}, as in "
                f"{parameter.name}: str"
            )
        return hints[parameter.name]

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments object, with what it refers to inside."""
        try:
            (reference,), components = msgspec.json.schema_components(
                [self._struct], ref_template="#/$defs/{name}"
            )
        except TypeError as exc:
            raise ConfigurationError(f"tool {self._name}: no schema can be made: {exc}") from None
        # Not always "Arguments": a class of the user may have that name too.
        top: dict[str, Any] = dict(components.pop(reference["$ref"].rpartition("/")[2]))
        top.pop("title", None)
        top.setdefault("properties", {})
        top["additionalProperties"] = False
        if components:
            top["$defs"] = components
        return top

    def keywords(self, context: Any, arguments: str) -> dict[str, Any]:
        """Keyword arguments from the model's JSON text.

        Raises:
            InvalidArguments: they do not fit.
        """
        try:
            values = msgspec.json.decode(arguments.strip() or "{}", type=self._struct)
        except msgspec.DecodeError as exc:
            raise InvalidArguments(f"Invalid arguments for {self._name}: {exc}") from None
        keywords = {name: getattr(values, name) for name in self._struct.__struct_fields__}
        if self._context_name is not None:
            keywords[self._context_name] = context
        return keywords


def function_name(function: Function) -> str:
    """A function's name; of what has none, its class's."""
    return getattr(function, "__name__", type(function).__name__)


def _hints(function: Function) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise ConfigurationError(
            f"tool {function_name(function)}: an annotation cannot be resolved: {exc}"
        ) from None


def _field_default(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return msgspec.field(default=value)  # stands in the schema, so the model knows it
    # A mutable default is copied for each call.
    return msgspec.field(default_factory=partial(copy.copy, value))


def _is_of(annotation: Any, kind: type[Any]) -> bool:
    return annotation is kind or typing.get_origin(annotation) is kind
