"""The schema of a function's parameters, and conversion of the model's JSON to arguments."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union

import msgspec

from trio_realtime.errors import ConfigurationError

from .conversion import Schema
from .docstrings import parse_docstring
from .fields import struct_field
from .names import Function, refers_to, resolve_annotation, signature_of
from .pydantic import is_pydantic_field, parameter_default
from .type_schema import TypeSchema, explain


class FunctionSchema:
    """The schema of a function's parameters, and the decoder of the model's arguments.

    Parameters that a ``functools.partial`` has bound are hidden from the model.

    Args:
        function: the function; its annotations give the types, its docstring the descriptions.
        name: the name under which the model knows the function.
        context_type: parameters annotated with this class are hidden from the model and receive the
            call's context.
        parameters: the schema, instead of one made of the annotations. The function receives the values
            of JSON.

    Raises:
        ConfigurationError: if a model cannot call the function; the message says what to change.
    """

    def __init__(
        self,
        function: Function,
        name: str,
        context_type: type[Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._parameters = parameters
        self._context_type = context_type
        self._context_parameters: list[str] = []
        self._descriptions = dict(parse_docstring(function).parameters)
        fields: list[tuple[Any, ...]] = []
        for parameter in self._visible_parameters(function):
            annotation = self._annotation(parameter, function)
            if annotation is self._context_type:
                self._context_parameters.append(parameter.name)
            else:
                fields.append(self._make_field(parameter, annotation))
        if parameters is not None:
            self._check_parameters(parameters, fields)
        self._struct = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._type_schema = self._make_type_schema(fields)

    def _check_parameters(self, schema: Mapping[str, Any], fields: list[tuple[Any, ...]]) -> None:
        """Check that a schema of the user has the function's parameters."""
        declared, described = {name for name, *_ in fields}, set(schema.get("properties", ()))
        required = {name for name, *optional in fields if len(optional) == 1}
        if schema.get("type") != "object" or declared != described:
            raise self._error(
                f"parameters= must be the schema of an object with the properties "
                f"{sorted(declared)}, got {sorted(described)}"
            )
        if not required <= set(schema.get("required", ())):
            missing = sorted(required.difference(schema.get("required", ())))
            raise self._error(f"parameters= must require {missing}, which have no default")

    def _visible_parameters(self, function: Function) -> Iterator[inspect.Parameter]:
        """Yield the parameters that are not bound; raise if one cannot be passed by name."""
        try:
            signature = signature_of(function)
        except (TypeError, ValueError) as exc:
            raise self._error(f"its signature cannot be determined: {exc}") from None
        bound = _bound_names(function)
        for number, parameter in enumerate(signature.parameters.values()):
            name = parameter.name
            if name in bound:
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
                raise self._error(
                    f"{stars}{name} is not supported: declare each parameter by name, or use "
                    f"functools.wraps if this is a decorator"
                )
            if _is_positional_only(parameter):
                raise self._error(
                    f"parameter {name} is positional-only: a model passes arguments by name"
                )
            if number == 0 and name in ("self", "cls"):
                raise self._error(
                    f"parameter {name} cannot come from the model: make the tool from the bound "
                    f"method, as in function_tool(instance.method)"
                )
            yield parameter

    def _annotation(self, parameter: inspect.Parameter, function: Function) -> Any:
        """Return the annotation; the class of the context for a parameter that receives it."""
        name, declared = parameter.name, parameter.annotation
        if declared is parameter.empty:
            if self._parameters is not None:
                return Any
            raise self._error(f"parameter {name} has no annotation: add one, as in {name}: str")
        try:
            annotation = resolve_annotation(declared, function)
        except Exception as exc:  # noqa: BLE001 - evaluating an annotation may raise anything
            if refers_to(declared, self._context_type):
                return self._context_type
            if self._parameters is not None:
                return Any
            raise self._error(
                f"the annotation of parameter {name} cannot be resolved: {explain(exc)}"
            ) from None
        if refers_to(annotation, self._context_type):
            return self._context_type
        if self._parameters is not None:
            return Any
        if is_pydantic_field(parameter.default):
            return Annotated[annotation, parameter.default]
        # ``x: int = None`` means an optional parameter.
        return Union[annotation, None] if parameter.default is None else annotation  # noqa: UP007

    def _make_field(self, parameter: inspect.Parameter, annotation: Any) -> tuple[Any, ...]:
        default = parameter_default(parameter)
        if default is parameter.empty:
            return struct_field(parameter.name, annotation)
        try:
            copy.deepcopy(default)
        except Exception as exc:  # noqa: BLE001 - the user's class may raise anything
            raise self._error(
                f"parameter {parameter.name}: its default cannot be copied for each call: {exc}"
            ) from None
        # A mutable default is copied deeply for each call.
        make = functools.partial(copy.deepcopy, default)
        return struct_field(parameter.name, annotation, default, make)

    def _make_type_schema(self, fields: list[tuple[Any, ...]]) -> TypeSchema:
        try:
            return TypeSchema(self._struct, self._name)
        except ConfigurationError:
            # Raise an error that names the parameter instead, if a single parameter is at fault.
            for name, type_, *_ in fields:
                TypeSchema(type_, f"{self._name}: parameter {name}")
            raise

    def _error(self, problem: str) -> ConfigurationError:
        return ConfigurationError(f"tool {self._name}: {problem}")

    def json_schema(self) -> Schema:
        """Return the JSON Schema of the arguments object, including its definitions."""
        if self._parameters is not None:
            return dict(self._parameters)
        schema = self._type_schema.json_schema()
        schema.pop("title", None)
        schema["properties"] = {
            name: {"description": self._descriptions[name], **property_}
            if name in self._descriptions
            else property_
            for name, property_ in schema.get("properties", {}).items()
        }
        schema["additionalProperties"] = False
        return schema

    def decode_arguments(self, context: Any, arguments: str) -> dict[str, Any]:
        """Return the function's keyword arguments from the model's JSON text.

        Args:
            context: passed to the parameters that take the context.
            arguments: the JSON text.

        Raises:
            InvalidArguments: if the arguments do not match the parameters.
        """
        values = msgspec.structs.asdict(self._type_schema.decode(arguments))
        return values | dict.fromkeys(self._context_parameters, context)


def check_function(function: Any) -> None:
    """Check that a tool can be made of ``function``.

    Raises:
        ConfigurationError: if it is not callable, or is a generator function.
    """
    if not callable(function):
        raise ConfigurationError(
            f"expected a function, got {type(function).__name__}: use @function_tool or "
            f"@function_tool(name=...) on a function or bound method, not on a classmethod or "
            f"property object"
        )
    called = _unwrap_partial(function)
    called = called if inspect.isroutine(called) else type(called).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ConfigurationError(
            f"tool {function_name(function)}: a generator function cannot be a tool: return one "
            f"result instead of yielding"
        )


def function_name(function: Function) -> str:
    """Return a function's name; for an object that has none, the name of its class."""
    function = _unwrap_partial(function)
    return getattr(function, "__name__", type(function).__name__)


def _unwrap_partial(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType]
    return function


def _bound_names(function: Any) -> set[str]:
    """Return the keywords bound by partials, which ``inspect`` shows as parameters with defaults."""
    names: set[str] = set()
    while True:
        if isinstance(function, functools.partial):
            names |= function.keywords.keys()
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return names


def _is_positional_only(parameter: inspect.Parameter) -> bool:
    # For type checkers, two leading underscores mean the same.
    private = parameter.name.startswith("__") and not parameter.name.endswith("__")
    return parameter.kind is parameter.POSITIONAL_ONLY or private
