"""Whole sessions again, with all that an agent may have: approvals, handoffs, guardrails, early answers.

Hypothesis says what the user does and when, what the agent answers, how long a guardrail takes and
what it trips on, who is cancelled, and which frames come twice. What is checked is the line of time
of the wire and of the tools. Numbers are those of the design's list of invariants.
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
    (Call("books"), Call("nobody")),
    (Call("transfer_to_other"), Call("slow")),
    (Pause(0.4), Say("After a thought.", audio_ms=900)),
    (Fail("server_error", "sorry"),),
)


class FixedResponder:
    """Answers with what was chosen, in turn, and then with a plain word."""

    def __init__(self, answers: Sequence[tuple[Any, ...]]) -> None:
        self._answers = list(answers)

    def respond(self, turn: Turn) -> tuple[Any, ...]:
        return self._answers.pop(0) if self._answers else ANSWERS[0]


@attrs.frozen(kw_only=True)
class Setting:
    """How everybody but the user behaves.

    Attributes:
        checking: seconds that the guardrail takes.
        deciding: seconds until somebody decides about a call; odd ones are approved.
    """

    answers: tuple[tuple[Any, ...], ...]
    checking: float
    gated: bool
    deciding: float
    late: int | None


SETTINGS = st.builds(
    Setting,
    answers=st.lists(st.sampled_from(ANSWERS), max_size=8).map(tuple),
    checking=st.sampled_from((0.0, 0.1, 1.0)),
    gated=st.booleans(),
    deciding=st.sampled_from((0.0, 0.5, 2.0)),
    late=st.none() | st.integers(0, 99),
)
ACTS = st.tuples(
    st.sampled_from(
        (
            "write",
            "write quietly",
            "ask",
            "ask in a hurry",
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


# --- who is there -------------------------------------------------------------------------------


def make_tools(line: FrameLog) -> list[Any]:
    @contextlib.asynccontextmanager
    async def noted(context: ToolContext[None]) -> AsyncGenerator[None]:
        line.note("begun", context.call_id)
        try:
            yield
        except trio.Cancelled:
            line.note("cancelled", context.call_id)
            raise
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(CLEAN_UP)
            line.note("ended", context.call_id)

    async def quick(context: ToolContext[None]) -> str:
        async with noted(context):
            return "done"

    async def slow(context: ToolContext[None]) -> str:
        async with noted(context):
            await trio.sleep(2.5)
        return "done at last"

    async def failing(context: ToolContext[None]) -> None:
        async with noted(context):
            await trio.sleep(0.1)
            raise RuntimeError("no luck")

    async def early(context: ToolContext[None]) -> str:
        async with noted(context):
            await trio.sleep(0.2)
            await context.answer_early("it will take a while")
            await trio.sleep(2)
        return "done at last"

    async def quiet(context: ToolContext[None]) -> BackgroundResult:
        async with noted(context):
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


def make_agent(line: FrameLog, setting: Setting) -> RealtimeAgent[None]:
    @output_guardrail
    async def watch(_about: AgentContext[None], text: str) -> bool:
        line.note("seen", text)
        await trio.sleep(setting.checking)
        return BAD in text

    async def on_handoff(_context: AgentContext[None]) -> None:
        await trio.sleep(0.3)

    tools = make_tools(line)
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


async def decide(session: RealtimeSession[None], line: FrameLog, setting: Setting) -> None:
    with session.subscribe(ev.ToolApprovalRequired) as channel:
        number = 0
        async for event in channel:
            assert isinstance(event, ev.ToolApprovalRequired)
            number += 1
            await trio.sleep(setting.deciding)
            if number % 2:
                await session.approve_tool_call(event.call_id)
            else:
                line.note("rejected", event.call_id)
                await session.reject_tool_call(event.call_id)


async def watch_events(session: RealtimeSession[None], seen: list[Any]) -> None:
    with session.subscribe() as channel:
        async for event in channel:
            seen.append(event)  # noqa: PERF401 - what came before a failure counts


async def act(
    session: RealtimeSession[None],
    line: FrameLog,
    acts: Sequence[tuple[str, float]],
    nursery: trio.Nursery,
) -> None:
    for number, (what, pause) in enumerate(acts):
        await act_once(session, line, what, number, nursery)
        await trio.sleep(pause)


async def act_once(
    session: RealtimeSession[None], line: FrameLog, what: str, number: int, nursery: trio.Nursery
) -> None:
    match what:
        case "write":
            line.note("wish", number)
            await session.send_message(f"text {number}")
        case "write quietly":
            await session.send_message(f"note {number}", respond=False)
        case "ask" | "ask in a hurry":
            patience = 0.4 if what == "ask in a hurry" else float("inf")
            nursery.start_soon(ask, session, line, f"question {number}", patience)
        case "speak":
            await session.send_audio(SPEECH)
            await session.send_audio(SILENCE)
        case "interrupt":
            nursery.start_soon(session.interrupt)
        case "other agent":
            # Whoever waits for it may be cancelled: it is made all the same.
            with trio.move_on_after(0.0 if number % 2 else 5):
                await session.update_agent(attrs.evolve(session.current_agent, name=f"a{number}"))
        case "settings":
            # One that the service never takes.
            with contextlib.suppress(errors.SettingsRejected):
                await session.update_settings(voice="nobody", max_output_tokens=0)
        case "edit":
            with contextlib.suppress(errors.RealtimeError):
                await session.update_history(lambda items: drop_user(items, number))
        case _:
            pass


def drop_user(items: Sequence[Any], number: int) -> list[Any]:
    mine = [item for item in items if item.type == "message" and item.role == "user"]
    return [item for item in items if not mine or item is not mine[number % len(mine)]]


async def ask(
    session: RealtimeSession[None], line: FrameLog, question: str, patience: float
) -> None:
    # It may fail or be interrupted; what it must not do is hang.
    with contextlib.suppress(errors.RealtimeError), trio.move_on_after(patience):
        line.note("asks", question)
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


def said(frame: Frame) -> str:
    """The text of a message that is created."""
    if frame["type"] != "conversation.item.create" or frame["item"]["type"] != "message":
        return ""
    return str(frame["item"]["content"][0]["text"])


def check_calls(line: FrameLog) -> None:
    """1 and 2: each call is answered once, and its tool ran once at most, to its very end."""
    completed = Counter(f["item"]["call_id"] for f in line.frames("in") if is_call(f))
    answered = Counter(f["item"]["call_id"] for f in line.frames("out") if is_output(f))
    assert answered == completed
    begun = Counter(entry.about for entry in line.entries if entry.what == "begun")
    ended = Counter(entry.about for entry in line.entries if entry.what == "ended")
    assert begun == ended
    assert all(times == 1 for times in begun.values())
    assert begun.keys() <= completed.keys()
    rejected = {entry.about for entry in line.entries if entry.what == "rejected"}
    assert not rejected & begun.keys()


def check_creates(line: FrameLog) -> None:
    """3: never two at once, and each is answered."""
    outstanding: set[str] = set()
    for entry in line.entries:
        match entry:
            case LogEntry(what="out", about={"type": "response.create", "event_id": token}):
                assert not outstanding, "two creates at once"
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
    assert not outstanding


class Reasons:
    """4: each create has a reason, and a response's calls are one only when all are answered."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._asking: set[str] = set()
        self._asked = False
        self._refused: set[str] = set()
        self._rounds: dict[str, set[str]] = {}
        self._done: set[str] = set()

    def take(self, entry: LogEntry) -> None:
        match entry:
            case LogEntry(what="wish"):
                self._times.append(entry.time)
            case LogEntry(what="asks", about=question):
                self._asking.add(question)
            case LogEntry(what="in", about=frame):
                self._came(frame, entry.time)
            case LogEntry(what="out", about=frame):
                self._went(frame, entry.time)
            case _:
                pass

    def _came(self, frame: Frame, time: float) -> None:
        if is_call(frame):
            self._rounds.setdefault(frame["response_id"], set()).add(frame["item"]["call_id"])
        elif frame["type"] == "response.done":
            self._done.add(frame["response"]["id"])
            self._close_rounds(time)
        elif frame["type"] == "error":
            self._refused.add(frame["error"]["event_id"])

    def _went(self, frame: Frame, time: float) -> None:
        text = said(frame)
        if is_output(frame):
            for calls in self._rounds.values():
                calls.discard(frame["item"]["call_id"])
            self._close_rounds(time)
        elif text.startswith(("guardrail triggered", "Result of")):
            self._times.append(time)
        elif frame["type"] == "response.create":
            self._created(frame["event_id"], time)
        self._asked = text in self._asking
        self._asking.discard(text)

    def _close_rounds(self, time: float) -> None:
        for response_id in [id_ for id_, calls in self._rounds.items() if not calls]:
            if response_id in self._done:
                del self._rounds[response_id]
                self._times.append(time)

    def _created(self, token: str, time: float) -> None:
        if self._asked or token in self._refused:
            return
        assert self._times, "a create without a reason: calls are still to be answered"
        if not self._asking:
            # What is of this very moment may have come while the create was in line.
            self._times = [moment for moment in self._times if moment == time]


