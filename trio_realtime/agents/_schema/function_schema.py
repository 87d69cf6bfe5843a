"""The schema of a function's parameters, and conversion of the model's JSON to arguments.

msgspec derives both from the annotations. Decoding is strict: values are not coerced, and the error
messages are meant for the model. ``annotations`` and ``pydantic`` add support for pydantic.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeAlias

import msgspec

from trio_realtime.errors import ConfigurationError

from .annotations import schema_type, to_msgspec
from .docstrings import parse_docstring
from .pydantic import (
    REF_PREFIX,
    Schema,
    decode_pydantic,
    is_pydantic_field,
    json_schemas,
    parameter_default,
)

Function: TypeAlias = Callable[..., Any]
_Field: TypeAlias = tuple[str, Any] | tuple[str, Any, Any]


class InvalidArguments(ValueError):
    """The model's arguments do not match the tool's parameters. The model receives the message."""


class TypeSchema:
    """The JSON Schema of a type, and the decoder of its JSON.

    Args:
        type_: the type.
        owner: the name of the tool or handoff, for error messages.

    Raises:
        ConfigurationError: if the type has no JSON Schema.
    """

    def __init__(self, type_: Any, owner: str) -> None:
        self._owner = owner
        try:
            value_type = to_msgspec(type_)
            checked_type = schema_type(value_type)
            (self._schema,), self._definitions = json_schemas([checked_type])
            self._decoder = _decoder(value_type)
            self._checks = () if checked_type is value_type else (_decoder(checked_type),)
        except Exception as exc:  # noqa: BLE001 - the user's classes may raise anything
            raise ConfigurationError(
                f"tool {owner}: no JSON Schema can be made: {_explain(exc)}"
            ) from None

    def json_schema(self) -> Schema:
        """Return the JSON Schema, including the definitions that it references."""
        name = self._schema.get("$ref", "").removeprefix(REF_PREFIX)
        if name not in self._definitions:
            return _add_definitions(self._schema, self._definitions)
        top, others = self._definitions[name], {**self._definitions}
        # A type that contains itself has to stay among the definitions.
        if not _is_referenced(REF_PREFIX + name, self._definitions):
            del others[name]
        return _add_definitions(top, others)

    def decode(self, text: str) -> Any:
        """Return a value of the type from JSON text. Empty text is an empty object.

        Raises:
            InvalidArguments: if the text does not match the type, or if the type's own validation
                raises any exception.
        """
        json_text = text.strip() or "{}"
        try:
            for check in self._checks:
                check.decode(json_text)
            return self._decoder.decode(json_text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise InvalidArguments(f"Invalid arguments for {self._owner}: {exc}") from None
        except Exception as exc:
            raise InvalidArguments(
                f"Invalid arguments for {self._owner}: {type(exc).__name__}: {exc}"
            ) from exc


def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_, dec_hook=decode_pydantic)


def _add_definitions(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    return {**schema, "$defs": definitions} if definitions else {**schema}


def _is_referenced(ref: str, definitions: dict[str, Schema]) -> bool:
    return msgspec.json.encode(ref) in msgspec.json.encode(definitions)


def _explain(exc: Exception) -> str:
    """Say what is wrong with a type and what to use instead.

    msgspec's own advice applies only to direct users of msgspec, so it is replaced.
    """
    text = str(exc)
    type_ = text.rpartition("type ")[2].removesuffix(" is not supported")
    if "schema_hook" in text:
        return f"{type_} has no JSON representation: use strings, numbers, lists, dataclasses or models"
    if text.startswith("Type unions"):
        return (
            f"the members of {type_} cannot be distinguished in JSON: use one of them, or put the "
            f"union into a pydantic model ({text.partition(' - ')[0]})"
        )
    if isinstance(exc, NameError):
        return f"{text}: import it at run time, not only for type checkers"
    return text if type(exc) is TypeError else f"{type(exc).__name__}: {text}"


class FunctionSchema:
    """The schema of a function's parameters, and the decoder of the model's arguments.

    Parameters that a ``functools.partial`` has bound are hidden from the model.

    Args:
        function: the function; its annotations give the types, its docstring the descriptions.
        name: the name under which the model knows the function.
        context_type: parameters annotated with this class are hidden from the model and receive the
            call's context.

    Raises:
        ConfigurationError: if a model cannot call the function; the message says what to change.
    """

    def __init__(self, function: Function, name: str, context_type: type[Any]) -> None:
        self._name = name
        self._context_parameters: list[str] = []
        self._descriptions = dict(parse_docstring(function).parameters)
        annotated = _annotated_function(function)
        fields: list[_Field] = []
        for parameter in self._visible_parameters(function):
            annotation = self._annotation(parameter, annotated)
            if _is_class(annotation, context_type):
                self._context_parameters.append(parameter.name)
            else:
                fields.append(self._make_field(parameter, annotation))
        self._struct = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._type_schema = self._make_type_schema(fields)

    def _visible_parameters(self, function: Function) -> Iterator[inspect.Parameter]:
        """Yield the parameters that are not bound; raise if one cannot be passed by name."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as exc:
            raise self._error(f"its signature cannot be determined: {exc}") from None
        bound = _bound_names(function)
        for number, parameter in enumerate(signature.parameters.values()):
            name = parameter.name
            if name in bound:
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise self._error(f"*{name} is not supported: declare each parameter by name")
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

    def _annotation(self, parameter: inspect.Parameter, annotated: Any) -> Any:
        name = parameter.name
        if name not in getattr(annotated, "__annotations__", {}):
            raise self._error(f"parameter {name} has no annotation: add one, as in {name}: str")
        try:
            annotation = _resolve_annotation(annotated, name)
        except Exception as exc:  # noqa: BLE001 - evaluating an annotation may raise anything
            raise self._error(
                f"the annotation of parameter {name} cannot be resolved: {_explain(exc)}"
            ) from None
        if is_pydantic_field(parameter.default):
            return Annotated[annotation, parameter.default]
        return annotation

    def _make_field(self, parameter: inspect.Parameter, annotation: Any) -> _Field:
        name = parameter.name
        try:
            type_ = to_msgspec(annotation)
            default = parameter_default(parameter)
            if default is inspect.Parameter.empty:
                return (name, type_)
            return (name, type_, _field_default(default))
        except Exception as exc:  # noqa: BLE001 - from invalid constraints, or copying a default
            raise self._error(f"parameter {name}: {_explain(exc)}") from None

    def _make_type_schema(self, fields: list[_Field]) -> TypeSchema:
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


