"""Tools: functions that the model may call.

A function's annotations give the JSON Schema of its arguments. The model's arguments are checked
against them strictly; invalid arguments are reported to the model, which usually corrects them.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

import attrs
import trio
from attrs import validators

from trio_realtime._declarations import check_callable, explains
from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import FunctionToolSpec

from ._schema.docstrings import parse_docstring
from ._schema.function_schema import FunctionSchema, check_function, function_name
from ._schema.names import Function
from .contexts import Condition, ToolContext, check_condition, maybe_await
from .guardrails import as_guardrails
from .tool_guardrails import ToolInputGuardrail, ToolOutputGuardrail

MAX_NAME = 64
MAX_THREADS = 40


Invoke: TypeAlias = Callable[[ToolContext[Any], str], Awaitable[Any]]
Approval: TypeAlias = bool | Callable[[ToolContext[Any], dict[str, Any]], bool | Awaitable[bool]]
# Any, because a tool may raise a BaseException such as asyncio's CancelledError.
ErrorFormatter: TypeAlias = Callable[[ToolContext[Any], Any], str | Awaitable[str]]
RejectionFormatter: TypeAlias = Callable[[ToolContext[Any]], str | Awaitable[str]]
InterruptPolicy: TypeAlias = Literal["cancel", "finish", "background"]
TimeoutPolicy: TypeAlias = Literal["answer", "failure"]
FailurePolicy: TypeAlias = Literal["answer", "end_session"]

_threads: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("tool threads")


def check_tool_name(_tool: Any, _attribute: Any, name: Any) -> None:
    """Validate the name of a tool or handoff; an attrs validator.

    Raises:
        ConfigurationError: if the service does not accept the name.
    """
    plain = name.replace("_", "").replace("-", "") if isinstance(name, str) else ""
    if not (plain.isascii() and plain.isalnum() and len(name) <= MAX_NAME):
        raise ConfigurationError(
            f"invalid tool name {name!r}: use up to {MAX_NAME} ASCII letters, digits, '_' and '-'"
        )


def _check_timeout(tool: FunctionTool, attribute: Any, timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(
            f"tool {tool.name!r}: {attribute.name} must be a positive number of seconds, "
            f"got {timeout!r}"
        )


def _check_limiter(tool: FunctionTool, _: Any, limiter: trio.CapacityLimiter | None) -> None:
    if limiter is not None and not isinstance(limiter, trio.CapacityLimiter):
        raise ConfigurationError(
            f"tool {tool.name!r}: limiter must be a trio.CapacityLimiter, got {limiter!r}"
        )


def _check_condition(tool: FunctionTool, _: Any, condition: Any) -> None:
    check_condition(condition, f"is_enabled of tool {tool.name!r}", "context")


def _check_approval(tool: FunctionTool, _: Any, approval: Any) -> None:
    check_condition(approval, f"needs_approval of tool {tool.name!r}", "context", "arguments")


def _check_format_error(tool: FunctionTool, _: Any, format_error: Any) -> None:
    if format_error is not None:
        what = f"format_error of tool {tool.name!r}"
        check_callable(format_error, what, "context", "exception")


def _as_input_guardrails(guardrails: Iterable[Any]) -> tuple[ToolInputGuardrail, ...]:
    return as_guardrails(ToolInputGuardrail, guardrails)


def _as_output_guardrails(guardrails: Iterable[Any]) -> tuple[ToolOutputGuardrail, ...]:
    return as_guardrails(ToolOutputGuardrail, guardrails)


_SDK_NAMES: Mapping[str, str] = {
    "name_override": "write name=",
    "description_override": "write description=",
    "params_json_schema": "write parameters=",
    "on_invoke_tool": "write invoke=",
    "failure_error_function": "write format_error=, or on_failure='end_session' for None",
    "strict_mode": "arguments are always checked against the schema",
    "strict_json_schema": "arguments are always checked against the schema",
    "docstring_style": "docstrings in Google, NumPy and reST style are all parsed",
    "use_docstring_info": "pass description= to replace the docstring",
    "tool_input_guardrails": "write input_guardrails=",
    "tool_output_guardrails": "write output_guardrails=",
    "timeout_seconds": "write timeout=",
    "timeout_behavior": "write on_timeout=",
    "timeout_error_function": "write format_error=",
    "output_type": "the model receives the result as text, which needs no schema",
    "output_json_schema": "the model receives the result as text, which needs no schema",
}
"""Arguments of the agents SDK's ``function_tool`` and ``FunctionTool``."""


