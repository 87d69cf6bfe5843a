"""The default model: what a service sends is masked before anything else reads it."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.service import accept_create
from trio_realtime import Endpoint, RealtimeAgent, events, open_realtime_session
from trio_realtime.errors import ConnectionLost, RealtimeError, ResponseFailed
from trio_realtime.testing import ScriptedPeer, response_object

KEY = "sk-made/up+key.0123456789"


def open_session_with_key(peer: ScriptedPeer) -> Any:
    return open_realtime_session(
        RealtimeAgent[None](name="A"),
        endpoint=Endpoint.compatible("ws://a.test/v1", api_key=KEY),
        transport=peer.connect,
    )


async def test_a_key_in_an_error_event_is_masked_everywhere(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_session_with_key(peer) as session:
        with session.subscribe(events.RawModelEvent) as raw:
            peer.reject(None, "invalid_value", f"The key {KEY} has no quota.")
            await wait_all_tasks_blocked()
            (error,) = [e for e in drain_channel(session.events) if isinstance(e, events.Error)]
            frame = await raw.receive()
    assert str(error.error) == "The key *** has no quota."
    assert KEY not in repr(error)
    assert "***" in str(frame.frame)
    assert KEY not in repr((frame.data, frame.frame))


async def test_a_key_in_a_failed_response_is_masked(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_session_with_key(peer) as session:
        response = await session.create_response()
        await accept_create(peer, "resp_1")
        details = {"type": "failed", "error": {"code": "x", "message": f"no quota for {KEY}"}}
        response_done = response_object("resp_1", status="failed", status_details=details)
        peer.send({"type": "response.done", "response": response_done})
        with pytest.raises(ResponseFailed, match=r"no quota for \*\*\*"):
            await response
        assert KEY not in repr(drain_channel(session.events))


async def test_a_key_in_a_close_reason_is_masked(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(ConnectionLost, match=r"\*\*\*") as caught:
        async with open_session_with_key(peer) as session:
            peer.close(1008, f"bad key {KEY}")
            async for _ in session:
                pass
    assert caught.value.reason == "bad key ***"
    assert KEY not in repr(caught.value.__cause__)


async def test_a_key_in_a_close_reason_of_the_handshake_is_masked(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer(greet=False)
    peer.reject(None, "invalid_api_key", f"Incorrect API key provided: {KEY}")
    peer.close(3000, f"bad key {KEY}")
    with pytest.raises(RealtimeError, match=r"\*\*\*") as caught:
        async with open_session_with_key(peer):
            pytest.fail("the block must not run")
    seen: BaseException | None = caught.value
    while seen is not None:
        assert KEY not in repr(seen) + str(seen)
        seen = seen.__cause__ or seen.__context__
