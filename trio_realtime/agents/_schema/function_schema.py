"""Arguments of functions: their JSON Schema for the model, and the model's JSON for the function.

By msgspec, from the annotations: strict, with messages that the model can use. Pydantic's models are
left to pydantic; see ``models``, and ``annotations`` for what else is said in its words.
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

from .annotations import in_own_words, told_as
from .docstrings import documentation
from .pydantic import REF, Schema, default_of, is_field, read_model, with_models

Function: TypeAlias = Callable[..., Any]
_Field: TypeAlias = tuple[str, Any] | tuple[str, Any, Any]


class InvalidArguments(ValueError):
    """The model's arguments do not fit the tool. The message is for the model."""


class TypeSchema:
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
            values = in_own_words(kind)
            told = told_as(values)
            (self._top,), self._components = with_models([told])
            self._decoder = _decoder(values)
            self._checks = () if told is values else (_decoder(told),)
        except Exception as exc:  # noqa: BLE001 - the user's classes are asked, and whatever they ask
            raise ConfigurationError(f"tool {owner}: no schema can be made: {_why(exc)}") from None

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
            InvalidArguments: it does not fit, or the type's own checks have raised, whatever it was.
        """
        given = text.strip() or "{}"
        try:
            for check in self._checks:
                check.decode(given)
            return self._decoder.decode(given)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            raise InvalidArguments(f"Invalid arguments for {self._owner}: {exc}") from None
        except Exception as exc:
            raise InvalidArguments(
                f"Invalid arguments for {self._owner}: {type(exc).__name__}: {exc}"
            ) from exc


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, dec_hook=read_model)


def _with_definitions(top: Schema, components: dict[str, Schema]) -> Schema:
    return {**top, "$defs": components} if components else {**top}


def _refers(components: dict[str, Schema], place: str) -> bool:
    return msgspec.json.encode(place) in msgspec.json.encode(components)


def _why(exc: Exception) -> str:
    """What is wrong with a type, and what to do; msgspec's own advice is for who uses msgspec."""
    text = str(exc)
    what = text.rpartition("type ")[2].removesuffix(" is not supported")
    if "schema_hook" in text:
        return f"there is no JSON for {what}; use text, numbers, lists, dataclasses or models"
    if text.startswith("Type unions"):
        return (
            f"in JSON nobody can tell apart what is in {what}; use one of them, or hold the union in "
            f"a model of pydantic's ({text.partition(' - ')[0]})"
        )
    if isinstance(exc, NameError):
        return f"{text}; import it for the running program too, not for type checkers only"
    return text if type(exc) is TypeError else f"{type(exc).__name__}: {text}"


