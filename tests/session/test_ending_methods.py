"""``session.end`` and the last event say who ended a session, why, and what was lost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import collect_events, drain_channel
from support.service import send_call_and_wait, send_spoken_reply, start_call
from support.sessions import PassivePeer, open_test_session
from support.tools import endless, make_failing_tool
from trio_realtime import RealtimeAgent, SessionConfig, SessionEnd, events, open_realtime_session
from trio_realtime.errors import (
    ClosedByService,
    ConnectionLost,
    ConsumerTooSlow,
    RealtimeError,
    SessionClosed,
    SessionExpired,
    ToolFailed,
    UserCodeError,
)
from trio_realtime.realtime_model import ConnectionOptions, ModelConnection, RealtimeModel
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.transports import CallEnded, TransportClosed
from trio_realtime.wire import ClientEvent, ServerEvent, Session, SessionUpdate, SessionUpdated


def end_of(session: Any) -> SessionEnd:
    assert session.end is not None
    end: SessionEnd = session.end
    return end


# --- who and why -------------------------------------------------------------------------------


async def test_end_is_none_while_the_session_runs(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        assert session.end is None
    assert end_of(session).reason == "closed"


@pytest.mark.parametrize("how", ["leave", "aclose"])
async def test_closing_is_a_plain_end_by_the_application(
    how: str, autojump_clock: MockClock
) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        await trio.sleep(3)
        if how == "aclose":
            await session.aclose()
            await trio.sleep(10)
    end = SessionEnd(by="application", reason="closed", duration=end_of(session).duration)
    assert end_of(session) == end
    assert end.duration == pytest.approx(3)
    *_, last = drain_channel(session.events)
    assert last == events.SessionEnded(end=end)


async def test_exception_of_the_block_is_the_error(autojump_clock: MockClock) -> None:
    error = LookupError("raised by the block")
    with pytest.raises(LookupError):
        async with open_test_session(ScriptedPeer()) as session:
            raise error
    assert (end_of(session).by, end_of(session).reason) == ("application", "block_raised")
    assert end_of(session).error is error


async def test_block_with_a_nursery_that_is_cancelled_is_no_error(
    autojump_clock: MockClock,
) -> None:
    """A nursery raises the cancellation of its tasks in a group."""
    with trio.move_on_after(1):
        async with open_test_session(ScriptedPeer()) as session, trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    assert (end_of(session).reason, end_of(session).error) == ("cancelled", None)


async def test_a_program_can_say_that_the_user_has_hung_up(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        await session.hang_up()
        assert (end_of(session).by, end_of(session).reason) == ("user", "hung_up")
        await session.hang_up()
    assert end_of(session).reason == "hung_up"


async def test_cancelled_block_is_no_error(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1):
        async with open_test_session(ScriptedPeer()) as session:
            await trio.sleep_forever()
    assert (end_of(session).reason, end_of(session).error) == ("cancelled", None)


async def test_end_call_has_a_reason_of_its_own(autojump_clock: MockClock) -> None:
    async with open_test_session(ScriptedPeer()) as session:
        assert await session.end_call(instructions=None)
    assert (end_of(session).by, end_of(session).reason) == ("application", "end_call")


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4321])
async def test_close_by_the_service_is_never_success(code: int, autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    seen: list[events.SessionEvent] = []
    async with open_test_session(peer) as session:
        peer.close(code, "maintenance")
        with pytest.raises(ClosedByService, match="maintenance") as caught:
            await collect_events(session, seen)
    end = end_of(session)
    assert (end.by, end.reason) == ("service", "closed_by_service")
    assert (end.code, end.close_reason) == (code, "maintenance")
    assert isinstance(end.error, ClosedByService)
    assert (caught.value.code, caught.value.reason) == (code, "maintenance")
    assert seen[-1] == events.SessionEnded(end=end)


async def test_clean_close_is_raised_when_the_block_ends(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ClosedByService):
        async with open_test_session(peer):
            peer.close(1000)
            await trio.sleep(1)


async def test_connection_without_a_close_frame_was_lost(autojump_clock: MockClock) -> None:
    peer = PassivePeer()
    with pytest.raises(ConnectionLost) as caught:
        async with open_test_session(peer) as session:
            peer.far.drop()
            await trio.sleep(1)
    assert type(caught.value) is ConnectionLost
    end = end_of(session)
    assert (end.by, end.reason, end.code) == ("network", "connection_lost", 1006)


async def test_maximum_duration_of_the_service(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(SessionExpired):
        async with open_test_session(peer) as session:
            peer.close(1000, "Session expired")
            await trio.sleep(1)
    assert (end_of(session).by, end_of(session).reason) == ("service", "session_expired")


async def test_failure_of_a_tool(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ToolFailed):
        async with open_test_session(peer, make_failing_tool(on_failure="end_session")) as session:
            await send_call_and_wait(peer, "broken")
    end = end_of(session)
    assert (end.by, end.reason) == ("user_code", "tool_failed")
    assert isinstance(end.error, ToolFailed)


async def test_close_during_the_shutdown_keeps_its_cause(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, endless) as session, trio.open_nursery() as nursery:
        await start_call(peer, "endless")
        nursery.start_soon(session.aclose)
        peer.close(1000)
        await trio.sleep(1)
    assert end_of(session).reason == "closed"
    assert end_of(session).error is None


# --- models and phone calls --------------------------------------------------------------------


class OneEndModel(RealtimeModel, ModelConnection):
    """A model whose connection ends with an exception once the settings were acknowledged."""

    def __init__(self, end: Exception) -> None:
        self.end = end
        self.events: list[ServerEvent] = []

    @asynccontextmanager
    async def connect(self, options: ConnectionOptions) -> AsyncGenerator[ModelConnection]:
        yield self

    async def send(self, message: ClientEvent) -> None:
        if isinstance(message, SessionUpdate):
            self.events.append(SessionUpdated(session=message.session))

    async def receive(self) -> ServerEvent:
        await trio.sleep(0.1)
        if not self.events:
            raise self.end
        return self.events.pop()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def run_model(end: Exception) -> tuple[SessionEnd, RealtimeError | None]:
    """Return how a session with this model ends, and what iteration raises."""
    error: RealtimeError | None = None
    model = OneEndModel(end)
    # The greeting is the first event, so the settings are sent after a second.
    model.events.append(SessionUpdated(session=Session()))
    config = SessionConfig(reconnect=None)
    async with open_realtime_session(
        RealtimeAgent(name="Assistant"), model=model, config=config
    ) as session:
        try:
            await collect_events(session, [])
        except RealtimeError as exc:
            error = exc
    return end_of(session), error


async def test_model_ends_a_call_plainly(autojump_clock: MockClock) -> None:
    end, error = await run_model(CallEnded(reason="BYE"))
    assert error is None
    assert (end.by, end.reason) == ("user", "hung_up")
    assert (end.code, end.close_reason, end.error) == (1000, "BYE", None)


async def test_model_that_closes_with_1000_has_closed_the_session(
    autojump_clock: MockClock,
) -> None:
    end, error = await run_model(TransportClosed(1000))
    assert isinstance(error, ClosedByService)
    assert end.reason == "closed_by_service"


async def test_model_that_raises_has_failed(autojump_clock: MockClock) -> None:
    end, error = await run_model(LookupError("lost"))
    assert type(error) is UserCodeError
    assert (end.by, end.reason) == ("user_code", "model_failed")


@pytest.mark.parametrize("code", [1000, 1011])
async def test_joined_call_that_is_hung_up_ends_plainly(
    code: int, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_realtime_session(
        RealtimeAgent(name="Assistant"),
        endpoint=TEST_ENDPOINT.attach("rtc_1"),
        transport=peer.connect,
    ) as session:
        peer.close(code)
        with suppress(ClosedByService):
            await collect_events(session, [])
        with pytest.raises(SessionClosed if code == 1000 else ClosedByService):
            await session.send_message("Hello?")
    assert end_of(session).reason == ("hung_up" if code == 1000 else "closed_by_service")


# --- what was lost -----------------------------------------------------------------------------


async def test_end_says_what_was_lost(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ClosedByService):
        async with open_test_session(peer, endless) as session:
            await start_call(peer, "endless")
            peer.audio("resp_1", "item_2", bytes(48 * 5000))
            await trio.sleep(2)
            peer.close(1011)
            await trio.sleep(1)
    end = end_of(session)
    assert end.unanswered_calls == ("call_1",)
    assert end.unheard_audio_ms == 3000
    assert end.unsent_frames == 0


async def test_frames_that_a_lost_connection_did_not_take_are_counted(
    autojump_clock: MockClock,
) -> None:
    peer = PassivePeer(max_messages=3)
    with pytest.raises(ConnectionLost):
        async with open_test_session(peer) as session:
            for number in range(9):
                await session.send_message(f"message {number}", respond=False)
            await wait_all_tasks_blocked()
            waiting = session.statistics().outgoing_frames
            peer.far.drop()
            await trio.sleep(1)
    assert end_of(session).unsent_frames == waiting > 0


async def test_plain_end_loses_nothing(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_spoken_reply(peer, 1, audio=1)
        await trio.sleep(5)
    end = end_of(session)
    assert (end.unanswered_calls, end.unsent_frames, end.unheard_audio_ms) == ((), 0, 0)


# --- the last event ----------------------------------------------------------------------------


async def test_every_channel_ends_with_the_event(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, endless) as session:
        with (
            session.subscribe() as everything,
            session.subscribe(events.SessionEnded) as ends,
            session.subscribe(events.ToolStart, events.ToolCancelled) as calls,
        ):
            await start_call(peer, "endless")
            peer.close(1000)
            await trio.sleep(5)
            with session.subscribe() as late:
                assert drained(late) == []
            assert drained(everything)[-1] == "session_ended"
            assert drained(session.events)[-1] == "session_ended"
            assert drained(ends) == ["session_ended"]
            assert drained(calls) == ["tool_start"]


def drained(channel: Any) -> list[str]:
    found: list[str] = []
    with suppress(RealtimeError, trio.EndOfChannel):
        while True:
            found.append(channel.receive_nowait().type)
    return found


async def test_full_channel_still_gets_the_last_event(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_events=5) as session:
        while session.events.statistics().buffered_events < 5:
            peer.send({"type": "rate_limits.updated", "rate_limits": []})
            await wait_all_tasks_blocked()
        await session.aclose()
    assert drained(session.events)[-1] == "session_ended"


async def test_failed_channel_gets_no_last_event(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, max_buffered_events=5) as session:
        for _ in range(9):
            peer.send({"type": "rate_limits.updated", "rate_limits": []})
        await wait_all_tasks_blocked()
        await session.aclose()
        with pytest.raises(ConsumerTooSlow):
            await collect_events(session, [])
