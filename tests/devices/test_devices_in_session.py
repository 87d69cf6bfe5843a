"""A session with a microphone and a speaker: what is sent, played and reported, and how it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pybase64
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.audio_host import HEADSET, FakeHost
from support.service import begin_audio_response, end_audio
from support.sessions import open_session_with
from trio_realtime import (
    PCMA,
    PCMU,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    errors,
    events,
    open_realtime_session,
)
from trio_realtime.audio import PcmAudio, decode_ulaw, encode_alaw, encode_ulaw
from trio_realtime.devices import Devices, conversation, open_devices
from trio_realtime.local import Say, ScriptedResponder, local_connector
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import AudioFormat

FRAME = b"\x11\x11" * 480
"""20 ms of PCM16 at 24 kHz."""


@asynccontextmanager
async def opened(
    host: FakeHost, peer: ScriptedPeer, *, half_duplex: bool = False, **settings: Any
) -> AsyncGenerator[tuple[RealtimeSession[None], Devices]]:
    async with (
        open_session_with(peer, **settings) as session,
        open_devices(session, half_duplex=half_duplex, host=host) as devices,
    ):
        yield session, devices


def sent_audio(peer: ScriptedPeer) -> list[bytes]:
    return [pybase64.b64decode(frame["audio"]) for frame in peer.received if "audio" in frame]


async def begin_answer(peer: ScriptedPeer, pcm: bytes) -> None:
    begin_audio_response(peer, "resp_1", "item_1", pcm)
    await wait_all_tasks_blocked()


async def test_the_microphone_is_sent_and_closed_with_the_block(autojump_clock: MockClock) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    async with opened(host, peer) as (_, devices):
        assert devices.microphone.name == "Built-in microphone"
        host.microphone.record(FRAME)
        host.microphone.record(FRAME[::-1])
        await wait_all_tasks_blocked()
        assert sent_audio(peer) == [FRAME, FRAME[::-1]]
    assert all(stream.closed for stream in host.streams)


async def test_devices_are_chosen_by_name(autojump_clock: MockClock) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    async with (
        open_session_with(peer) as session,
        open_devices(session, input_device="usb", output_device=2, host=host),
    ):
        assert host.microphone.device == host.speaker.device == HEADSET


async def test_what_was_heard_is_reported(autojump_clock: MockClock) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    async with opened(host, peer) as (session, devices):
        await begin_answer(peer, FRAME * 5)
        await trio.sleep(1)
        # The clock does not count: the device has not taken anything yet.
        assert session.playback.position("item_1") == 0
        heard = []
        for _ in range(4):
            assert host.speaker.play(delay=0.03) == FRAME
            await wait_all_tasks_blocked()
            heard.append(session.playback.position("item_1"))
        # 30 ms of what was taken is still in the device.
        assert heard == [0, 0, 10, 30]
        assert devices.speaker.statistics().buffered_ms == 20


async def test_an_interruption_stops_the_speaker_and_truncates_at_what_was_heard(
    autojump_clock: MockClock,
) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    async with opened(host, peer) as (session, devices):
        await begin_answer(peer, FRAME * 50)
        for _ in range(10):
            host.speaker.play(delay=0.05)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.interrupt)
            await peer.expect("response.cancel")
            truncate = await peer.expect("conversation.item.truncate")
            assert truncate["audio_end_ms"] == 9 * 20 - 50
        await wait_all_tasks_blocked()
        assert devices.speaker.statistics().buffered_ms == 0
        assert host.speaker.play() == bytes(960)


async def test_drain_waits_until_the_speaker_has_played_everything(
    autojump_clock: MockClock,
) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    async with opened(host, peer) as (session, _):
        await begin_answer(peer, FRAME * 3)
        end_audio(peer, "resp_1", "item_1")
        peer.end_response("resp_1")
        frames = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.drain)
            await wait_all_tasks_blocked()
            while nursery.child_tasks:
                frames += 1
                host.speaker.play(delay=0.1)
                await wait_all_tasks_blocked()
        # The last of the three frames is heard 100 ms after it was taken. A report within 20 ms of
        # the end counts as the end.
        assert frames == 3 + 5


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, AudioFormat(rate=16_000)])
async def test_the_formats_of_the_session_are_used(
    autojump_clock: MockClock, audio_format: AudioFormat
) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    settings: dict[str, Any] = {"input_format": audio_format, "output_format": audio_format}
    async with opened(host, peer, **settings) as (session, _):
        rate = audio_format.rate or 8_000
        assert host.microphone.rate == host.speaker.rate == rate
        pcm = decode_ulaw(b"\x11") * (rate // 50)
        host.microphone.record(pcm)
        encoded = PcmAudio(pcm, rate).encode(audio_format)
        await begin_answer(peer, encoded)
        assert sent_audio(peer) == [encoded]
        assert host.speaker.play() == PcmAudio.decode(encoded, audio_format).data
        host.speaker.play()
        await wait_all_tasks_blocked()
        assert session.playback.position("item_1") == 20
    assert encode_ulaw(pcm) != encode_alaw(pcm)


async def test_half_duplex_sends_silence_while_the_agent_is_heard(
    autojump_clock: MockClock,
) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    async with opened(host, peer, half_duplex=True):
        await begin_answer(peer, FRAME)
        host.microphone.record(FRAME)
        await wait_all_tasks_blocked()
        for _ in range(2):  # taken, then heard
            host.speaker.play()
            host.microphone.record(FRAME)
            await wait_all_tasks_blocked()
        assert sent_audio(peer) == [bytes(960), bytes(960), FRAME]


async def test_after_the_block_the_clock_counts_again(autojump_clock: MockClock) -> None:
    host, peer = FakeHost(), ScriptedPeer()
    async with open_session_with(peer) as session:
        async with open_devices(session, host=host):
            await begin_answer(peer, FRAME * 50)
        peer.audio("resp_1", "item_2", FRAME * 50)
        await wait_all_tasks_blocked()
        await trio.sleep(0.5)
        assert session.playback.position("item_2") == pytest.approx(500)


async def test_an_exception_of_the_block_is_raised_unchanged(autojump_clock: MockClock) -> None:
    host = FakeHost()
    with pytest.raises(KeyError):
        async with opened(host, ScriptedPeer()):
            raise KeyError
    assert all(stream.closed for stream in host.streams)


async def test_a_cancelled_block_closes_the_devices(autojump_clock: MockClock) -> None:
    host = FakeHost()
    with trio.move_on_after(1) as scope:
        async with opened(host, ScriptedPeer()):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert [stream.closed for stream in host.streams] == [True, True]


@pytest.mark.parametrize("direction", ["microphone", "speaker"])
async def test_a_device_that_stops_cancels_the_block(
    autojump_clock: MockClock, direction: str
) -> None:
    host = FakeHost()
    cancelled = False
    with pytest.raises(errors.DeviceError, match=f"the {direction} .* has stopped"):
        async with opened(host, ScriptedPeer()):
            getattr(host, direction).on_end()
            try:
                await trio.sleep_forever()
            finally:
                cancelled = True
    assert cancelled
    assert all(stream.closed for stream in host.streams)


async def test_a_device_that_cannot_be_opened_closes_the_other(autojump_clock: MockClock) -> None:
    host = FakeHost(refuses="Built-in speaker")
    with pytest.raises(errors.DeviceError, match="cannot open Built-in speaker"):
        async with opened(host, ScriptedPeer()):
            pass
    assert [stream.closed for stream in host.streams] == [True]


async def test_a_lost_connection_ends_a_block_that_does_not_read(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    with pytest.raises(errors.ConnectionLost):
        async with opened(FakeHost(), peer):
            peer.close(1006)
            await trio.sleep_forever()


async def test_a_closed_session_leaves_the_block_alone(autojump_clock: MockClock) -> None:
    host = FakeHost()
    async with opened(host, ScriptedPeer()) as (session, _):
        await session.aclose()
        host.microphone.record(FRAME)
        host.speaker.play()
        await wait_all_tasks_blocked()
        assert [event async for event in session.events][-1].type == "session_ended"


async def test_more_audio_than_the_bound_is_an_error(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "MAX_BUFFERED", 4 * 960)
    peer = ScriptedPeer()
    with pytest.raises(errors.ConsumerTooSlow, match="4800 bytes of audio wait for the speaker"):
        async with opened(FakeHost(), peer):
            await begin_answer(peer, FRAME * 5)
            await trio.sleep_forever()


async def test_a_whole_call_with_the_local_server(autojump_clock: MockClock) -> None:
    """Devices that run on the virtual clock: the user asks, listens, and interrupts the answer."""
    host = FakeHost()
    spoken = bytearray()

    async def run_devices() -> None:
        start = trio.current_time()
        for number in range(10_000):
            await trio.sleep_until(start + number * 0.02)
            now = number * 20
            loud = now < 800 or 4000 <= now < 4800
            host.microphone.record(b"\x00\x20" * 480 if loud else bytes(960))
            spoken.extend(host.speaker.play(delay=0.04))

    responder = ScriptedResponder([Say("Story", audio_ms=9000), Say("Yes", audio_ms=600)])
    server = local_connector(responder=responder)
    config = SessionConfig(reconnect=None, turn_detection=ServerVad())
    interrupted: list[int] = []
    answers = 0
    async with (
        open_realtime_session(
            RealtimeAgent[None](name="Clerk"),
            endpoint=server.endpoint,
            transport=server,
            config=config,
        ) as session,
        open_devices(session, host=host) as devices,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(run_devices)
        async for event in session:
            match event:
                case events.AudioInterrupted(played_ms=ms):
                    interrupted.append(ms)
                case events.AgentEnd():
                    # The first answer is complete long before it was heard.
                    answers += 1
                    if answers == 2:
                        break
                case _:
                    pass
        await session.drain()
        assert devices.speaker.statistics().underruns == 0
        nursery.cancel_scope.cancel()
    heard_ms = sum(
        1 for sample in range(0, len(spoken), 2) if spoken[sample : sample + 2] != b"\0\0"
    )
    assert len(interrupted) == 1
    assert 2000 < interrupted[0] < 3000
    # The speaker played what was reported, the 40 ms in the device, and the second answer.
    assert heard_ms / 24 == pytest.approx(interrupted[0] + 40 + 600, abs=60)
