"""Messages wait for space in the send queue, and each is encoded once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import PassivePeer, open_session_with, open_test_session
from support.wire import sent_frames
from trio_realtime import errors, function_tool
from trio_realtime.items import InputText
from trio_realtime.session import runtime as runtime_module
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import dialects


async def test_messages_to_a_peer_that_does_not_read_wait_at_the_limit(
    autojump_clock: MockClock,
) -> None:
    peer = PassivePeer(max_messages=10)
    sent = 0

    async def send_many() -> None:
        nonlocal sent
        for _ in range(5000):
            await session.send_message("x" * 1000, respond=False)
            sent += 1

    async with open_session_with(peer, max_outgoing_text=100_000) as session:
        with trio.move_on_after(1) as scope:
            await send_many()
        assert scope.cancelled_caught
        assert 90 < sent < 130
        assert session.statistics().outgoing_frames < 130
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.read_all)
            with trio.fail_after(60):
                await session.send_message("after the peer reads again")
            nursery.cancel_scope.cancel()


async def test_a_sender_that_waits_learns_that_the_session_has_ended(
    autojump_clock: MockClock,
) -> None:
    peer = PassivePeer(max_messages=10)
    async with (
        open_session_with(peer, max_outgoing_text=1000) as session,
        trio.open_nursery() as nursery,
    ):

        async def send_until_closed() -> None:
            with pytest.raises(errors.SessionClosed):
                while True:
                    await session.send_message("x" * 500, respond=False)

        nursery.start_soon(send_until_closed)
        await wait_all_tasks_blocked()
        await session.aclose()


async def test_a_message_is_encoded_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []

    def count(encode: Any) -> Any:
        def counting(event: Any) -> str:
            encoded.append(event.type)
            text: str = encode(event)
            return text

        return counting

    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        monkeypatch.setattr(dialects, "encode", count(dialects.__dict__["encode"]))
        monkeypatch.setattr(runtime_module, "encode", count(runtime_module.__dict__["encode"]))
        await session.send_message("Hi", respond=False)
        (frame,) = await sent_frames(peer)
        assert frame["type"] == "conversation.item.create"
        assert encoded == ["conversation.item.create"]


async def test_a_message_that_cannot_be_encoded_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    unencodable: Any = object()
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(errors.UsageError):
            await session.send_message([InputText(text=unencodable)])
        assert await sent_frames(peer) == []
        await session.send_message("Hi", respond=False)
        assert [frame["type"] for frame in await sent_frames(peer)] == ["conversation.item.create"]


async def test_outputs_of_tools_do_not_wait_but_count(autojump_clock: MockClock) -> None:
    """Ten times the limit is queued, and methods wait until it was sent."""

    @function_tool
    async def report() -> str:
        return "x" * 1000

    peer = PassivePeer(max_messages=2)
    async with open_session_with(
        peer, report, max_outgoing_text=1000, request_timeout=None, reconnect=None
    ) as session:
        response = {"id": "resp_1", "status": "in_progress", "output": []}
        await peer.far.send(json.dumps({"type": "response.created", "response": response}))
        for number in range(10):
            item = {
                "type": "function_call",
                "id": f"item_{number}",
                "call_id": f"call_{number}",
                "name": "report",
                "arguments": "{}",
                "status": "completed",
            }
            done = {"type": "response.output_item.done", "response_id": "resp_1", "item": item}
            await peer.far.send(json.dumps(done))
        await wait_all_tasks_blocked()
        statistics = session.statistics()
        assert statistics.running_tools == 0
        assert 8000 < statistics.outgoing_text < 12_000
        with trio.move_on_after(1) as scope:
            await session.send_message("This waits.")
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.read_all)
            with trio.fail_after(1):
                await session.send_message("This does not.")
            await wait_all_tasks_blocked()
            assert session.statistics().outgoing_text == 0
            nursery.cancel_scope.cancel()
