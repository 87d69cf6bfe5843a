"""Functions that the model may call.

The JSON Schema of the arguments comes from the annotations, by msgspec, which also checks what the
model sends, strictly: a wrong argument is answered with a message that the model can use.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

import attrs
import msgspec
import trio
from attrs import validators

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import FunctionToolSpec

from .contexts import Condition, ToolContext
from .schema import Function, Signature, function_name

MAX_NAME = 64


Invoke: TypeAlias = Callable[[ToolContext[Any], str], Awaitable[Any]]
Approval: TypeAlias = bool | Callable[[ToolContext[Any], dict[str, Any]], bool | Awaitable[bool]]
ErrorFormatter: TypeAlias = Callable[[ToolContext[Any], Exception], str | Awaitable[str]]
InterruptPolicy: TypeAlias = Literal["cancel", "finish", "background"]


@attrs.frozen
class BackgroundResult:
    """A tool's result that the agent is told without being asked to speak of it."""

    value: Any


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
        is_enabled: whether the model is told of it. A function is asked when the agent's settings
            are sent and again when the tool is called; a disabled tool is answered as unknown.
        needs_approval: whether a call waits for ``session.approve_tool_call``. A function is asked
            with the arguments; where they are no JSON object, approval is needed without asking.
        on_interrupt: what an interrupt does to a call. ``"cancel"``: it is cancelled, its
            ``finally`` blocks run, and it is answered as cancelled. ``"finish"``: it goes on and its
            result is kept for the model, without starting a response. ``"background"``: it goes on,
            and the model is asked to speak of the result.
        finish_timeout: seconds that a call may go on when the session ends; by default it is
            cancelled at once.
        format_error: makes the answer from an exception of the tool. By default the model is told
            the exception's class and text: see that nothing secret is in it.
        function: the function that it was made of, for tests and for calling it yourself.

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
    is_enabled: Condition = True
    needs_approval: Approval = False
    on_interrupt: InterruptPolicy = attrs.field(
        default="cancel", validator=validators.in_(("cancel", "finish", "background"))
    )
    finish_timeout: float | None = attrs.field(default=None, validator=_check_timeout)
    format_error: ErrorFormatter | None = None
    function: Function | None = attrs.field(default=None, repr=False)

    def spec(self) -> FunctionToolSpec:
        """The tool as it stands in the session's settings."""
        return FunctionToolSpec(
            name=self.name, description=self.description, parameters=self.parameters
        )


class ToolOptions(TypedDict, total=False):
    """Keyword options of :func:`function_tool`; see :class:`FunctionTool`."""

    timeout: float | None
    is_enabled: Condition
    needs_approval: Approval
    on_interrupt: InterruptPolicy
    finish_timeout: float | None
    format_error: ErrorFormatter | None


@overload
def function_tool(function: Function, /) -> FunctionTool: ...


@overload
def function_tool(
    *, name: str | None = None, description: str | None = None, **options: Unpack[ToolOptions]
) -> Callable[[Function], FunctionTool]: ...


def function_tool(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    **options: Unpack[ToolOptions],
) -> FunctionTool | Callable[[Function], FunctionTool]:
    """Make a tool of a function.

    Async functions run in the session's nursery. Plain functions run in a thread; an interrupt
    abandons the thread, since nothing can stop it.

    Args:
        name: the function's own by default.
        description: the docstring by default.
        options: ``timeout``, ``is_enabled``, ``needs_approval``, ``on_interrupt``,
            ``finish_timeout``, ``format_error``; see :class:`FunctionTool`.

    Raises:
        ConfigurationError: a parameter has no annotation, or one of which no schema can be made.
    """

    def make(function: Function) -> FunctionTool:
        signature = Signature(function, ToolContext)
        return FunctionTool(
            name=name or function_name(function),
            description=description or inspect.getdoc(function),
            parameters=signature.schema(),
            invoke=partial(_invoke, function, signature),
            function=function,
            **options,
        )

    return make if function is None else make(function)


async def _invoke(
    function: Function, signature: Signature, context: ToolContext[Any], arguments: str
) -> Any:
    keywords = signature.keywords(context, arguments)
    if inspect.iscoroutinefunction(function):
        return await function(**keywords)
    return await trio.to_thread.run_sync(partial(function, **keywords), abandon_on_cancel=True)


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