def check_reasons(line: FrameLog) -> None:
    reasons = Reasons()
    for entry in line.entries:
        reasons.take(entry)


def check_clean_up(line: FrameLog) -> None:
    """6: nothing is asked for while a cancelled tool cleans up, and it is answered after that."""
    late = {f["item"]["call_id"] for f in line.frames("in") if is_call(f) and is_late(f)}
    cleaning: dict[str, float] = {}
    for entry in line.entries:
        match entry:
            case LogEntry(what="cancelled", about=call_id) if call_id not in late:
                cleaning[call_id] = entry.time
            case LogEntry(what="ended", about=call_id):
                cleaning.pop(call_id, None)
            case LogEntry(what="out", about={"type": "response.create"}):
                # Whatever was in line at that moment had been asked for before.
                assert all(since == entry.time for since in cleaning.values())
            case LogEntry(what="out", about=frame) if is_output(frame):
                assert frame["item"]["call_id"] not in cleaning
            case _:
                pass


def is_late(call: Frame) -> bool:
    """Its tool is cancelled by its own time limit, which nobody waits for."""
    return bool(call["item"]["name"] == "late")


def check_audio(seen: Sequence[Any]) -> None:
    """5: no audio after its interruption."""
    silenced: set[str] = set()
    for event in seen:
        if isinstance(event, ev.AudioInterrupted):
            silenced.add(event.response_id)
        elif isinstance(event, ev.Audio):
            assert event.response_id not in silenced, "audio after its interruption"