@explains(_SDK_NAMES)
@attrs.frozen(kw_only=True, eq=False)
class FunctionTool:
    """A function that the model may call. Usually made by :func:`function_tool`.

    An interruption by the user cancels a running call, unless ``on_interrupt`` says otherwise: write
    ``finally`` blocks as in any trio code. The call is answered after they have run.

    Args:
        name: the tool's name: up to 64 ASCII letters, digits, ``_`` and ``-``.
        description: what the tool does, for the model.
        parameters: the JSON Schema of the arguments object.
        invoke: an async function, called with the :class:`ToolContext` and the arguments as JSON text.
            Its return value is the result; :func:`~trio_realtime.agents.result_text` converts it to
            text. It raises :class:`~trio_realtime.agents.InvalidArguments` if the arguments are
            invalid.
        timeout: seconds after which a call is cancelled and the model is informed; ``None`` for no
            limit.
        is_enabled: whether the model may call the tool; or a function, sync or async, that receives an
            :class:`AgentContext` and decides. It is called when the agent's settings are sent and again
            when the tool is called. A call to a disabled tool is treated as
            a call to an unknown tool.
        needs_approval: whether each call waits for ``session.approve_tool_call``; or a function, sync
            or async, that receives the :class:`ToolContext` and the decoded arguments and decides. If
            the arguments are not a JSON object, it is not called and approval is required.
        on_interrupt: what an interruption does to a running call. ``"cancel"``: the call is cancelled,
            its ``finally`` blocks run, and the model is informed. ``"finish"``: the call continues,
            and the model receives its result without being asked to respond. ``"background"``: the
            call continues, and the model is asked to respond to its result.
        finish_timeout: seconds that a running call may continue when the session ends; ``None`` to
            cancel it at once.
        format_error: a function, sync or async, that receives the :class:`ToolContext` and the
            exception that the tool raised, and returns the text for the model. The exception may be a
            ``BaseException``, such as asyncio's ``CancelledError``. By default the model receives the
            class and text of the exception: make sure that they contain no secrets.
        on_timeout: what exceeding ``timeout`` means. ``"answer"``: the model is informed.
            ``"failure"``: as if the tool had raised :class:`~trio_realtime.errors.ToolTimedOut`.
        on_failure: what happens after the tool raises. ``"answer"``: the model receives the error and
            the session continues. ``"end_session"``: the call is answered, then the session ends with
            :class:`~trio_realtime.errors.ToolFailed`. Invalid arguments are not a failure of the tool.
        input_guardrails: checks of the arguments before the tool runs, made with
            :func:`tool_input_guardrail`.
        output_guardrails: checks of the result before the model receives it, made with
            :func:`tool_output_guardrail`.
        check_input_before_approval: whether to run ``input_guardrails`` also before approval is
            requested, so that calls they block need no decision. They run again after the approval.
        limiter: limits the threads of a plain function; by default all such tools share 40 threads.
        approval_key: identifies the tool for decisions made with ``always=True``. Tools with equal keys
            share such decisions. By default a decision holds only for this very object, so another
            tool of the same name needs its own.
        function: the original function, for tests and direct calls.

    Raises:
        ConfigurationError: if an argument is invalid.
    """

    name: str = attrs.field(validator=check_tool_name)
    description: str | None = attrs.field(default=None, repr=False)
    parameters: Mapping[str, Any] = attrs.field(
        factory=lambda: {"type": "object", "properties": {}}, repr=False
    )
    invoke: Invoke = attrs.field(repr=False)
    timeout: float | None = attrs.field(default=None, validator=_check_timeout)
    is_enabled: Condition = attrs.field(default=True, validator=_check_condition)
    needs_approval: Approval = attrs.field(default=False, validator=_check_approval)
    on_interrupt: InterruptPolicy = attrs.field(
        default="cancel", validator=validators.in_(("cancel", "finish", "background"))
    )
    finish_timeout: float | None = attrs.field(default=None, validator=_check_timeout)
    format_error: ErrorFormatter | None = attrs.field(default=None, validator=_check_format_error)
    on_timeout: TimeoutPolicy = attrs.field(
        default="answer", validator=validators.in_(("answer", "failure"))
    )
    on_failure: FailurePolicy = attrs.field(
        default="answer", validator=validators.in_(("answer", "end_session"))
    )
    input_guardrails: tuple[ToolInputGuardrail, ...] = attrs.field(
        default=(), converter=_as_input_guardrails
    )
    output_guardrails: tuple[ToolOutputGuardrail, ...] = attrs.field(
        default=(), converter=_as_output_guardrails
    )
    check_input_before_approval: bool = False
    limiter: trio.CapacityLimiter | None = attrs.field(
        default=None, validator=_check_limiter, repr=False
    )
    approval_key: Hashable = attrs.field(default=None, repr=False)
    function: Function | None = attrs.field(default=None, repr=False)

    def spec(self) -> FunctionToolSpec:
        """Return the tool's entry in the ``tools`` of the session's settings."""
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
    on_timeout: TimeoutPolicy
    on_failure: FailurePolicy
    input_guardrails: Iterable[ToolInputGuardrail]
    output_guardrails: Iterable[ToolOutputGuardrail]
    check_input_before_approval: bool
    limiter: trio.CapacityLimiter | None


