"""Audio of the user: as it was given, and no more than there is room for."""

from __future__ import annotations

import base64
import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import PassivePeer, open_test_session
from trio_realtime import RealtimeSession
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer


def appended(peer: ScriptedPeer) -> int:
    return sum(frame["type"] == "input_audio_buffer.append" for frame in peer.received)


async def test_audio_is_sent_as_it_was_given_and_commit_asks_for_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_audio(b"\0\1\2\3")
        await session.send_audio(b"\4\5", commit=True)
        await session.send_audio(b"", commit=True)
        await session.commit_audio()
        await session.clear_audio()
        await wait_all_tasks_blocked()
    kinds = [frame["type"] for frame in peer.received[1:]]
    buffer = "input_audio_buffer"
    assert kinds == [
        f"{buffer}.append",
        f"{buffer}.append",
        f"{buffer}.commit",
        f"{buffer}.commit",
        f"{buffer}.commit",
        f"{buffer}.clear",
    ]
    assert [frame["audio"] for frame in peer.received[1:3]] == ["AAECAw==", "BAU="]


async def test_audio_of_a_message_too_large_for_the_service_is_refused_here(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match="15728640"):
            await session.send_audio(bytes(15 * 1024 * 1024 + 1))
        await session.send_audio(b"\0\0")
        await wait_all_tasks_blocked()
        assert appended(peer) == 1


async def next_audio(peer: PassivePeer) -> bytes:
    """The next piece of audio that the client sent."""
    while True:
        frame = json.loads(await peer.far.receive())
        if frame["type"] == "input_audio_buffer.append":
            return base64.b64decode(frame["audio"])


async def test_send_audio_waits_while_too_much_is_in_line_and_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = PassivePeer(max_messages=2)
    pieces = [bytes([number]) * 400 for number in range(20)]
    sent: list[int] = []

    async def send(session: RealtimeSession[None]) -> None:
        for number, piece in enumerate(pieces):
            await session.send_audio(piece)
            sent.append(number)

    async with (
        open_test_session(peer, max_outgoing_audio=1000) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send, session)
        await trio.sleep(10)
        # One is on the wire beside the settings; the others fill the bound, one over it.
        assert len(sent) == 4
        with trio.move_on_after(1) as scope:
            await session.send_audio(b"never sent")
        assert scope.cancelled_caught
        with trio.fail_after(1):
            await session.send_message("Words do not wait for room.")
        assert [await next_audio(peer) for _ in pieces] == pieces
