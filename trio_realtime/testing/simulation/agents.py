"""The agents of a simulated session: their tools, guardrails and handoffs.

They are declared once. What belongs to one session is in the session's context, a :class:`Cast`. The
arguments of a call say how long its tool takes, and for how long it ignores a cancellation, so that the
plan decides it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

import attrs
import trio

from trio_realtime import (
    AgentContext,
    BackgroundResult,
    FunctionTool,
    GuardrailResult,
    RealtimeAgent,
    RealtimeSession,
    ToolContext,
    errors,
    function_tool,
    handoff,
    input_guardrail,
    output_guardrail,
    tool_input_guardrail,
    tool_output_guardrail,
)

from .log import Log
from .plan import FORBIDDEN, Check

__all__ = ["FINISH_TIMEOUT", "FIRST_AGENT", "GUARDRAIL_TIMEOUT", "PROTECTED", "Cast"]

FINISH_TIMEOUT: Final = 0.6
"""Seconds for which the tool ``last_words`` may go on when the session ends."""
GUARDRAIL_TIMEOUT: Final = 5.0
"""Seconds after which a check that hangs is given up."""
PROTECTED: Final = frozenset({"finishing", "background"})
"""The tools that an interruption does not cancel."""


@attrs.define(eq=False)
class Cast:
    """The context of a simulated session: what its tools and guardrails need.

    Args:
        log: the log of what they do.
        checks: how the guardrails behave, in order.
        session: the session, once it is open.
    """

    log: Log = attrs.field(repr=False)
    checks: deque[Check] = attrs.field(repr=False)
    session: RealtimeSession[Cast] | None = attrs.field(default=None, repr=False)
    _count: int = 0

    def number(self) -> int:
        """Return a number that no other message of a tool has."""
        self._count += 1
        return self._count

    @property
    def open_session(self) -> RealtimeSession[Cast]:
        """The session."""
        assert self.session is not None
        return self.session

    async def behave(self) -> None:
        """Behave as the next check of the plan says."""
        check = self.checks.popleft() if self.checks else Check()
        await trio.sleep(check.seconds)
        if check.fails:
            raise LookupError("the guardrail has failed")


Context: TypeAlias = ToolContext[Cast]
_Body: TypeAlias = Callable[[Context, float], Awaitable[Any]]


# --- guardrails


@output_guardrail(timeout=GUARDRAIL_TIMEOUT)
async def watch(context: AgentContext[Cast], text: str) -> GuardrailResult:
    """Check what the agent says."""
    log = context.context.log
    log.note("check", text)
    trips = FORBIDDEN in text
    verdict: bool | None = None
    try:
        await context.context.behave()
        verdict = trips
    finally:
        log.note("verdict", (text, verdict))
    return GuardrailResult(trips, feedback="say something else")


@input_guardrail(timeout=GUARDRAIL_TIMEOUT)
async def listen(context: AgentContext[Cast], text: str) -> bool:
    """Check what the user says."""
    await context.context.behave()
    return FORBIDDEN in text


@tool_input_guardrail
async def check_input(_context: Context, arguments: dict[str, Any]) -> bool:
    """Check the arguments of a call."""
    await trio.sleep(0.05)
    return bool(arguments.get("seconds") == 0.0)


@tool_output_guardrail
async def check_output(_context: Context, _output: Any) -> bool:
    """Check the result of a call."""
    await trio.sleep(0.05)
    return False


# --- tools


@asynccontextmanager
async def _logged(context: Context, clean_up: float) -> AsyncGenerator[None]:
    log, call_id = context.context.log, context.call_id
    log.note("started", call_id)
    try:
        yield
    except trio.Cancelled:
        log.note("cancelled", call_id)
        raise
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(clean_up)
        log.note("ended", call_id)


async def _work(_context: Context, seconds: float) -> str:
    await trio.sleep(seconds)
    return "done"


async def _work_long(_context: Context, seconds: float) -> str:
    await trio.sleep(2 * seconds)
    return "done"


async def _return(_context: Context, seconds: float) -> str:
    return f"done in {seconds}"


async def _fail(_context: Context, seconds: float) -> None:
    await trio.sleep(seconds)
    raise LookupError("no luck")


async def _stay_quiet(_context: Context, seconds: float) -> BackgroundResult:
    await trio.sleep(seconds)
    return BackgroundResult("noted")


async def _answer_early(context: Context, seconds: float) -> str:
    await trio.sleep(0.1)
    await context.answer_early("it takes a while")
    context.context.log.note("answered early", context.call_id)
    await trio.sleep(seconds)
    return "done at last"


async def _talk(context: Context, seconds: float) -> str:
    session, number = context.context.open_session, context.context.number()
    # A question inside a tool fails if the session ends or the answer is interrupted.
    with suppress(errors.RealtimeError):
        if seconds < 0.3:
            await session.send_message(f"note of a tool {number}", respond=False)
        else:
            context.context.log.note("ask", f"question of a tool {number}")
            await session.ask(f"question of a tool {number}")
    return "done"


async def _interrupt(context: Context, seconds: float) -> str:
    await trio.sleep(seconds)
    context.context.log.note("interrupting", context.call_id)
    try:
        await context.context.open_session.interrupt()
    finally:
        context.context.log.note("interrupted", context.call_id)
    return "interrupted"


async def _hang_up(context: Context, _seconds: float) -> str:
    log = context.context.log
    log.note("answered early", context.call_id)
    log.note("request", "goodbye")
    # The goodbye may be interrupted, refused or fail. Then the session goes on.
    with suppress(errors.PeerError):
        if await context.context.open_session.end_call():
            log.note("ending", "end call")
    return "the user goes on"


def _tool(body: _Body, **options: Any) -> FunctionTool:
    async def run(context: ToolContext[Any], seconds: float, clean_up: float = 0.0) -> Any:
        async with _logged(context, clean_up):
            return await body(context, seconds)

    return function_tool(**options)(run)


_TOOLS: Final = (
    _tool(_work, name="work"),
    _tool(_return, name="quick"),
    _tool(_fail, name="failing"),
    _tool(_work_long, name="too_slow", timeout=0.7),
    _tool(_work, name="finishing", on_interrupt="finish"),
    _tool(_work, name="background", on_interrupt="background"),
    _tool(_work, name="last_words", finish_timeout=FINISH_TIMEOUT),
    _tool(_answer_early, name="early"),
    _tool(_stay_quiet, name="quiet"),
    _tool(_work, name="paying", needs_approval=True),
    _tool(
        _work,
        name="guarded",
        needs_approval=True,
        check_input_before_approval=True,
        input_guardrails=[check_input],
        output_guardrails=[check_output],
    ),
    _tool(_talk, name="talking"),
    _tool(_interrupt, name="interrupting"),
    _tool(_hang_up, name="hanging_up"),
)


# --- agents


def make_agent(name: str, **options: Any) -> RealtimeAgent[Any]:
    """Return an agent with all tools and guardrails."""
    return RealtimeAgent(
        name=name,
        instructions=name,
        tools=_TOOLS,
        output_guardrails=[watch],
        input_guardrails=[listen],
        **options,
    )


async def _prepare(_context: AgentContext[Cast]) -> None:
    await trio.sleep(0.3)


async def _refuse(_context: AgentContext[Cast]) -> None:
    await trio.sleep(0.1)
    raise LookupError("the handoff is refused")


FIRST_AGENT: Final[RealtimeAgent[Any]] = make_agent(
    "first",
    handoffs=[
        handoff(make_agent("other"), on_handoff=_prepare),
        handoff(make_agent("refused", voice="no-such-voice")),
        handoff(make_agent("broken"), on_handoff=_refuse),
    ],
)
"""The agent that a simulated session begins with."""
REFUSED_AGENT: Final[RealtimeAgent[Any]] = make_agent("refused", voice="no-such-voice")
"""An agent whose settings the server refuses."""
