"""Functions that the model may call.

The JSON Schema of the arguments comes from the annotations, which also check what the model sends,
strictly: a wrong argument is answered with a message that the model can use.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, overload

import attrs
import trio
from attrs import validators

from trio_realtime.errors import ConfigurationError
from trio_realtime.wire import FunctionToolSpec

from ._schema.docstrings import documentation
from ._schema.function_schema import Function, FunctionSchema, check_function, function_name
from .contexts import Condition, ToolContext, maybe_await
from .guardrails import guardrails_of
from .tool_guardrails import ToolInputGuardrail, ToolOutputGuardrail

MAX_NAME = 64
MAX_THREADS = 40


Invoke: TypeAlias = Callable[[ToolContext[Any], str], Awaitable[Any]]
Approval: TypeAlias = bool | Callable[[ToolContext[Any], dict[str, Any]], bool | Awaitable[bool]]
# Any, because of what is no Exception and can fail all the same: asyncio's CancelledError, say.
ErrorFormatter: TypeAlias = Callable[[ToolContext[Any], Any], str | Awaitable[str]]
RejectionFormatter: TypeAlias = Callable[[ToolContext[Any]], str | Awaitable[str]]
InterruptPolicy: TypeAlias = Literal["cancel", "finish", "background"]
TimeoutPolicy: TypeAlias = Literal["answer", "failure"]
FailurePolicy: TypeAlias = Literal["answer", "end_session"]

_threads: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("tool threads")


def check_tool_name(_tool: Any, _attribute: Any, name: Any) -> None:
    """See that the service will take a name: a validator of tools and handoffs.

    Raises:
        ConfigurationError: it will not.
    """
    plain = name.replace("_", "").replace("-", "") if isinstance(name, str) else ""
    if not (plain.isascii() and plain.isalnum() and len(name) <= MAX_NAME):
        raise ConfigurationError(
            f"tool name {name!r}: use up to {MAX_NAME} letters, digits, '_' and '-'"
        )


def _check_timeout(tool: FunctionTool, _attribute: Any, timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(f"tool {tool.name!r}: timeout must be positive seconds")


def _check_limiter(tool: FunctionTool, _: Any, limiter: trio.CapacityLimiter | None) -> None:
    if limiter is not None and not isinstance(limiter, trio.CapacityLimiter):
        raise ConfigurationError(f"tool {tool.name!r}: limiter is a trio.CapacityLimiter")


def _inputs(guardrails: Iterable[Any]) -> tuple[ToolInputGuardrail, ...]:
    return guardrails_of(ToolInputGuardrail, guardrails)


def _outputs(guardrails: Iterable[Any]) -> tuple[ToolOutputGuardrail, ...]:
    return guardrails_of(ToolOutputGuardrail, guardrails)


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
        on_timeout: whether a call that took too long is just answered so, or counts as a
            ``"failure"``: as if the tool had raised :class:`~trio_realtime.errors.ToolTimedOut`.
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
        format_error: makes the answer from an exception of the tool, which may be one that is no
            ``Exception``, such as asyncio's ``CancelledError``. By default the model is told the
            exception's class and text: see that nothing secret is in it.
        on_failure: whether a failure is just answered, or answered and then ``"end_session"``: with
            :class:`~trio_realtime.errors.ToolFailed`, for consumers as for whoever sends. Arguments
            that are wrong are the model's failure, not the tool's.
        input_guardrails: checks of the arguments before the tool runs, made with
            :func:`tool_input_guardrail`.
        output_guardrails: checks of the result before the model is told, made with
            :func:`tool_output_guardrail`.
        check_input_before_approval: whether ``input_guardrails`` are asked before a person is, and then
            once more after.
        limiter: what counts the thread of a plain function, in place of the 40 threads that all such
            tools share.
        approval_key: what a decision for good about it is kept under; by default this very object,
            so that another tool of the same name is asked about for itself.
        function: the function that it was made of, for tests and for calling it yourself.

    A call is cancelled when the user interrupts: write ``finally`` blocks as in any trio code. The
    call is answered after they have run.
    """

    name: str = attrs.field(validator=check_tool_name)
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
    on_timeout: TimeoutPolicy = attrs.field(
        default="answer", validator=validators.in_(("answer", "failure"))
    )
    on_failure: FailurePolicy = attrs.field(
        default="answer", validator=validators.in_(("answer", "end_session"))
    )
    input_guardrails: tuple[ToolInputGuardrail, ...] = attrs.field(default=(), converter=_inputs)
    output_guardrails: tuple[ToolOutputGuardrail, ...] = attrs.field(default=(), converter=_outputs)
    check_input_before_approval: bool = False
    limiter: trio.CapacityLimiter | None = attrs.field(
        default=None, validator=_check_limiter, repr=False
    )
    approval_key: Hashable = attrs.field(default=None, repr=False)
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
    abandons the thread, since nothing can stop it. Parameters are described by the docstring (in
    Google's, NumPy's or reST's style), or each by its annotation: ``Annotated[str, "a city"]``.

    Args:
        name: the function's own by default.
        description: the docstring by default, without its sections on parameters and the like.
        options: as the arguments of :class:`FunctionTool`.

    What a ``functools.partial`` has bound is not the model's: it neither sees nor changes it.

    Raises:
        ConfigurationError: a parameter has no annotation, or one of which no schema can be made; or
            this is no function of which a tool can be made. The message says what to mend.
    """

    def make(function: Function) -> FunctionTool:
        check_function(function)
        called = name or function_name(function)
        signature = FunctionSchema(function, called, ToolContext)
        return FunctionTool(
            name=called,
            description=description or documentation(function).description,
            parameters=signature.schema(),
            invoke=partial(_invoke, function, signature, options.get("limiter")),
            function=function,
            **options,
        )

    return make if function is None else make(function)


async def _invoke(
    function: Function,
    signature: FunctionSchema,
    limiter: trio.CapacityLimiter | None,
    context: ToolContext[Any],
    arguments: str,
) -> Any:
    keywords = signature.keywords(context, arguments)
    if inspect.iscoroutinefunction(function):
        return await function(**keywords)
    (result,) = await trio.to_thread.run_sync(
        _in_tuple, function, keywords, abandon_on_cancel=True, limiter=limiter or _tool_threads()
    )
    # A plain function may be one that makes an async call: a wrapper, an object's ``__call__``.
    return await maybe_await(result)


def _in_tuple(function: Function, keywords: dict[str, Any]) -> tuple[Any]:
    """Call it. In a tuple, because trio lets no coroutine out of a thread."""
    return (function(**keywords),)


def _tool_threads() -> trio.CapacityLimiter:
    """The threads of all tools: not trio's own, which the application may need meanwhile."""
    try:
        return _threads.get()
    except LookupError:
        limiter = trio.CapacityLimiter(MAX_THREADS)
        _threads.set(limiter)
        return limiter
