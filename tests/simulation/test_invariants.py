"""Whole sessions with approvals, handoffs, guardrails and early answers, on a virtual clock.

Hypothesis chooses the actions of the user and their times, the responses of the agent, the duration
of guardrails and decisions, and which frames are repeated. The checks read a log of the frames and of
the actions of tools. They are those of :mod:`trio_realtime.testing.simulation`, which lists the
invariants.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings, strategies as st

from trio_realtime import (
    AgentContext,
    BackgroundResult,
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    ToolContext,
    errors,
    events as ev,
    function_tool,
    handoff,
    open_realtime_session,
    output_guardrail,
)
from trio_realtime.local import Call, Fail, Pause, Say, ServerConfig, Turn
from trio_realtime.testing import TEST_ENDPOINT, run_virtual
from trio_realtime.testing.simulation import Log, Network
from trio_realtime.testing.simulation.checks import (
    AudioCheck,
    CallCheck,
    CreateCheck,
    CreateReasons,
    GuardrailCheck,
    InterruptionCheck,
    RequestCheck,
)

pytestmark = pytest.mark.slow

SPEECH = b"\x00\x40\x00\xc0" * 12 * 700  # 700 ms
SILENCE = bytes(48 * 700)
BAD = "forbidden"
CLEAN_UP = 0.2

ANSWERS: tuple[tuple[Any, ...], ...] = (
    (Say("Yes."),),
    (Say("A long story that goes on and on.", audio_ms=4000),),
    (Say(f"Something {BAD} is said here, and then some more.", audio_ms=2000),),
    (Say("Listen."), Say(f"It is {BAD}."), Call("quick")),
    (Call("quick"), Call("slow"), Call("pay")),
    (Call("slow"), Call("failing"), Call("late")),
    (Say("One moment."), Call("slow")),
    (Call("early"), Call("quick")),
    (Call("quiet"),),
    (Call("pay"), Call("pay")),
    (Call("books"), Call("unknown")),
    (Call("transfer_to_other"), Call("slow")),
    (Pause(0.4), Say("After a thought.", audio_ms=900)),
    (Fail("server_error", "sorry"),),
)


class FixedResponder:
    """Responds with the given answers in order, then with a short one."""

    def __init__(self, answers: Sequence[tuple[Any, ...]]) -> None:
        self._answers = list(answers)

    def respond(self, turn: Turn) -> tuple[Any, ...]:
        return self._answers.pop(0) if self._answers else ANSWERS[0]


@attrs.frozen(kw_only=True)
class Environment:
    """The behavior of everything except the user.

    Attributes:
        answers: The responses of the agent.
        checking: The seconds that the guardrail takes.
        gated: Whether audio waits for the guardrail.
        deciding: The seconds until a call is decided. Every second call is rejected.
        late: A seed for repeated frames, ``None`` for none.
    """

    answers: tuple[tuple[Any, ...], ...]
    checking: float
    gated: bool
    deciding: float
    late: int | None


ENVIRONMENTS = st.builds(
    Environment,
    answers=st.lists(st.sampled_from(ANSWERS), max_size=8).map(tuple),
    checking=st.sampled_from((0.0, 0.1, 1.0)),
    gated=st.booleans(),
    deciding=st.sampled_from((0.0, 0.5, 2.0)),
    late=st.none() | st.integers(0, 99),
)
ACTIONS = st.tuples(
    st.sampled_from(
        (
            "write",
            "write quietly",
            "ask",
            "ask briefly",
            "speak",
            "interrupt",
            "other agent",
            "settings",
            "edit",
            "nothing",
        )
    ),
    st.sampled_from((0.0, 0.05, 0.3, 1.0, 3.0)),
)


# --- the agent and the application --------------------------------------------------------------


def make_tools(log: Log) -> list[Any]:
    @contextlib.asynccontextmanager
    async def logged(context: ToolContext[None]) -> AsyncGenerator[None]:
        log.note("started", context.call_id)
        try:
            yield
        except trio.Cancelled:
            log.note("cancelled", context.call_id)
            raise
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(CLEAN_UP)
            log.note("ended", context.call_id)

    async def quick(context: ToolContext[None]) -> str:
        async with logged(context):
            return "done"

    async def slow(context: ToolContext[None]) -> str:
        async with logged(context):
            await trio.sleep(2.5)
        return "done at last"

    async def failing(context: ToolContext[None]) -> None:
        async with logged(context):
            await trio.sleep(0.1)
            raise RuntimeError("no luck")

    async def early(context: ToolContext[None]) -> str:
        async with logged(context):
            await trio.sleep(0.2)
            await context.answer_early("it will take a while")
            log.note("answered early", context.call_id)
            await trio.sleep(2)
        return "done at last"

    async def quiet(context: ToolContext[None]) -> BackgroundResult:
        async with logged(context):
            await trio.sleep(0.5)
        return BackgroundResult("noted")

    return [
        function_tool(quick),
        function_tool(slow),
        function_tool(failing),
        function_tool(early),
        function_tool(quiet),
        function_tool(name="late", timeout=0.7)(slow),
        function_tool(name="pay", needs_approval=True)(slow),
        function_tool(name="books", on_interrupt="background")(slow),
    ]


def make_agent(log: Log, environment: Environment) -> RealtimeAgent[None]:
    @output_guardrail
    async def watch(_about: AgentContext[None], text: str) -> bool:
        log.note("check", text)
        await trio.sleep(environment.checking)
        log.note("verdict", (text, BAD in text))
        return BAD in text

    async def on_handoff(_context: AgentContext[None]) -> None:
        await trio.sleep(0.3)

    tools = make_tools(log)
    other = RealtimeAgent[None](
        name="other", instructions="other", tools=tools, output_guardrails=[watch]
    )
    return RealtimeAgent(
        name="first",
        instructions="first",
        tools=tools,
        handoffs=[handoff(other, on_handoff=on_handoff)],
        output_guardrails=[watch],
    )


async def decide(session: RealtimeSession[None], log: Log, environment: Environment) -> None:
    with session.subscribe(ev.ToolApprovalRequired) as channel:
        number = 0
        async for event in channel:
            assert isinstance(event, ev.ToolApprovalRequired)
            number += 1
            await trio.sleep(environment.deciding)
            if number % 2:
                await session.approve_tool_call(event.call_id)
            else:
                log.note("rejected", event.call_id)
                await session.reject_tool_call(event.call_id)


async def watch_events(session: RealtimeSession[None], log: Log) -> None:
    with session.subscribe() as channel:
        async for event in channel:
            log.note("event", ("main", event))


async def perform(
    session: RealtimeSession[None],
    log: Log,
    actions: Sequence[tuple[str, float]],
    nursery: trio.Nursery,
) -> None:
    for number, (action, pause) in enumerate(actions):
        await perform_action(session, log, action, number, nursery)
        await trio.sleep(pause)


async def perform_action(
    session: RealtimeSession[None], log: Log, action: str, number: int, nursery: trio.Nursery
) -> None:
    match action:
        case "write":
            log.note("request", f"text {number}")
            await session.send_message(f"text {number}")
        case "write quietly":
            await session.send_message(f"note {number}", respond=False)
        case "ask" | "ask briefly":
            timeout = 0.4 if action == "ask briefly" else float("inf")
            nursery.start_soon(ask, session, log, f"question {number}", timeout)
        case "speak":
            await session.send_audio(SPEECH)
            await session.send_audio(SILENCE)
        case "interrupt":
            nursery.start_soon(interrupt, session, log, number)
        case "other agent":
            # The waiting task may be cancelled. The change takes place all the same.
            with trio.move_on_after(0.0 if number % 2 else 5):
                await session.update_agent(attrs.evolve(session.current_agent, name=f"a{number}"))
        case "settings":
            # The service rejects these settings.
            with contextlib.suppress(errors.SettingsRejected):
                await session.update_settings(voice="unknown", max_output_tokens=0)
        case "edit":
            with contextlib.suppress(errors.RealtimeError):
                await session.update_history(lambda items: drop_user(items, number))
        case _:
            pass


async def interrupt(session: RealtimeSession[None], log: Log, number: int) -> None:
    log.note("interrupting", number)
    await session.interrupt()
    log.note("stopped", number)
    log.note("interrupted", number)


def drop_user(items: Sequence[Any], number: int) -> list[Any]:
    own = [item for item in items if item.type == "message" and item.role == "user"]
    return [item for item in items if not own or item is not own[number % len(own)]]


async def ask(session: RealtimeSession[None], log: Log, question: str, timeout: float) -> None:
    # It may fail or be interrupted, but it must not hang.
    with contextlib.suppress(errors.RealtimeError), trio.move_on_after(timeout):
        log.note("ask", question)
        await session.ask(question)


# --- the sessions -------------------------------------------------------------------------------


def observe(log: Log, environment: Environment) -> None:
    """Check the invariants of calls, requests, interruptions and guardrails at each step."""
    CallCheck(log)
    CreateCheck(log)
    RequestCheck(log)
    CreateReasons(log)
    AudioCheck(log)
    InterruptionCheck(log, protected={"books"}, timed={"late"})
    GuardrailCheck(log, gated=environment.gated)


async def simulate(actions: Sequence[tuple[str, float]], environment: Environment) -> None:
    log = Log()
    observe(log, environment)
    server = ServerConfig(responder=FixedResponder(environment.answers), pacing=10.0)
    network = Network(log, server, repeat=environment.late)
    before = trio.lowlevel.current_statistics().tasks_living
    config = SessionConfig(guardrail_debounce=20, guardrail_audio_gate=environment.gated)
    async with (
        open_realtime_session(
            make_agent(log, environment),
            endpoint=TEST_ENDPOINT,
            transport=network.connect,
            config=config,
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(watch_events, session, log)
        nursery.start_soon(decide, session, log, environment)
        with trio.fail_after(300):
            async with trio.open_nursery() as questions:
                await perform(session, log, actions, questions)
            await trio.sleep(2)  # the last audio of the user is still being processed
            await session.drain()
            await trio.sleep(2)  # the last guardrail runs are still in progress
            await session.drain()
        log.note("quiet")
        nursery.cancel_scope.cancel()
    log.note("left")
    assert trio.lowlevel.current_statistics().tasks_living == before, "invariant 7: a task remains"
    if log.violation is not None:
        raise log.violation


@settings(max_examples=120, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=8), environment=ENVIRONMENTS)
def test_the_invariants_hold_in_whole_sessions(
    actions: list[tuple[str, float]], environment: Environment
) -> None:
    run_virtual(simulate, actions, environment)
