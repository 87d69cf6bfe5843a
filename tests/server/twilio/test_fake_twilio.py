"""The fake Twilio itself: what its line plays, and what it refuses."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings, strategies as st
from trio.testing import MockClock

from trio_realtime.server.twilio.stream import (
    Connected,
    Dtmf,
    Media,
    Stop,
    StreamMessage,
    StreamStart,
    clear_message,
    mark_message,
    media_message,
    parse_message,
)
from trio_realtime.testing.twilio import FakeWebSocket, PhoneLine, dial_media_stream


def test_a_line_plays_in_real_time_and_records_the_silence() -> None:
    line = PhoneLine(10)
    line.add_audio(b"a" * 80, 10.005)
    line.add_mark("1", 10.005)
    line.add_audio(b"b" * 80, 10.006)
    line.add_mark("2", 10.006)
    assert line.next_mark_at == pytest.approx(10.015)
    assert line.take_due_marks(10.0149) == []
    assert line.take_due_marks(10.015) == ["1"]
    assert line.heard_ms(10.02) == 15
    assert line.clear(10.02) == ["2"]
    assert line.heard_ms(10.1) == 15
    assert line.recording(10.03) == b"\xff" * 40 + b"a" * 80 + b"b" * 40 + b"\xff" * 80
    line.add_mark("3", 10.05)
    assert line.take_due_marks(10.05) == ["3"], "nothing is played before it"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 60)), max_size=20), st.integers(0, 900)
)
def test_what_is_heard_is_what_was_sent_until_the_clear(
    pieces: list[tuple[int, int]], clear_ms: int
) -> None:
    line = PhoneLine(0)
    now, sent = 0.0, b""
    for number, (ms, pause) in enumerate(pieces):
        piece = bytes([number + 1]) * ms * 8
        line.add_audio(piece, now)
        sent += piece
        now += pause / 1000
    now += clear_ms / 1000
    heard = line.heard_ms(now)
    line.clear(now)
    assert line.heard_ms(now + 100) == heard
    recorded = line.recording(now + 100).replace(b"\xff", b"")
    assert recorded == sent[: len(recorded)]
    assert len(recorded) == heard * 8


async def serve_everything(websocket: FakeWebSocket, received: list[StreamMessage]) -> None:
    try:
        while True:
            received.append(parse_message(await websocket.receive()))
    except trio.EndOfChannel:
        pass


async def test_a_call_sends_what_twilio_sends(autojump_clock: MockClock) -> None:
    received: list[StreamMessage] = []

    async def serve(websocket: FakeWebSocket) -> str:
        await serve_everything(websocket, received)
        return "served"

    async with dial_media_stream(serve, parameters={"a": "b"}, call_sid="CA1") as call:
        await call.say(b"\x01" * 330)
        await call.press("#")
        await trio.sleep(0.05)
        await call.hang_up()
        await call.hang_up()
    assert call.result == "served"
    assert received[0] == Connected()
    assert isinstance(received[1], StreamStart)
    assert (received[1].call_sid, received[1].parameters) == ("CA1", {"a": "b"})
    media = [message for message in received if isinstance(message, Media)]
    assert b"".join(frame.audio for frame in media).startswith(b"\x01" * 330 + b"\xff" * 150)
    assert [(frame.chunk, frame.timestamp) for frame in media[:3]] == [(1, 0), (2, 20), (3, 40)]
    assert Dtmf(key="#") in received
    assert received[-1] == Stop()


async def test_marks_come_back_when_they_are_played_or_after_a_clear(
    autojump_clock: MockClock,
) -> None:
    async def serve(websocket: FakeWebSocket) -> None:
        while not isinstance(message := parse_message(await websocket.receive()), StreamStart):
            pass
        sid = message.stream_sid
        for name in ("1", "2"):
            await websocket.send(media_message(sid, bytes(800)))
            await websocket.send(mark_message(sid, name))
        await trio.sleep(0.15)
        await websocket.send(clear_message(sid))
        await serve_everything(websocket, [])

    async with dial_media_stream(serve) as call:
        clear = await call.wait_clear()
        await trio.sleep(1)
        assert clear.heard_ms == call.heard_ms == 150
        assert [(mark.name, mark.played, mark.heard_ms) for mark in call.marks] == [
            *(("1", True, 100), ("2", False, 150)),
        ]


async def test_waiting_for_a_clear_ends_with_the_call(autojump_clock: MockClock) -> None:
    async def serve(websocket: FakeWebSocket) -> None:
        await websocket.close()

    with pytest.RaisesGroup(
        pytest.RaisesExc(AssertionError, match="sent no clear"), flatten_subgroups=True
    ):
        async with dial_media_stream(serve) as call:
            await call.wait_clear()


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"event":"media","streamSid":"SID","media":{}}',
        '{"event":"media","streamSid":"SID","media":{"payload":"%%%"}}',
        '{"event":"media","streamSid":"SID","media":{"payload":"","track":"outbound"}}',
        '{"event":"media","streamSid":"other","media":{"payload":""}}',
        '{"event":"mark","streamSid":"SID","mark":{"name":1}}',
        '{"event":"pause","streamSid":"SID"}',
    ],
)
async def test_messages_that_twilio_refuses_are_errors(
    text: str, autojump_clock: MockClock
) -> None:
    async def serve(websocket: FakeWebSocket) -> None:
        while not isinstance(message := parse_message(await websocket.receive()), StreamStart):
            pass
        await websocket.send(text.replace("SID", message.stream_sid))
        await serve_everything(websocket, [])

    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True):
        async with dial_media_stream(serve) as call:
            await call.wait_over()
