"""Tools that run in the client of a session, such as a web page: the client sends their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, final

import attrs
import trio

from trio_realtime import FunctionTool, ToolContext
from trio_realtime.agents import InvalidArguments, decode_arguments
from trio_realtime.agents.arguments import arguments_text
from trio_realtime.errors import UsageError
from trio_realtime.server.rpc.run_events import ToolResultRequired

__all__ = ["ClientCalls", "client_tool"]


def client_tool(
    name: str,
    *,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = 60.0,
    **options: Any,
) -> FunctionTool:
    """Return a tool that the client of a :class:`.ManagedSession` runs.

    A ``tool_result_required`` event has the arguments of a call. The client, or the backend, answers it with the
    message ``tool_result`` or with :meth:`.ManagedSession.answer_tool_call`.

    Args:
        name: the tool's name.
        description: what the tool does, for the model.
        parameters: the JSON Schema of the arguments, an object. The client checks that arguments match it.
        timeout: seconds that the client has; then the model is informed. ``None`` for no limit.
        options: other arguments of :class:`~trio_realtime.FunctionTool`, such as ``needs_approval``.

    Raises:
        ConfigurationError: an argument is not valid.
    """
    given: dict[str, Any] = {} if parameters is None else {"parameters": parameters}
    return FunctionTool(
        name=name,
        description=description,
        invoke=_ask_client,
        timeout=timeout,
        format_error=options.pop("format_error", _text_of),
        **given,
        **options,
    )


class _FailedInClient(Exception):
    """The client has sent an error as the result of a call."""


def _text_of(ctx: ToolContext[Any], exc: BaseException) -> str:
    return str(exc) if isinstance(exc, _FailedInClient) else f"Tool {ctx.tool_name} failed."


async def _ask_client(ctx: ToolContext[Any], arguments: str) -> str:
    try:
        decode_arguments(arguments, ctx.tool_name)
    except InvalidArguments:
        raise InvalidArguments("the arguments must be a JSON object") from None
    calls = _CALLS.get(None)
    if calls is None:
        raise UsageError(f"the tool {ctx.tool_name} runs in a client: use it in a ManagedSession")
    return await calls.ask(ctx.call_id, ctx.tool_name, arguments_text(arguments))


@attrs.define(eq=False)
class _Waiting:
    """A call that waits for its result."""

    answered: trio.Event = attrs.field(factory=trio.Event)
    output: str = ""
    is_error: bool = False


@final
class ClientCalls:
    """The calls of one session that its client has not answered.

    Args:
        announce: emits the event that asks the client.
    """

    def __init__(self, announce: Callable[[ToolResultRequired], None]) -> None:
        self._announce = announce
        self._waiting: dict[str, _Waiting] = {}

    def enter(self) -> None:
        """Let the tools that the current task and its later children call find this object."""
        _CALLS.set(self)

    async def ask(self, call_id: str, tool_name: str, arguments: str) -> str:
        """Ask the client, and wait for its result. Cancellation forgets the call."""
        waiting = self._waiting[call_id] = _Waiting()
        try:
            self._announce(
                ToolResultRequired(call_id=call_id, tool_name=tool_name, arguments=arguments)
            )
            await waiting.answered.wait()
        finally:
            del self._waiting[call_id]
        if waiting.is_error:
            raise _FailedInClient(waiting.output)
        return waiting.output

    def answer(self, call_id: str, output: str, *, is_error: bool) -> bool:
        """Give a call its result. Returns whether it was waiting: the first answer counts."""
        waiting = self._waiting.get(call_id)
        if waiting is None or waiting.answered.is_set():
            return False
        waiting.output, waiting.is_error = output, is_error
        waiting.answered.set()
        return True


_CALLS: Final = ContextVar[ClientCalls]("trio_realtime client calls")
