"""The contexts passed to the user's tools, handoffs, conditions, guardrails and hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from inspect import isawaitable
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import trio

from trio_realtime._declarations import check_callable
from trio_realtime.errors import ConfigurationError
from trio_realtime.items import HistoryItem
from trio_realtime.usage import Usage

ContextT = TypeVar("ContextT")
T = TypeVar("T")
ReadItems: TypeAlias = Callable[[], Sequence[HistoryItem]]
EarlyAnswerCallback: TypeAlias = Callable[["ToolContext[Any]", Any, bool], Awaitable[None]]


@attrs.frozen(kw_only=True)
class AgentContext(Generic[ContextT]):
    """The context of everything that concerns an agent but not a single call.

    Instructions, conditions, guardrails, hooks and ``on_handoff`` receive it.

    Attributes:
        context: the object passed as ``context`` to
            :func:`~trio_realtime.open_realtime_session`.
        agent: the agent concerned.
    """

    context: ContextT
    agent: Any


@attrs.frozen(kw_only=True)
class ToolContext(Generic[ContextT]):
    """The context of one tool call.

    A parameter of a tool annotated with this class receives it, and is hidden from the model. To test
    a tool, create one and pass it to the function.

    Attributes:
        context: the object passed as ``context`` to
            :func:`~trio_realtime.open_realtime_session`.
        call_id: the service's id of the call, unique in the session.
        tool_name: the tool's name.
        arguments: the arguments as the model sent them, as JSON text.
        agent: the agent that was current when the response began.
        response_id: the id of the response that made the call.
        history: the conversation when the tool first reads this attribute. A tool that reads it later
            gets the same items. The user's last message may not have a transcript yet, because
            transcription can finish later. To create a context, pass the items.
        usage: the tokens used in the session so far.
    """

    context: ContextT
    call_id: str
    tool_name: str
    arguments: str
    agent: Any
    response_id: str
    _history: Sequence[HistoryItem] | ReadItems = attrs.field(
        default=(), alias="history", repr=False
    )
    usage: Usage = Usage()
    # The session sets it to receive early answers. Without it, answer_early does nothing.
    early: EarlyAnswerCallback | None = attrs.field(default=None, repr=False, eq=False)

    @cached_property
    def history(self) -> Sequence[HistoryItem]:
        """The conversation when the tool first reads this attribute."""
        # Not read before it is needed: each call would hold the items of its time.
        return self._history() if callable(self._history) else self._history

    async def answer_early(self, value: Any, *, respond: bool = True) -> None:
        """Answer the call now, so that the conversation continues while the tool goes on working.

        After an early answer, an interruption no longer cancels the call. Only the end of the session
        does, after ``finish_timeout`` if the tool has one. The value that the tool finally returns is
        sent to the model in a separate message, and the model is asked to respond to it. Return a
        ``BackgroundResult`` to send it without asking for a response, or ``None`` to send nothing.

        The method waits for the tool's output guardrails. If it is cancelled, the call has not been
        answered. If an interruption is already cancelling the call, as in a ``finally`` block, the
        answer is sent once the tool has ended.

        Args:
            value: the answer, converted to text like a tool's result.
            respond: whether to ask the model to respond to the answer.

        In a context that you created for a test, it does nothing.

        Raises:
            UsageError: if the call was already answered early, or if it has ended, which can happen
                while the guardrails run. The answer was not sent.
        """
        await trio.lowlevel.checkpoint()
        if self.early is not None:
            await self.early(self, value, respond)


Condition: TypeAlias = bool | Callable[[AgentContext[Any]], bool | Awaitable[bool]]


def check_condition(condition: Any, what: str, *parameters: str) -> None:
    """Check a bool, or a function that is called with these arguments and returns one.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(condition, bool):
        return
    if not callable(condition):
        raise ConfigurationError(f"{what} must be a bool or a function, got {condition!r:.80}")
    check_callable(condition, what, *parameters)


async def evaluate(condition: Condition, context: AgentContext[Any]) -> bool:
    """Return whether a condition is true, calling it if it is a function."""
    return bool(await maybe_await(condition(context) if callable(condition) else condition))


async def maybe_await(value: T | Awaitable[T]) -> T:
    """Return the value, awaiting it first if it is awaitable: callbacks may be sync or async."""
    if isawaitable(value):
        result: T = await value
        return result
    return value