def _annotated_function(function: Function) -> Any:
    """Return the function that has the annotations: a class's ``__init__``, or ``__call__``."""
    function = _unwrap_partial(function)
    if inspect.isclass(function):
        return function.__init__
    return function if inspect.isroutine(function) else type(function).__call__


def _resolve_annotation(function: Any, name: str) -> Any:
    """Resolve one annotation, since others may name what only type checkers import."""
    inner = inspect.unwrap(function)
    namespace = types.SimpleNamespace(
        __annotations__={name: function.__annotations__[name]},
        __globals__=getattr(inner, "__globals__", {}),
        __type_params__=getattr(inner, "__type_params__", ()),
    )
    return typing.get_type_hints(namespace, include_extras=True)[name]


def _field_default(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return msgspec.field(default=value)  # appears in the schema
    # A mutable default is copied deeply for each call.
    try:
        copy.deepcopy(value)
    except Exception as exc:  # noqa: BLE001 - the user's class may raise anything
        raise TypeError(f"its default cannot be copied for each call: {exc}") from None
    return msgspec.field(default_factory=functools.partial(copy.deepcopy, value))


def _is_class(annotation: Any, cls: type[Any]) -> bool:
    """Return whether an annotation is a class, possibly optional, generic or ``Annotated``."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _is_class(typing.get_args(annotation)[0], cls)
    if origin in (typing.Union, types.UnionType):
        return any(_is_class(argument, cls) for argument in typing.get_args(annotation))
    return annotation is cls or origin is cls
