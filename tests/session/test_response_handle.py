"""Handles of responses: their outcome, and how they cancel."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.service import accept_create
from support.sessions import open_test_session
from support.tools import endless
from trio_realtime import events, item_text
from trio_realtime.errors import RequestRejected, ResponseFailed
from trio_realtime.testing import ScriptedPeer, message


async def test_handle_returns_the_outcome_of_its_response(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    usage = {"total_tokens": 30, "input_tokens": 10, "output_tokens": 20}
    async with open_test_session(peer) as session:
        handle = await session.create_response(
            instructions="Whisper.", metadata={"topic": "weather"}, max_output_tokens=100
        )
        create = await peer.expect("response.create")
        assert create["response"]["instructions"] == "Whisper."
        assert create["response"]["max_output_tokens"] == 100
        assert create["response"]["metadata"]["topic"] == "weather"
        peer.begin_response("resp_1", create)
        await wait_all_tasks_blocked()
        was_done = handle.is_done
        item = message("item_1", "psst")
        peer.say("resp_1", "item_1", "psst")
        peer.end_response("resp_1", output=[item], usage=usage)
        outcome = await handle
        assert (was_done, handle.is_done) == (False, True)
        assert (outcome.response_id, outcome.status, outcome.text) == (
            "resp_1",
            "completed",
            "psst",
        )
        assert [item_text(item) for item in outcome.items] == ["psst"]
        assert outcome.usage is not None
        assert outcome.usage.total_tokens == 30
        assert await handle.wait() is outcome


async def test_handle_raises_if_the_response_failed(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
        await accept_create(peer, "resp_1")
        peer.send(
            {
                "type": "response.done",
                "response": {
                    "id": "resp_1",
                    "status": "failed",
                    "status_details": {
                        "type": "failed",
                        "error": {"code": "insufficient_quota", "message": "You are broke."},
                    },
                },
            }
        )
        with pytest.raises(ResponseFailed, match="You are broke") as caught:
            await handle
        assert (caught.value.status, caught.value.code) == ("failed", "insufficient_quota")
        await session.send_message("Still here?")
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")


async def test_handle_raises_if_the_request_was_rejected(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response(max_output_tokens=-1)
        peer.reject(await peer.expect("response.create"), "invalid_value", "no such number")
        with pytest.raises(RequestRejected, match="no such number"):
            await handle
        # The handle raises the error, so no event reports it.
        assert not any(isinstance(e, events.Error) for e in drain_channel(session.events))


async def test_cancelled_wait_does_not_cancel_the_response(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
        await accept_create(peer, "resp_1")
        with trio.move_on_after(1):
            await handle
        await peer.expect_nothing()
        peer.end_response("resp_1")
        assert (await handle).response_id == "resp_1"


async def test_cancel_cancels_the_response(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
        await accept_create(peer, "resp_1")
        await wait_all_tasks_blocked()
        handle.cancel()
        handle.cancel()
        await peer.expect("response.cancel", response_id="resp_1")
        await peer.expect_nothing()
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        with pytest.raises(ResponseFailed):
            await handle


async def test_cancel_before_the_start_cancels_the_response_when_it_starts(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
        create = await peer.expect("response.create")
        handle.cancel()
        await peer.expect_nothing()
        peer.begin_response("resp_1", create)
        await peer.expect("response.cancel", response_id="resp_1")
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        with pytest.raises(ResponseFailed, match="client_cancelled"):
            await handle


async def test_cancel_of_a_queued_response_does_not_affect_its_neighbours(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()

    async def serve() -> None:
        number = 0
        while True:
            frame = await peer.next()
            if frame["type"] != "response.create":
                continue
            number += 1
            instructions = frame["response"].get("instructions", "")
            peer.begin_response(f"resp_{number}", frame)
            await wait_all_tasks_blocked()
            cancelled = any(f.get("response_id") == f"resp_{number}" for f in peer.received)
            peer.say(f"resp_{number}", f"item_{number}", instructions)
            peer.end_response(f"resp_{number}", "cancelled" if cancelled else "completed")

    async with open_test_session(peer) as session, trio.open_nursery() as nursery:
        handles = [await session.create_response(instructions=word) for word in "abc"]
        handles[1].cancel()
        nursery.start_soon(serve)
        assert (await handles[0]).text == "a"
        assert (await handles[2]).text == "c"
        with pytest.raises(ResponseFailed):
            await handles[1]
        nursery.cancel_scope.cancel()


async def test_cancel_cancels_the_tools_of_the_response(
    autojump_clock: MockClock,
) -> None:
    """Also if the service completes another call before it cancels."""

    peer = ScriptedPeer()
    async with open_test_session(peer, endless) as session:
        handle = await session.create_response()
        await accept_create(peer, "resp_1")
        peer.call("resp_1", "fc_1", "call_1", "endless")
        await wait_all_tasks_blocked()
        handle.cancel()
        await peer.expect("response.cancel")
        peer.call("resp_1", "fc_2", "call_2", "endless")
        peer.end_response("resp_1", "cancelled", reason="client_cancelled")
        answered = [
            (await peer.expect("conversation.item.create"))["item"]["call_id"] for _ in range(2)
        ]
        assert sorted(answered) == ["call_1", "call_2"]
        assert session.statistics().running_tools == 0
        await session.send_message("Go on.")
        await peer.expect("conversation.item.create")
        await peer.expect("response.create")


async def test_cancel_after_the_end_does_not_affect_a_running_response(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        handle = await session.create_response()
        await accept_create(peer, "resp_1")
        peer.end_response("resp_1")
        peer.begin_response("resp_2")
        await handle
        handle.cancel()
        await peer.expect_nothing()
