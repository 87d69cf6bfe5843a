"""What is told to whatever the user declares: to tools, handoffs, conditions, guardrails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import trio

from trio_realtime.items import HistoryItem
from trio_realtime.usage import Usage

ContextT = TypeVar("ContextT")
T = TypeVar("T")
EarlyAnswerCallback: TypeAlias = Callable[["ToolContext[Any]", Any, bool], Awaitable[None]]


@attrs.frozen(kw_only=True)
class AgentContext(Generic[ContextT]):
    """The session's ``context`` and the agent that something is asked about."""

    context: ContextT
    agent: Any


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
        history: the conversation when the call began. What the user said last may still be without
            a transcript: it comes when it comes.
        usage: tokens of the session so far.
        early: how a session takes an early answer; without one, :meth:`answer_early` does nothing.
    """

    context: ContextT
    call_id: str
    tool_name: str
    arguments: str
    agent: Any
    response_id: str
    history: tuple[HistoryItem, ...] = attrs.field(default=(), repr=False)
    usage: Usage = Usage()
    early: EarlyAnswerCallback | None = attrs.field(default=None, repr=False, eq=False)

    async def answer_early(self, value: Any, *, respond: bool = True) -> None:
        """Answer the call now and go on: the conversation need not wait for long work.

        An interrupt then leaves the call alone; only the end of the session cancels it, as ever
        with ``finish_timeout``. What the tool returns in the end is told to the model in a message of
        its own, and spoken of; a ``BackgroundResult`` is told only, and ``None`` is not. Waits for
        the tool's output guardrails. If it is cancelled, nothing was answered.

        From a ``finally`` block of a call that an interrupt has hit, the answer is kept until the
        block has ended: nothing may go on before.

        Args:
            value: told to the model as a result would be.
            respond: whether the model is asked to speak of it.

        Raises:
            UsageError: the call was answered early before, or has ended, perhaps while the guardrails
                were asked. Nothing was answered then.
        """
        await trio.lowlevel.checkpoint()
        if self.early is not None:
            await self.early(self, value, respond)


Condition: TypeAlias = bool | Callable[[AgentContext[Any]], bool | Awaitable[bool]]


async def evaluate(condition: Condition, context: AgentContext[Any]) -> bool:
    """Whether a condition holds now; one that is a function is asked."""
    return bool(await maybe_await(condition(context) if callable(condition) else condition))


async def maybe_await(value: T | Awaitable[T]) -> T:
    """The value, awaited if it has to be: what users declare may be sync or async."""
    if isawaitable(value):
        result: T = await value
        return result
    return value
