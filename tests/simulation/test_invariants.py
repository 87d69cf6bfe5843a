"""Whole sessions with approvals, handoffs, guardrails and early answers, on a virtual clock.

Hypothesis chooses the actions of the user and their times, the responses of the agent, the duration
of guardrails and decisions, and which frames are repeated. The checks read a log of the frames and of
the actions of tools. The numbers of the invariants are those of :mod:`support.invariants`; number 7
is that after the block no task remains.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings, strategies as st

from support.frame_log import Frame, FrameLog, LogEntry
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
from trio_realtime.local import Call, Fail, Pause, Say, Turn, local_connector
from trio_realtime.testing import run_virtual

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


def make_tools(log: FrameLog) -> list[Any]:
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


def make_agent(log: FrameLog, environment: Environment) -> RealtimeAgent[None]:
    @output_guardrail
    async def watch(_about: AgentContext[None], text: str) -> bool:
        log.note("checked", text)
        await trio.sleep(environment.checking)
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


async def decide(session: RealtimeSession[None], log: FrameLog, environment: Environment) -> None:
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


async def watch_events(session: RealtimeSession[None], received: list[Any]) -> None:
    with session.subscribe() as channel:
        async for event in channel:
            received.append(event)  # noqa: PERF401 - keeps the events before a failure


async def perform(
    session: RealtimeSession[None],
    log: FrameLog,
    actions: Sequence[tuple[str, float]],
    nursery: trio.Nursery,
) -> None:
    for number, (action, pause) in enumerate(actions):
        await perform_action(session, log, action, number, nursery)
        await trio.sleep(pause)


async def perform_action(
    session: RealtimeSession[None], log: FrameLog, action: str, number: int, nursery: trio.Nursery
) -> None:
    match action:
        case "write":
            log.note("request", number)
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
            nursery.start_soon(session.interrupt)
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


def drop_user(items: Sequence[Any], number: int) -> list[Any]:
    own = [item for item in items if item.type == "message" and item.role == "user"]
    return [item for item in items if not own or item is not own[number % len(own)]]


async def ask(session: RealtimeSession[None], log: FrameLog, question: str, timeout: float) -> None:
    # It may fail or be interrupted, but it must not hang.
    with contextlib.suppress(errors.RealtimeError), trio.move_on_after(timeout):
        log.note("ask", question)
        await session.ask(question)


# --- what is checked ----------------------------------------------------------------------------


def is_call(frame: Frame) -> bool:
    if frame["type"] != "response.output_item.done":
        return False
    item = frame["item"]
    return bool(item["type"] == "function_call" and item["status"] == "completed")


def is_output(frame: Frame) -> bool:
    if frame["type"] != "conversation.item.create":
        return False
    return bool(frame["item"]["type"] == "function_call_output")


def message_text(frame: Frame) -> str:
    """Return the text of a created message, empty for any other frame."""
    if frame["type"] != "conversation.item.create" or frame["item"]["type"] != "message":
        return ""
    return str(frame["item"]["content"][0]["text"])


def check_calls(log: FrameLog) -> None:
    """Invariants 1 and 2: each call is answered once, and its tool ran to its end at most once."""
    completed = Counter(f["item"]["call_id"] for f in log.frames("in") if is_call(f))
    answered = Counter(f["item"]["call_id"] for f in log.frames("out") if is_output(f))
    assert answered == completed, "invariant 1: not every call has exactly one output"
    started = Counter(entry.about for entry in log.entries if entry.what == "started")
    ended = Counter(entry.about for entry in log.entries if entry.what == "ended")
    assert started == ended, "invariant 2: a tool did not run to its end"
    assert all(times == 1 for times in started.values()), "invariant 2: a call ran twice"
    assert started.keys() <= completed.keys()
    rejected = {entry.about for entry in log.entries if entry.what == "rejected"}
    assert not rejected & started.keys()


def check_creates(log: FrameLog) -> None:
    """Invariant 3: at most one create is outstanding, and each is answered."""
    outstanding: set[str] = set()
    for entry in log.entries:
        match entry:
            case LogEntry(what="out", about={"type": "response.create", "event_id": token}):
                assert not outstanding, "invariant 3: two creates are outstanding"
                outstanding.add(token)
            case LogEntry(
                what="in",
                about={
                    "type": "response.created",
                    "response": {"metadata": {"trio_realtime": token}},
                },
            ):
                outstanding.discard(token)
            case LogEntry(what="in", about={"type": "error", "error": {"event_id": token}}):
                outstanding.discard(token)
            case _:
                pass
    assert not outstanding, "invariant 3: a create was neither accepted nor rejected"


class CreateReasons:
    """Invariant 4: each create has a reason. Calls are a reason once all of their response are answered."""

    def __init__(self) -> None:
        self._reasons: list[float] = []
        self._open_questions: set[str] = set()
        self._question_sent = False
        self._rejected: set[str] = set()
        self._open_calls: dict[str, set[str]] = {}
        self._done_responses: set[str] = set()

    def record(self, entry: LogEntry) -> None:
        match entry:
            case LogEntry(what="request"):
                self._reasons.append(entry.time)
            case LogEntry(what="ask", about=question):
                self._open_questions.add(question)
            case LogEntry(what="in", about=frame):
                self._received(frame, entry.time)
            case LogEntry(what="out", about=frame):
                self._sent(frame, entry.time)
            case _:
                pass

    def _received(self, frame: Frame, time: float) -> None:
        if is_call(frame):
            self._open_calls.setdefault(frame["response_id"], set()).add(frame["item"]["call_id"])
        elif frame["type"] == "response.done":
            self._done_responses.add(frame["response"]["id"])
            self._complete_responses(time)
        elif frame["type"] == "error":
            self._rejected.add(frame["error"]["event_id"])

    def _sent(self, frame: Frame, time: float) -> None:
        text = message_text(frame)
        if is_output(frame):
            for calls in self._open_calls.values():
                calls.discard(frame["item"]["call_id"])
            self._complete_responses(time)
        elif text.startswith(("guardrail triggered", "Result of")):
            self._reasons.append(time)
        elif frame["type"] == "response.create":
            self._check_create(frame["event_id"], time)
        self._question_sent = text in self._open_questions
        self._open_questions.discard(text)

    def _complete_responses(self, time: float) -> None:
        for response_id in [id_ for id_, calls in self._open_calls.items() if not calls]:
            if response_id in self._done_responses:
                del self._open_calls[response_id]
                self._reasons.append(time)

    def _check_create(self, token: str, time: float) -> None:
        if self._question_sent or token in self._rejected:
            return
        assert self._reasons, (
            "invariant 4: a create without a reason, before all calls are answered"
        )
        if not self._open_questions:
            # Requests of the same moment may have been made after the create was queued.
            self._reasons = [moment for moment in self._reasons if moment == time]


def check_reasons(log: FrameLog) -> None:
    reasons = CreateReasons()
    for entry in log.entries:
        reasons.record(entry)


def check_clean_up(log: FrameLog) -> None:
    """Invariant 6: no create while a cancelled tool cleans up, and its answer comes afterwards."""
    late = {f["item"]["call_id"] for f in log.frames("in") if is_call(f) and is_late(f)}
    cleaning: dict[str, float] = {}
    for entry in log.entries:
        match entry:
            case LogEntry(what="cancelled", about=call_id) if call_id not in late:
                cleaning[call_id] = entry.time
            case LogEntry(what="ended", about=call_id):
                cleaning.pop(call_id, None)
            case LogEntry(what="out", about={"type": "response.create"}):
                # A create that was queued at that moment was requested before.
                assert all(since == entry.time for since in cleaning.values()), (
                    "invariant 6: a create while a cancelled tool cleans up"
                )
            case LogEntry(what="out", about=frame) if is_output(frame):
                assert frame["item"]["call_id"] not in cleaning, (
                    "invariant 6: a cancelled call was answered before its tool ended"
                )
            case _:
                pass


def is_late(call: Frame) -> bool:
    """Return whether the call is of the tool with a time limit, whose end nothing waits for."""
    return bool(call["item"]["name"] == "late")


def check_audio(received: Sequence[Any]) -> None:
    """Invariant 5: no audio after its interruption."""
    interrupted: set[str] = set()
    for event in received:
        if isinstance(event, ev.AudioInterrupted):
            interrupted.add(event.response_id)
        elif isinstance(event, ev.Audio):
            assert event.response_id not in interrupted, "invariant 5: audio after its interruption"


def check_replies_were_checked(log: FrameLog, received: Sequence[Any]) -> None:
    """Invariant 13: the guardrail has seen each reply in full, unless it tripped before."""
    texts = {entry.about for entry in log.entries if entry.what == "checked"}
    tripped = {event.response_id for event in events_of(received, ev.GuardrailTripped)}
    for event in events_of(received, ev.ResponseEnd):
        if event.output and event.response_id not in tripped:
            full = any(text.endswith(event.output) for text in texts)
            assert full, "invariant 13: a reply was not checked in full"
            assert BAD not in event.output
    assert all(event.message in texts for event in events_of(received, ev.GuardrailTripped))


def events_of(received: Sequence[Any], kind: type[Any]) -> Iterator[Any]:
    return (event for event in received if isinstance(event, kind))


def check_messages_are_answered(log: FrameLog, actions: Sequence[tuple[str, float]]) -> None:
    """Invariant 3: without interruptions, a requested response follows each message."""
    if any(action in ("interrupt", "speak") for action, _ in actions):
        return
    unanswered: set[str] = set()
    for frame in log.frames("in"):
        match frame:
            case {"type": "conversation.item.added", "item": {"content": [{"text": text}]}}:
                unanswered |= {text} if text.startswith("text ") else set()
            case {"type": "response.created", "response": {"metadata": {"trio_realtime": _}}}:
                unanswered.clear()
            case _:
                pass
    assert not unanswered, "invariant 3: a request for a response was lost"


# --- the sessions -------------------------------------------------------------------------------


async def simulate(actions: Sequence[tuple[str, float]], environment: Environment) -> None:
    wire = local_connector(responder=FixedResponder(environment.answers), pacing=10.0)
    log = FrameLog(wire, late=environment.late)
    received: list[Any] = []
    before = trio.lowlevel.current_statistics().tasks_living
    config = SessionConfig(guardrail_debounce=20, guardrail_audio_gate=environment.gated)
    async with (
        open_realtime_session(
            make_agent(log, environment),
            endpoint=wire.endpoint,
            transport=log.connect,
            config=config,
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(watch_events, session, received)
        nursery.start_soon(decide, session, log, environment)
        with trio.fail_after(300):
            async with trio.open_nursery() as questions:
                await perform(session, log, actions, questions)
            await trio.sleep(2)  # the last audio of the user is still being processed
            await session.drain()
            await trio.sleep(2)  # the last guardrail runs are still in progress
            await session.drain()
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before, "invariant 7: a task remains"
    check_calls(log)
    check_creates(log)
    check_reasons(log)
    check_clean_up(log)
    check_audio(received)
    check_replies_were_checked(log, received)
    check_messages_are_answered(log, actions)


@settings(max_examples=120, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=8), environment=ENVIRONMENTS)
def test_the_invariants_hold_in_whole_sessions(
    actions: list[tuple[str, float]], environment: Environment
) -> None:
    run_virtual(simulate, actions, environment)
