"""Functions that the model may call.

The JSON Schema of the arguments comes from the annotations, by msgspec, which also checks what the
model sends, strictly: a wrong argument is answered with a message that the model can use.
"""

from __future__ import annotations

import copy
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, overload

import attrs
import msgspec
import trio

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import FunctionToolSpec

ContextT = TypeVar("ContextT")
MAX_NAME = 64


class InvalidArguments(ValueError):
    """The model's arguments do not fit the tool. The message is for the model."""


@attrs.frozen(kw_only=True)
class ToolContext(Generic[ContextT]):
    """What a tool may know of its call. A parameter annotated with this class receives it.

    Attributes:
        context: the session's ``context``.
        call_id: the service's id of the call; unique in the session.
        tool_name: the tool's name.
        arguments: the JSON text of the model.
        agent: the agent that was current when the response began.
        response_id: the response that made the call.
    """

    context: ContextT
    call_id: str
    tool_name: str
    arguments: str
    agent: Any
    response_id: str


Invoke: TypeAlias = Callable[[ToolContext[Any], str], Awaitable[Any]]


def _check_name(_tool: Any, _attribute: Any, name: str) -> None:
    plain = name.replace("_", "").replace("-", "")
    if not (plain.isascii() and plain.isalnum() and len(name) <= MAX_NAME):
        raise ConfigurationError(
            f"tool name {name!r}: use up to {MAX_NAME} letters, digits, '_' and '-'"
        )


def _check_timeout(tool: FunctionTool, _attribute: Any, timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(f"tool {tool.name!r}: timeout must be positive seconds")


@attrs.frozen(kw_only=True, eq=False)
class FunctionTool:
    """A function as the model sees it. Usually made by :func:`function_tool`.

    Args:
        name: letters, digits, ``_`` and ``-``, 64 at most.
        description: what it does, for the model.
        parameters: JSON Schema of the arguments object.
        invoke: called with the context and the JSON text of the arguments; what it returns is the
            answer (see :func:`result_text`). Raise :class:`InvalidArguments` for wrong ones.
        timeout: seconds after which the call is cancelled and answered so; ``None`` for no limit.

    A call is cancelled when the user interrupts: write ``finally`` blocks as in any trio code. The
    call is answered after they have run.
    """

    name: str = attrs.field(validator=_check_name)
    description: str | None = attrs.field(default=None, repr=False)
    parameters: Mapping[str, Any] = attrs.field(
        factory=lambda: {"type": "object", "properties": {}}, repr=False
    )
    invoke: Invoke = attrs.field(repr=False)
    timeout: float | None = attrs.field(default=None, validator=_check_timeout)

    def spec(self) -> FunctionToolSpec:
        """The tool as it stands in the session's settings."""
        return FunctionToolSpec(
            name=self.name, description=self.description, parameters=self.parameters
        )


Function: TypeAlias = Callable[..., Any]


@overload
def function_tool(function: Function, /) -> FunctionTool: ...


@overload
def function_tool(
    *, name: str | None = None, description: str | None = None, timeout: float | None = None
) -> Callable[[Function], FunctionTool]: ...


def function_tool(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
) -> FunctionTool | Callable[[Function], FunctionTool]:
    """Make a tool of a function.

    Async functions run in the session's nursery. Plain functions run in a thread; an interrupt
    abandons the thread, since nothing can stop it.

    Args:
        name: the function's own by default.
        description: the docstring by default.
        timeout: seconds that a call may take; see :class:`FunctionTool`.

    Raises:
        ConfigurationError: a parameter has no annotation, or one of which no schema can be made.
    """

    def make(function: Function) -> FunctionTool:
        signature = _Signature(function)
        return FunctionTool(
            name=name or function.__name__,
            description=description or inspect.getdoc(function),
            parameters=signature.schema(),
            invoke=partial(_invoke, function, signature),
            timeout=timeout,
        )

    return make if function is None else make(function)


async def _invoke(
    function: Function, signature: _Signature, context: ToolContext[Any], arguments: str
) -> Any:
    keywords = signature.keywords(context, arguments)
    if inspect.iscoroutinefunction(function):
        return await function(**keywords)
    return await trio.to_thread.run_sync(partial(function, **keywords), abandon_on_cancel=True)


class _Signature:
    """The parameters of a function: their schema, and the model's arguments for them."""

    def __init__(self, function: Function) -> None:
        self._name = function.__name__
        hints = _hints(function)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        self._context_name: str | None = None
        for parameter in inspect.signature(function).parameters.values():
            annotation = self._annotation(parameter, hints)
            if _is_context(annotation):
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

    def keywords(self, context: ToolContext[Any], arguments: str) -> dict[str, Any]:
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


def _hints(function: Function) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise ConfigurationError(
            f"tool {function.__name__}: an annotation cannot be resolved: {exc}"
        ) from None


def _field_default(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return msgspec.field(default=value)  # stands in the schema, so the model knows it
    # A mutable default is copied for each call.
    return msgspec.field(default_factory=partial(copy.copy, value))


def _is_context(annotation: Any) -> bool:
    return annotation is ToolContext or typing.get_origin(annotation) is ToolContext


def result_text(result: Any) -> str:
    """What the model is told of a tool's result: text as it is, anything else as JSON.

    Dataclasses, attrs classes, enums, dates and the like become JSON; what cannot is told as
    ``str(result)``.
    """
    if isinstance(result, str):
        return result
    try:
        return msgspec.json.encode(result, enc_hook=str).decode()
    except (TypeError, ValueError, RecursionError):
        return str(result)
