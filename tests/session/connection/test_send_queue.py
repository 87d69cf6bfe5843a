"""The send queue bounds queued audio."""

from __future__ import annotations

import base64
import json

import trio
from trio.testing import MockClock

from support.sessions import PassivePeer, open_test_session
from trio_realtime import RealtimeSession


async def next_audio(peer: PassivePeer) -> bytes:
    """Return the next audio that the client sent."""
    while True:
        frame = json.loads(await peer.far.receive())
        if frame["type"] == "input_audio_buffer.append":
            return base64.b64decode(frame["audio"])


async def test_send_audio_waits_for_space_and_loses_nothing(
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
        open_test_session(peer, max_outgoing_audio=1000, max_audio_latency=None) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send, session)
        await trio.sleep(10)
        # The connection holds the settings and one append; the queue may exceed its limit by one.
        assert len(sent) == 4
        with trio.move_on_after(1) as scope:
            await session.send_audio(b"never sent")
        assert scope.cancelled_caught
        with trio.fail_after(1):
            await session.send_message("Messages do not wait for space.")
        assert [await next_audio(peer) for _ in pieces] == pieces