@overload
def function_tool(function: Function, /) -> FunctionTool: ...


@overload
def function_tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Unpack[ToolOptions],
) -> Callable[[Function], FunctionTool]: ...


def function_tool(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Unpack[ToolOptions],
) -> FunctionTool | Callable[[Function], FunctionTool]:
    """Make a tool of a function.

    Use it as a decorator, with or without arguments, or call it with a function, a bound method, a
    ``functools.partial`` or another callable object. What a partial has bound is hidden from the model.

    Async functions run in the session's nursery. Plain functions run in a thread; an interruption
    abandons the thread, because a thread cannot be stopped.

    The annotations of the parameters give the schema of the arguments. The descriptions come from the
    docstring, in Google, NumPy or reST style, or from an annotation such as
    ``Annotated[str, "a city"]``. A parameter annotated with :class:`ToolContext` receives the context
    of the call and is hidden from the model.

    Args:
        function: the function.
        name: the tool's name; the function's name by default.
        description: what the tool does, for the model; by default the docstring without its sections.
        parameters: the JSON Schema of the arguments object, instead of one made of the annotations. Only
            the names of the arguments are checked then, and the function receives the values of JSON.
        options: the other arguments of :class:`FunctionTool`, such as ``timeout`` and
            ``needs_approval``.

    Raises:
        ConfigurationError: if no tool can be made of the function, for example because a parameter has
            no annotation or its type has no JSON Schema. The message says what to change.
    """

    def make(function: Function) -> FunctionTool:
        check_function(function)
        tool_name = name or function_name(function)
        if tool_name == "<lambda>":
            raise ConfigurationError("a lambda has no name: pass name= to function_tool")
        schema = FunctionSchema(function, tool_name, ToolContext, parameters)
        return FunctionTool(
            name=tool_name,
            description=description or parse_docstring(function).description,
            parameters=schema.json_schema(),
            invoke=partial(_invoke, function, schema, options.get("limiter")),
            function=function,
            **options,
        )

    return make if function is None else make(function)


async def _invoke(
    function: Function,
    schema: FunctionSchema,
    limiter: trio.CapacityLimiter | None,
    context: ToolContext[Any],
    arguments: str,
) -> Any:
    kwargs = schema.decode_arguments(context, arguments)
    if inspect.iscoroutinefunction(function):
        return await function(**kwargs)
    (result,) = await trio.to_thread.run_sync(
        _call_in_tuple, function, kwargs, abandon_on_cancel=True, limiter=limiter or _tool_threads()
    )
    # A plain function may return an awaitable: a wrapper, or an object's `__call__`.
    return await maybe_await(result)


def _call_in_tuple(function: Function, kwargs: dict[str, Any]) -> tuple[Any]:
    """Return the result in a tuple, because `trio.to_thread.run_sync` rejects coroutines."""
    return (function(**kwargs),)


def _tool_threads() -> trio.CapacityLimiter:
    """Return the limiter that all tools share.

    It is not trio's default one, so that tools cannot use up the application's threads.
    """
    try:
        return _threads.get()
    except LookupError:
        limiter = trio.CapacityLimiter(MAX_THREADS)
        _threads.set(limiter)
        return limiter
