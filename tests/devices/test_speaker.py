"""A speaker: queue, progress, the end, and a real thread."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import Sequencer, wait_all_tasks_blocked

from support.audio_host import HEADSET, FakeHost
from trio_realtime.devices import Speaker, SpeakerStatistics, open_speaker
from trio_realtime.errors import DeviceError, UsageError

FRAME = b"\x01\x00" * 480


async def test_audio_is_played_and_waited_for() -> None:
    host = FakeHost()
    async with open_speaker(host=host) as speaker, trio.open_nursery() as nursery:
        assert (speaker.name, speaker.rate) == ("Built-in speaker", 24_000)
        await speaker.wait_silent()
        await speaker.play(FRAME * 2)
        assert speaker.statistics() == SpeakerStatistics(buffered_ms=40, underruns=0)
        nursery.start_soon(speaker.wait_silent)
        # The device is 20 ms late, so the second frame is heard when the fourth one is taken.
        for expected in (FRAME, FRAME, bytes(960)):
            assert host.speaker.play(0.02) == expected
            await wait_all_tasks_blocked()
            assert speaker.is_audible
            assert nursery.child_tasks
        host.speaker.play(0.02)
        assert not speaker.is_audible
    assert host.speaker.closed


async def test_play_waits_while_a_second_is_queued() -> None:
    host = FakeHost()
    steps = Sequencer()
    async with open_speaker(host=host) as speaker, trio.open_nursery() as nursery:
        await speaker.play(FRAME * 51)

        async def play_more() -> None:
            await speaker.play(FRAME)
            async with steps(1):
                pass

        nursery.start_soon(play_more)
        await wait_all_tasks_blocked()
        assert speaker.statistics().buffered_ms == 51 * 20
        async with steps(0):
            host.speaker.play()
        async with steps(2):
            assert speaker.statistics().buffered_ms == 51 * 20
        with trio.move_on_after(0) as scope:
            await speaker.play(FRAME)
        assert scope.cancelled_caught
        assert speaker.statistics().buffered_ms == 51 * 20


async def test_discarded_audio_is_not_played() -> None:
    host = FakeHost()
    async with open_speaker(host=host) as speaker:
        await speaker.play(FRAME * 2)
        host.speaker.play()
        speaker.discard()
        assert host.speaker.play() == bytes(960)
        host.speaker.play(underflow=True)
        assert speaker.statistics() == SpeakerStatistics(buffered_ms=0, underruns=1)


async def test_a_device_that_stops_ends_every_wait() -> None:
    host = FakeHost()
    async with open_speaker("usb", rate=8_000, host=host) as speaker:
        assert (host.speaker.device, host.speaker.frame_size) == (HEADSET, 160)
        await speaker.play(bytes(320))
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(DeviceError, match="USB headset has stopped"):
                    await speaker.wait_silent()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            host.speaker.on_end()
        with pytest.raises(DeviceError, match="USB headset has stopped"):
            await speaker.play(bytes(320))


async def test_leaving_the_block_drops_the_audio_and_ends_the_waits() -> None:
    host = FakeHost()
    async with trio.open_nursery() as nursery:

        async def wait(speaker: Speaker) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await speaker.wait_silent()

        async with open_speaker(host=host) as speaker:
            await speaker.play(FRAME)
            nursery.start_soon(wait, speaker)
            await wait_all_tasks_blocked()
    assert host.speaker.play() == bytes(960)
    with pytest.raises(trio.ClosedResourceError):
        await speaker.play(FRAME)


async def test_half_a_sample_is_rejected() -> None:
    async with open_speaker(host=FakeHost()) as speaker:
        with pytest.raises(UsageError, match="even number of bytes, got 3"):
            await speaker.play(b"abc")


@pytest.mark.slow
async def test_a_real_thread_plays_every_sample_once() -> None:
    host = FakeHost()
    played = bytearray()
    stop = threading.Event()

    def run_device() -> None:
        while not stop.is_set():
            played.extend(host.speaker.play())

    async with open_speaker(host=host) as speaker:
        thread = threading.Thread(target=run_device)
        thread.start()
        try:
            with trio.fail_after(30):
                for number in range(1, 2000):
                    await speaker.play(number.to_bytes(2, "little") * 480)
                await speaker.wait_silent()
        finally:
            stop.set()
            thread.join()
    blocks = [played[start : start + 960] for start in range(0, len(played), 960)]
    numbers = [int.from_bytes(block[:2], "little") for block in blocks]
    assert [number for number in numbers if number] == list(range(1, 2000))
