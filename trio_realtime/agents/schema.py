"""Arguments of functions: their JSON Schema for the model, and the model's JSON for the function.

By msgspec, from the annotations: strict, with messages that the model can use. Pydantic's models are
left to pydantic; see ``models``.
"""

from __future__ import annotations

import copy
import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeAlias

import msgspec

from trio_realtime.errors import ConfigurationError

from .docstrings import documentation
from .models import REF, Schema, default_of, is_field, read_model, with_models

Function: TypeAlias = Callable[..., Any]
_BOUNDS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


class InvalidArguments(ValueError):
    """The model's arguments do not fit the tool. The message is for the model."""


class Shape:
    """What JSON of one type looks like.

    Args:
        kind: the type.
        owner: whose arguments these are, for messages.

    Raises:
        ConfigurationError: no JSON Schema can be made of the type.
    """

    def __init__(self, kind: Any, owner: str) -> None:
        self._owner = owner
        try:
            (self._top,), self._components = with_models([kind])
            self._decoder = msgspec.json.Decoder(kind, dec_hook=read_model)
        except (TypeError, RuntimeError) as exc:  # pydantic's errors of usage are the latter
            raise ConfigurationError(f"tool {owner}: no schema can be made: {exc}") from None

    def schema(self) -> Schema:
        """JSON Schema, with what it refers to inside."""
        name = self._top.get("$ref", "").removeprefix(REF)
        if name not in self._components:
            return _with_definitions(self._top, self._components)
        top, others = self._components[name], {**self._components}
        if not _refers(self._components, REF + name):  # one that contains itself has to stay
            del others[name]
        return _with_definitions(top, others)

    def read(self, text: str) -> Any:
        """A value of the type from JSON text.

        Raises:
            InvalidArguments: it does not fit.
        """
        try:
            return self._decoder.decode(text.strip() or "{}")
        except (msgspec.DecodeError, RecursionError) as exc:
            raise InvalidArguments(f"Invalid arguments for {self._owner}: {exc}") from None


def _with_definitions(top: Schema, components: dict[str, Schema]) -> Schema:
    return {**top, "$defs": components} if components else {**top}


def _refers(components: dict[str, Schema], place: str) -> bool:
    return msgspec.json.encode(place) in msgspec.json.encode(components)


class Signature:
    """The parameters of a function: their schema, and the model's arguments for them.

    Args:
        function: its annotations tell the types, its docstring what they are for.
        name: how the model knows it.
        context_type: parameters of this class are not the model's to give.
    """

    def __init__(self, function: Function, name: str, context_type: type[Any]) -> None:
        self._name = function_name(function)
        self._descriptions = dict(documentation(function).parameters)
        hints = _hints(function)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        self._context_name: str | None = None
        for parameter in inspect.signature(function).parameters.values():
            annotation = self._annotation(parameter, hints)
            default = default_of(parameter)
            if _is_of(annotation, context_type):
                self._context_name = parameter.name
            elif default is inspect.Parameter.empty:
                fields.append((parameter.name, annotation))
            else:
                fields.append((parameter.name, annotation, _field_default(default)))
        self._struct = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._shape = Shape(self._struct, name)

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
        annotation = hints[parameter.name]
        if is_field(parameter.default):
            annotation = Annotated[annotation, parameter.default]
        return self._understood(parameter.name, annotation)

    def _understood(self, name: str, annotation: Any) -> Any:
        """The annotation as msgspec understands it; a description in it is noted."""
        extras = list(_extras(annotation))
        for extra in extras:
            text = extra if isinstance(extra, str) else getattr(extra, "description", None)
            if isinstance(text, str):
                self._descriptions[name] = text
        bounds = {
            bound: getattr(extra, bound)
            for extra in extras
            for bound in _BOUNDS
            if getattr(extra, bound, None) is not None
        }
        return Annotated[annotation, msgspec.Meta(**bounds)] if bounds else annotation

    def schema(self) -> Schema:
        """JSON Schema of the arguments object, with what it refers to inside."""
        top = self._shape.schema()
        top.pop("title", None)
        top["properties"] = {
            name: {"description": self._descriptions[name], **schema}
            if name in self._descriptions
            else schema
            for name, schema in top.get("properties", {}).items()
        }
        top["additionalProperties"] = False
        return top

    def keywords(self, context: Any, arguments: str) -> dict[str, Any]:
        """Keyword arguments from the model's JSON text.

        Raises:
            InvalidArguments: they do not fit.
        """
        values = self._shape.read(arguments)
        keywords = {name: getattr(values, name) for name in self._struct.__struct_fields__}
        if self._context_name is not None:
            keywords[self._context_name] = context
        return keywords


def function_name(function: Function) -> str:
    """A function's name; of what has none, its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def _hints(function: Function) -> dict[str, Any]:
    try:
        return typing.get_type_hints(_annotated(function), include_extras=True)
    except NameError as exc:
        raise ConfigurationError(
            f"tool {function_name(function)}: an annotation cannot be resolved: {exc}"
        ) from None


def _annotated(function: Function) -> Any:
    """Where the annotations stand: of a callable object, at its method."""
    while isinstance(function, functools.partial):
        function = function.func
    plain = inspect.isroutine(function) or inspect.isclass(function)
    return function if plain else type(function).__call__


def _extras(annotation: Any) -> Iterator[Any]:
    """What ``Annotated`` says beside the type, in others' words than msgspec's: pydantic's, say."""
    if typing.get_origin(annotation) is Annotated:
        for extra in annotation.__metadata__:
            if not isinstance(extra, msgspec.Meta):
                yield extra
                yield from getattr(extra, "metadata", ())


def _field_default(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return msgspec.field(default=value)  # stands in the schema, so the model knows it
    # A mutable default is copied for each call.
    return msgspec.field(default_factory=functools.partial(copy.copy, value))


def _is_of(annotation: Any, kind: type[Any]) -> bool:
    return annotation is kind or typing.get_origin(annotation) is kind