class FunctionSchema:
    """The parameters of a function: their schema, and the model's arguments for them.

    Args:
        function: its annotations tell the types, its docstring what they are for.
        name: how the model knows it.
        context_type: parameters of this class are not the model's to give; nor is what a
            ``functools.partial`` has bound.

    Raises:
        ConfigurationError: it cannot be called by a model; the message says what to mend.
    """

    def __init__(self, function: Function, name: str, context_type: type[Any]) -> None:
        self._name = name
        self._contexts: list[str] = []
        self._descriptions = dict(documentation(function).parameters)
        where = _annotated(function)
        fields: list[_Field] = []
        for parameter in self._parameters(function):
            annotation = self._annotation(parameter, where)
            if _is_of(annotation, context_type):
                self._contexts.append(parameter.name)
            else:
                fields.append(self._field(parameter, annotation))
        self._struct = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._shape = self._shape_of(fields)

    def _parameters(self, function: Function) -> Iterator[inspect.Parameter]:
        """Those that are not bound, if all of them have a name to be given by."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as exc:
            raise self._refusal(f"its parameters cannot be known: {exc}") from None
        bound = _bound(function)
        for number, parameter in enumerate(signature.parameters.values()):
            if parameter.name in bound:
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise self._refusal(f"*{parameter.name} cannot be described; name each parameter")
            if _is_positional_only(parameter):
                raise self._refusal(
                    f"the parameter {parameter.name} is positional-only, and a model names what it "
                    f"gives"
                )
            if number == 0 and parameter.name in ("self", "cls"):
                raise self._refusal(
                    f"{parameter.name} is not the model's to give; make the tool of the bound method, "
                    f"as in function_tool(thing.method)"
                )
            yield parameter

    def _annotation(self, parameter: inspect.Parameter, where: Any) -> Any:
        name = parameter.name
        if name not in getattr(where, "__annotations__", {}):
            raise self._refusal(f"annotate the parameter {name}, as in {name}: str")
        try:
            annotation = _resolved(where, name)
        except Exception as exc:  # noqa: BLE001 - an annotation may be any text
            raise self._refusal(
                f"the annotation of the parameter {name} cannot be resolved: {_why(exc)}"
            ) from None
        return (
            Annotated[annotation, parameter.default] if is_field(parameter.default) else annotation
        )

    def _field(self, parameter: inspect.Parameter, annotation: Any) -> _Field:
        name = parameter.name
        try:
            meant = in_own_words(annotation)
            default = default_of(parameter)
            if default is inspect.Parameter.empty:
                return (name, meant)
            return (name, meant, _field_default(default))
        except Exception as exc:  # noqa: BLE001 - a bound that is none, a default that cannot be copied
            raise self._refusal(f"the parameter {name}: {_why(exc)}") from None

    def _shape_of(self, fields: list[_Field]) -> TypeSchema:
        try:
            return TypeSchema(self._struct, self._name)
        except ConfigurationError:
            for name, annotation, *_ in fields:
                try:
                    TypeSchema(annotation, self._name)
                except ConfigurationError as exc:
                    why = str(exc).partition("made: ")[2]
                    raise self._refusal(f"the parameter {name} has no schema: {why}") from None
            raise

    def _refusal(self, why: str) -> ConfigurationError:
        return ConfigurationError(f"tool {self._name}: {why}")

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
        given = {name: getattr(values, name) for name in self._struct.__struct_fields__}
        return given | dict.fromkeys(self._contexts, context)


def check_function(function: Any) -> None:
    """See that it can be called, and that its answer is an answer.

    Raises:
        ConfigurationError: it is none that a tool can be made of.
    """
    if not callable(function):
        raise ConfigurationError(
            f"{type(function).__name__} is no function: decorate one with @function_tool, or with "
            f"@function_tool(name=...); a classmethod or property is no function yet"
        )
    called = _unwrapped(function)
    called = called if inspect.isroutine(called) else type(called).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ConfigurationError(
            f"tool {function_name(function)}: it yields, and a call has one answer: return it"
        )


def function_name(function: Function) -> str:
    """A function's name; of what has none, its class's."""
    function = _unwrapped(function)
    return getattr(function, "__name__", type(function).__name__)


def _unwrapped(function: Any) -> Any:
    """What a partial is of."""
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType]
    return function


def _bound(function: Any) -> set[str]:
    """What partials give by name. ``inspect`` shows these as parameters with a default."""
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
    # Two underscores say the same to type checkers.
    private = parameter.name.startswith("__") and not parameter.name.endswith("__")
    return parameter.kind is parameter.POSITIONAL_ONLY or private


def _annotated(function: Function) -> Any:
    """Where the annotations stand: of a class at its ``__init__``, of an object at its method."""
    function = _unwrapped(function)
    if inspect.isclass(function):
        return function.__init__
    return function if inspect.isroutine(function) else type(function).__call__


def _resolved(where: Any, name: str) -> Any:
    """One annotation. The others, of the result above all, may be for type checkers only."""
    inner = inspect.unwrap(where)
    alone = types.SimpleNamespace(
        __annotations__={name: where.__annotations__[name]},
        __globals__=getattr(inner, "__globals__", {}),
        __type_params__=getattr(inner, "__type_params__", ()),
    )
    return typing.get_type_hints(alone, include_extras=True)[name]


def _field_default(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return msgspec.field(default=value)  # stands in the schema, so the model knows it
    # A mutable default is copied for each call, with all that is in it.
    try:
        copy.deepcopy(value)
    except Exception as exc:  # noqa: BLE001 - what the user's class raises
        raise TypeError(f"its default cannot be copied for each call: {exc}") from None
    return msgspec.field(default_factory=functools.partial(copy.deepcopy, value))


def _is_of(annotation: Any, kind: type[Any]) -> bool:
    """Whether it is this class, perhaps optional or with something said of it."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _is_of(typing.get_args(annotation)[0], kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(one, kind) for one in typing.get_args(annotation))
    return annotation is kind or origin is kind