def check_seen_in_full(line: FrameLog, seen: Sequence[Any]) -> None:
    """13: of each reply that did not trip before, the guardrail has seen all."""
    texts = {entry.about for entry in line.entries if entry.what == "seen"}
    tripped = {event.response_id for event in of(seen, ev.GuardrailTripped)}
    for event in of(seen, ev.ResponseEnd):
        if event.output and event.response_id not in tripped:
            full = any(text.endswith(event.output) for text in texts)
            assert full, "a reply was not checked in full"
            assert BAD not in event.output
    assert all(event.message in texts for event in of(seen, ev.GuardrailTripped))


def of(seen: Sequence[Any], kind: type[Any]) -> Iterator[Any]:
    return (event for event in seen if isinstance(event, kind))


def check_answered(line: FrameLog, acts: Sequence[tuple[str, float]]) -> None:
    """3: where nobody interrupts, what was written gets a response of ours after it."""
    if any(what in ("interrupt", "speak") for what, _ in acts):
        return
    waiting: set[str] = set()
    for frame in line.frames("in"):
        match frame:
            case {"type": "conversation.item.added", "item": {"content": [{"text": text}]}}:
                waiting |= {text} if text.startswith("text ") else set()
            case {"type": "response.created", "response": {"metadata": {"trio_realtime": _}}}:
                waiting.clear()
            case _:
                pass
    assert not waiting, "a wish for a response was lost"


# --- the sessions -------------------------------------------------------------------------------


async def simulate(acts: Sequence[tuple[str, float]], setting: Setting) -> None:
    wire = local_connector(responder=FixedResponder(setting.answers), pacing=10.0)
    line = FrameLog(wire, late=setting.late)
    seen: list[Any] = []
    before = trio.lowlevel.current_statistics().tasks_living
    config = SessionConfig(guardrail_debounce=20, guardrail_audio_gate=setting.gated)
    async with (
        open_realtime_session(
            make_agent(line, setting), endpoint=wire.endpoint, transport=line.connect, config=config
        ) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(watch_events, session, seen)
        nursery.start_soon(decide, session, line, setting)
        with trio.fail_after(300):
            async with trio.open_nursery() as questions:
                await act(session, line, acts, questions)
            await trio.sleep(2)  # what was said last is still under way
            await session.drain()
            await trio.sleep(2)  # the last checks
            await session.drain()
        nursery.cancel_scope.cancel()
    assert trio.lowlevel.current_statistics().tasks_living == before
    check_calls(line)
    check_creates(line)
    check_reasons(line)
    check_clean_up(line)
    check_audio(seen)
    check_seen_in_full(line, seen)
    check_answered(line, acts)


@settings(max_examples=120, deadline=None)
@given(acts=st.lists(ACTS, max_size=8), setting=SETTINGS)
def test_the_invariants_hold_in_whole_sessions(
    acts: list[tuple[str, float]], setting: Setting
) -> None:
    run_virtual(simulate, acts, setting)
