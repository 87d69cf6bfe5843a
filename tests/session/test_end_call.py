"""``end_call``: a last sentence, heard to its end, and then the end of the session."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.interruptions import (
    Interrupt,
    by_command_and_by_speech,
    by_speech,
    server_vad_session,
)
from support.service import accept_create, silence, start_audio_response, start_call
from support.sessions import open_test_session
from support.wire import CREATE, ITEM, sent_creates, sent_outputs, sent_types
from trio_realtime import (
    AgentContext,
    FunctionTool,
    RealtimeAgent,
    RealtimeSession,
    ToolContext,
    events,
    function_tool,
    handoff,
    open_realtime_session,
    output_guardrail,
)
from trio_realtime.errors import (
    ConnectionLost,
    RequestRejected,
    ResponseFailed,
    SessionClosed,
    UsageError,
)
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.testing import ScriptedPeer

Session: TypeAlias = RealtimeSession[None]


class HangUp:
    """A tool that ends the call, and what ``end_call`` returned.

    Args:
        options: The arguments of ``end_call``.
        result: What the tool returns.
    """

    def __init__(self, result: str | None = None, **options: Any) -> None:
        self.session: Session | None = None
        self.ended: list[bool] = []

        @function_tool
        async def hang_up() -> str | None:
            """End the call."""
            assert self.session is not None
            self.ended.append(await self.session.end_call(**options))
            return result

        self.tool: FunctionTool = hang_up


async def accept_next_create(peer: ScriptedPeer, response_id: str) -> None:
    """Wait for ``response.create``, whatever comes before it, and start its response."""
    while (frame := await peer.next())["type"] != CREATE:
        pass
    peer.begin_response(response_id, frame)


async def say_goodbye(peer: ScriptedPeer, number: int = 2, *, seconds: float = 3) -> None:
    """Answer the next ``response.create`` with a spoken sentence."""
    await accept_next_create(peer, f"resp_{number}")
    peer.say(f"resp_{number}", f"item_{number}", "Goodbye!", pcm=silence(seconds))
    peer.end_response(f"resp_{number}")


# --- from a task of the application ----------------------------------------------------------------


async def test_session_ends_when_the_goodbye_was_heard(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer(session={"instructions": "Be brief."})
    async with open_test_session(
        peer, agent=RealtimeAgent(name="A", instructions="Speak as Bo.")
    ) as session:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_goodbye, peer)
            assert await session.end_call(instructions="Say farewell.")
            assert trio.current_time() - began == pytest.approx(3)
        assert peer.closed is not None
        assert peer.closed.code == 1000
        (create,) = sent_creates(peer)
        assert create["response"]["instructions"] == "Speak as Bo.\n\nSay farewell."
        assert create["response"]["tool_choice"] == "none"
        kinds = [event.type async for event in session]
        assert kinds.count("audio") == 1, "iteration ends plainly, after all events"
        with pytest.raises(SessionClosed):
            await session.send_message("Hello?")


async def test_default_instructions_ask_for_a_goodbye(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(say_goodbye, peer)
        assert await session.end_call()
        (create,) = sent_creates(peer)
    assert "Say goodbye" in create["response"]["instructions"]


async def test_goodbye_comes_after_the_current_answer(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        await start_audio_response(peer, "resp_1", "item_1", audio=4)
        nursery.start_soon(say_goodbye, peer)

        async def end_answer() -> None:
            await trio.sleep(1)
            assert sent_creates(peer) == []
            peer.end_response("resp_1")

        nursery.start_soon(end_answer)
        assert await session.end_call()
        assert trio.current_time() - began == pytest.approx(4 + 3)


async def test_without_instructions_the_session_ends_after_what_is_being_said(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        began = trio.current_time()
        await start_audio_response(peer, "resp_1", "item_1", audio=4)
        peer.end_response("resp_1")
        assert await session.end_call(instructions=None)
        assert trio.current_time() - began == pytest.approx(4)
    assert sent_creates(peer) == []


async def test_reported_playback_decides_when_the_goodbye_was_heard(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(say_goodbye, peer)

        async def play_slowly() -> None:
            await wait_all_tasks_blocked()
            for ms in range(0, 3001, 500):
                session.playback.played("item_2", 0, ms)
                await trio.sleep(1)

        nursery.start_soon(play_slowly)
        assert await session.end_call()
        assert trio.current_time() - began == pytest.approx(6)


@pytest.mark.parametrize("instructions", [7, b"Bye", ["Bye"]])
async def test_other_instructions_are_rejected(
    instructions: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match="instructions"):
            await session.end_call(instructions=instructions)
        assert await sent_types(peer) == []


async def test_ended_session_cannot_be_ended_again(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        assert await session.end_call(instructions=None)
        with pytest.raises(SessionClosed):
            await session.end_call()


# --- from a tool -----------------------------------------------------------------------------------


async def test_tool_is_answered_before_the_goodbye(autojump_clock: MockClock) -> None:
    hang_up = HangUp("not sent")
    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up.tool) as session:
        hang_up.session = session
        began = trio.current_time()
        await start_call(peer, "hang_up")
        assert sent_creates(peer) == [], "the response that made the call still runs"
        peer.end_response("resp_1")
        await say_goodbye(peer)
        seen = [event async for event in session]
        assert trio.current_time() - began == pytest.approx(3)
    assert sent_outputs(peer) == [("call_1", "The call is about to end.")]
    assert await sent_types(peer) == [ITEM, CREATE]
    assert hang_up.ended == [True]
    turns = [event.turn_id for event in seen if isinstance(event, events.AgentEnd)]
    assert turns == ["resp_1", "resp_2"]


async def test_goodbye_waits_for_the_other_calls_and_their_answer(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def save_order() -> str:
        await trio.sleep(2)
        return "saved"

    hang_up = HangUp()
    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up.tool, save_order) as session:
        hang_up.session = session
        began = trio.current_time()
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "hang_up")
        peer.call("resp_1", "item_2", "call_2", "save_order")
        peer.end_response("resp_1")
        await trio.sleep(1.9)
        assert sent_creates(peer) == []
        await accept_next_create(peer, "resp_2")
        peer.say("resp_2", "item_3", "It is saved.", pcm=silence(2))
        peer.end_response("resp_2")
        await say_goodbye(peer, 3)
        assert [event async for event in session]
        assert trio.current_time() - began == pytest.approx(2 + 2 + 3)
    assert dict(sent_outputs(peer)) == {"call_1": "The call is about to end.", "call_2": "saved"}
    answer, goodbye = sent_creates(peer)
    assert "instructions" not in answer["response"]
    assert "Say goodbye" in goodbye["response"]["instructions"]


async def test_two_tools_that_end_the_call_do_not_wait_for_each_other(
    autojump_clock: MockClock,
) -> None:
    hang_up = HangUp(instructions=None)
    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up.tool) as session:
        hang_up.session = session
        peer.begin_response("resp_1")
        peer.say("resp_1", "item_0", "Goodbye!", pcm=silence(3))
        peer.call("resp_1", "item_1", "call_1", "hang_up")
        peer.call("resp_1", "item_2", "call_2", "hang_up")
        peer.end_response("resp_1")
        with trio.fail_after(10):
            async for _ in session:
                pass
    assert len(sent_outputs(peer)) == 2


async def test_tool_that_answered_early_ends_the_call(autojump_clock: MockClock) -> None:
    sessions: list[Session] = []

    @function_tool
    async def hang_up(context: ToolContext[None]) -> None:
        await context.answer_early("one moment", respond=False)
        await sessions[0].end_call()

    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up) as session:
        sessions.append(session)
        await start_call(peer, "hang_up")
        peer.end_response("resp_1")
        await say_goodbye(peer)
        async for _ in session:
            pass
    assert sent_outputs(peer) == [("call_1", "one moment")]


async def test_plain_function_in_a_thread_ends_the_call() -> None:
    """On the real clock: a virtual one would not wait for the thread."""
    sessions: list[Session] = []

    @function_tool
    def hang_up() -> None:
        trio.from_thread.run(sessions[0].end_call)

    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up) as session:
        sessions.append(session)
        await start_call(peer, "hang_up")
        peer.end_response("resp_1")
        await say_goodbye(peer, seconds=0)
        async for _ in session:
            pass
    assert sent_outputs(peer) == [("call_1", "The call is about to end.")]


async def test_callback_of_a_handoff_cannot_end_the_call(autojump_clock: MockClock) -> None:
    sessions: list[Session] = []
    failures: list[UsageError] = []

    async def on_handoff(_about: AgentContext[None]) -> None:
        with pytest.raises(UsageError, match="in a tool or in another task") as caught:
            await sessions[0].end_call()
        failures.append(caught.value)

    other = RealtimeAgent[None](name="Other")
    agent = RealtimeAgent[None](name="A", handoffs=[handoff(other, on_handoff=on_handoff)])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        sessions.append(session)
        await start_call(peer, "transfer_to_other")
        assert len(failures) == 1
        assert session.current_agent is other


# --- interruptions ---------------------------------------------------------------------------------


@by_command_and_by_speech
@pytest.mark.parametrize("after", [0.0, 1.0, 2.5], ids=["created", "spoken", "playing"])
async def test_interrupted_goodbye_does_not_end_the_session(
    interrupt: Interrupt, after: float, autojump_clock: MockClock
) -> None:
    async def speak() -> None:
        await accept_create(peer, "resp_1")
        await trio.sleep(0.5)
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", silence(4))
        await trio.sleep(1)
        peer.end_response("resp_1", "completed" if after > 1.5 else "cancelled")

    async def interrupt_later() -> None:
        await trio.sleep(after)
        await wait_all_tasks_blocked()
        await interrupt(session, peer)

    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            nursery.start_soon(interrupt_later)
            began = trio.current_time()
            assert not await session.end_call()
            assert trio.current_time() - began == pytest.approx(after)
        assert peer.closed is None
        await session.send_message("Still here?")
        await say_goodbye(peer, 2)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_goodbye, peer, 3)
            assert await session.end_call(), "the next attempt ends it"


@by_command_and_by_speech
async def test_interrupted_tool_goes_on_and_tells_the_model_what_it_returns(
    interrupt: Interrupt, autojump_clock: MockClock
) -> None:
    hang_up = HangUp("The user has another question.")
    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up.tool) as session:
        hang_up.session = session
        await start_call(peer, "hang_up")
        peer.end_response("resp_1")
        await say_goodbye(peer)
        await trio.sleep(1)
        await interrupt(session, peer)
        await wait_all_tasks_blocked()
        assert hang_up.ended == [False]
        assert [e.outcome for e in drain_events(session.events, events.ToolEnd)] == ["completed"]
        texts = [
            frame["item"]["content"][0]["text"]
            for frame in peer.received
            if frame["type"] == ITEM and frame["item"]["type"] == "message"
        ]
        assert texts == ["Result of hang_up (call_1): The user has another question."]
    assert len(sent_outputs(peer)) == 1


async def test_speech_that_interrupts_nothing_does_not_stop_the_end(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(session=server_vad_session(interrupts=False))
    async with (
        open_test_session(peer, interruption=None) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(say_goodbye, peer)

        async def speak() -> None:
            await trio.sleep(1)
            await by_speech(session, peer)

        nursery.start_soon(speak)
        assert await session.end_call()


async def test_tool_that_was_interrupted_cannot_end_the_call(autojump_clock: MockClock) -> None:
    """It does not wait for itself, even if it shields itself."""
    sessions: list[Session] = []
    ended: list[bool] = []

    @function_tool
    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                ended.append(await sessions[0].end_call())

    peer = ScriptedPeer()
    async with open_test_session(peer, stubborn) as session:
        sessions.append(session)
        await start_call(peer, "stubborn")
        with trio.fail_after(5):
            await session.interrupt()
        assert ended == [False]
        await wait_all_tasks_blocked()
        assert len(sent_outputs(peer)) == 1


# --- failures --------------------------------------------------------------------------------------


async def test_failed_goodbye_is_raised_and_the_session_goes_on(autojump_clock: MockClock) -> None:
    async def fail() -> None:
        await accept_create(peer, "resp_1")
        peer.end_response("resp_1", "failed", reason="server_error")

    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            with pytest.raises(ResponseFailed, match="failed"):
                await session.end_call()
        assert peer.closed is None


async def test_rejected_goodbye_is_raised_and_the_session_goes_on(
    autojump_clock: MockClock,
) -> None:
    async def reject() -> None:
        peer.reject(await peer.expect(CREATE), "invalid_value", "no such thing")

    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reject)
            with pytest.raises(RequestRejected, match="no such thing"):
                await session.end_call()
        assert peer.closed is None


async def test_goodbye_that_trips_a_guardrail_is_corrected_first(
    autojump_clock: MockClock,
) -> None:
    @output_guardrail
    def no_farewell(_about: AgentContext[None], text: str) -> bool:
        return "Goodbye" in text

    async def speak() -> None:
        await accept_create(peer, "resp_1")
        peer.say("resp_1", "item_1", "Goodbye!", pcm=silence(3))
        await wait_all_tasks_blocked()
        peer.end_response("resp_1", "cancelled")
        await accept_next_create(peer, "resp_2")
        peer.say("resp_2", "item_2", "Thank you.", pcm=silence(2))
        peer.end_response("resp_2")

    peer = ScriptedPeer()
    agent = RealtimeAgent[None](name="A", output_guardrails=[no_farewell])
    async with (
        open_test_session(peer, agent=agent, guardrail_debounce=1) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(speak)
        began = trio.current_time()
        assert await session.end_call()
        assert trio.current_time() - began == pytest.approx(2)


async def test_lost_connection_is_raised(autojump_clock: MockClock) -> None:
    async def lose() -> None:
        await peer.expect(CREATE)
        peer.close(1011)

    peer = ScriptedPeer()
    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        nursery.start_soon(lose)
        with pytest.raises(ConnectionLost):
            await session.end_call()


async def test_cancelled_wait_ends_nothing(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with trio.move_on_after(1) as scope:
            await session.end_call()
        assert scope.cancelled_caught
        assert peer.closed is None
        await say_goodbye(peer, 1)
        await session.drain()
        assert peer.closed is None


async def test_tool_whose_time_is_over_leaves_the_session_open(autojump_clock: MockClock) -> None:
    sessions: list[Session] = []

    @function_tool(timeout=1)
    async def hang_up() -> None:
        await sessions[0].end_call()

    peer = ScriptedPeer()
    async with open_test_session(peer, hang_up) as session:
        sessions.append(session)
        await start_call(peer, "hang_up")
        peer.end_response("resp_1")
        await say_goodbye(peer)
        await accept_next_create(peer, "resp_3")
        peer.end_response("resp_3")
        await trio.sleep(5)
        assert peer.closed is None
        assert await session.end_call(instructions=None), "no call is ignored or awaited any more"


# --- with the local server -------------------------------------------------------------------------


async def test_agent_hangs_up_after_its_goodbye(autojump_clock: MockClock) -> None:
    hang_up = HangUp()
    responder = ScriptedResponder([Call("hang_up"), Say("Goodbye, Kim.")])
    service = local_connector(responder=responder)
    agent = RealtimeAgent[None](name="A", tools=[hang_up.tool])
    said: list[str] = []
    async with open_realtime_session(
        agent, transport=service, endpoint=service.endpoint
    ) as session:
        hang_up.session = session
        await session.send_message("That was all. Bye!")
        async for event in session:
            match event:
                case events.AgentEnd(output=text):
                    said.append(text)
                case _:
                    pass
        assert session.playback.remaining == 0
    assert said == ["", "Goodbye, Kim."]
    assert hang_up.ended == [True]
