"""The handshake: greeting, first settings, and the connect timeout."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.service import accept_create
from support.sessions import open_and_fail, open_session_with, open_test_session, task_count
from support.wire import ITEM
from trio_realtime import RealtimeAgent, open_realtime_session
from trio_realtime.errors import ConnectTimeout, SettingsRejected
from trio_realtime.session.connection.handshake import GREETING_TIMEOUT
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer


async def test_settings_are_sent_after_the_greeting_and_before_the_block(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    agent: RealtimeAgent[None] = RealtimeAgent(name="Assistant", instructions="Be brief.")
    async with open_realtime_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect):
        (update,) = peer.received
    assert update["session"]["type"] == "realtime"
    assert update["session"]["instructions"] == "Be brief."
    assert update["session"]["tools"] == []  # always sent, even if empty


async def test_sideband_connection_starts_without_a_greeting(autojump_clock: MockClock) -> None:
    """Its first frame is ``session.updated``. It does not acknowledge later settings."""
    peer = ScriptedPeer(greet=False, acknowledge=False)
    peer.send({"type": "session.updated", "session": peer.session})

    async def acknowledge() -> None:
        await trio.sleep(3)
        peer.send({"type": "session.updated", "session": peer.session})

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(acknowledge)
        async with open_test_session(peer):
            assert trio.current_time() - began == pytest.approx(3)
    assert peer.sent_types() == ["session.update"]


@pytest.mark.parametrize("greets", [True, False])
async def test_silent_service_raises_connect_timeout(
    greets: bool, autojump_clock: MockClock
) -> None:
    """Silent from the start, or after its greeting."""
    peer = ScriptedPeer(greet=greets, acknowledge=False)
    before, began = task_count(), trio.current_time()
    with pytest.raises(ConnectTimeout, match="4 s"):
        await open_and_fail(peer, connect_timeout=4)
    assert trio.current_time() - began == pytest.approx(4)
    assert peer.sent_types() == ["session.update"]
    assert task_count() == before


async def test_a_service_that_speaks_second_opens(autojump_clock: MockClock) -> None:
    """Some services send nothing before they have received the settings."""
    peer = ScriptedPeer(greet=False)
    began = trio.current_time()
    async with open_test_session(peer) as session:
        assert trio.current_time() - began == pytest.approx(GREETING_TIMEOUT)
        assert peer.sent_types() == ["session.update"]
        await session.send_message("Hello?", respond=False)
        await peer.expect(ITEM)


async def test_the_greeting_is_not_awaited_beyond_half_of_the_connect_timeout(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(greet=False)
    began = trio.current_time()
    async with open_test_session(peer, connect_timeout=0.5):
        assert trio.current_time() - began == pytest.approx(0.25)


async def test_cancellation_while_connecting_propagates_and_ends_all_tasks(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(greet=False, acknowledge=False)
    before = task_count()
    with trio.move_on_after(2) as scope:
        await open_and_fail(peer)
    assert scope.cancelled_caught
    assert peer.closed is not None
    assert task_count() == before


async def test_rejected_settings_raise_the_error_of_the_service(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(acknowledge=False)

    async def reject_settings() -> None:
        await wait_all_tasks_blocked()
        frame = peer.received[0]
        error = {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "Invalid value: 'loud'.",
            "param": "session.audio.output.voice",
            "event_id": frame["event_id"],
        }
        peer.send({"type": "error", "error": error})

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reject_settings)
        with pytest.raises(SettingsRejected, match="Invalid value: 'loud'") as caught:
            await open_and_fail(peer, voice="loud")
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "session.audio.output.voice"
    assert peer.closed is not None


async def test_rejection_without_an_event_id_raises_at_once(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(acknowledge=False)

    async def reject_settings() -> None:
        await wait_all_tasks_blocked()
        assert peer.sent_types() == ["session.update"]
        details = {"message": "Invalid value: 'x'.", "param": "session.audio.output.voice"}
        peer.send({"type": "error", "error": details})

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reject_settings)
        with pytest.raises(SettingsRejected, match="Invalid value"):
            async with open_session_with(peer):
                pytest.fail("the block must not run")
    assert trio.current_time() == began


async def test_connect_timeout_names_the_last_error_of_the_service(
    autojump_clock: MockClock,
) -> None:
    """An error that may concern anything does not end the wait, but it may be the cause."""
    peer = ScriptedPeer(acknowledge=False)
    peer.reject(None, "invalid_value", "Invalid value: 'x'.")
    with pytest.raises(ConnectTimeout, match="Invalid value"):
        async with open_session_with(peer):
            pytest.fail("the block must not run")


async def test_invalid_frames_before_the_greeting_are_ignored(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer(greet=False)
    peer.send("garbage", "[1]", "null", '{"type": null}', '{"type": "session.created"}')
    peer.send('{"type": "session.created", "session": null}', '{"type": "error"}')
    peer.send('{"type": "response.done", "response": {}}')
    for _ in range(2):
        peer.send({"type": "session.created", "session": peer.session})
    async with open_test_session(peer) as session:
        await session.send_message("Hello?")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_1")
