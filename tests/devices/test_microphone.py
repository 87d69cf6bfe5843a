"""A microphone: frames in order, the bound, the end, and a real thread."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from support.audio_host import HEADSET, FakeHost
from trio_realtime.devices import MicrophoneStatistics, open_microphone
from trio_realtime.errors import DeviceError, UsageError


def frame(number: int) -> bytes:
    return number.to_bytes(2, "little") * 480


async def test_frames_arrive_in_order_also_while_a_task_waits() -> None:
    host = FakeHost()
    async with open_microphone(host=host) as microphone:
        assert (microphone.name, microphone.rate) == ("Built-in microphone", 24_000)
        assert host.microphone.frame_size == 480
        host.microphone.record(frame(1))
        host.microphone.record(frame(2))
        assert [await microphone.receive(), await microphone.receive()] == [frame(1), frame(2)]
        async with trio.open_nursery() as nursery:
            received: list[bytes] = []

            async def receive() -> None:
                received.append(await microphone.receive())

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            host.microphone.record(frame(3))
        assert received == [frame(3)]
    assert host.microphone.closed


async def test_the_oldest_frames_are_dropped_and_counted_when_nobody_receives() -> None:
    host = FakeHost()
    async with open_microphone(host=host, max_buffered_ms=60) as microphone:
        for number in range(5):
            host.microphone.record(frame(number), lost=number == 3)
        assert microphone.statistics() == MicrophoneStatistics(
            buffered_ms=60, dropped_ms=40, overruns=1
        )
        assert [await microphone.receive() for _ in range(3)] == [frame(2), frame(3), frame(4)]


async def test_cancelling_the_wait_loses_no_frame() -> None:
    host = FakeHost()
    async with open_microphone(host=host) as microphone:
        with trio.move_on_after(0):
            await microphone.receive()
        host.microphone.record(frame(1))
        with trio.CancelScope() as scope:
            scope.cancel()
            await microphone.receive()
        assert await microphone.receive() == frame(1)


async def test_a_device_that_stops_is_reported_after_its_frames() -> None:
    host = FakeHost()
    async with open_microphone(2, rate=8_000, host=host) as microphone:
        stream = host.microphone
        assert (stream.device, stream.rate, stream.frame_size) == (HEADSET, 8_000, 160)
        stream.record(frame(1))
        stream.on_end()
        assert await microphone.receive() == frame(1)
        for _ in range(2):
            with pytest.raises(DeviceError, match="USB headset has stopped; check that it is conn"):
                await microphone.receive()


async def test_after_the_block_there_are_no_frames() -> None:
    host = FakeHost()
    async with open_microphone(host=host) as microphone:
        host.microphone.record(frame(1))
    host.microphone.record(frame(2))
    host.microphone.on_end()
    with pytest.raises(trio.ClosedResourceError):
        await microphone.receive()


async def test_leaving_the_block_ends_a_waiting_task() -> None:
    async with trio.open_nursery() as nursery:

        async def receive(microphone: trio.abc.ReceiveChannel[bytes]) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await microphone.receive()

        async with open_microphone(host=FakeHost()) as microphone:
            nursery.start_soon(receive, microphone)
            await wait_all_tasks_blocked()


def test_a_device_that_records_after_the_run_is_ignored() -> None:
    host = FakeHost()

    async def main() -> Any:
        async with open_microphone(host=host) as microphone:
            return microphone

    microphone = trio.run(main)
    host.microphone.record(frame(1))
    assert microphone.statistics().buffered_ms == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_ms": 0}, "frame_ms must be more than 0"),
        ({"max_buffered_ms": 10}, "must be at least frame_ms, got 10"),
        ({"max_buffered_ms": math.nan}, "must be at least frame_ms"),
    ],
)
async def test_impossible_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        async with open_microphone(host=FakeHost(), **options):
            pass


@pytest.mark.slow
async def test_frames_of_a_real_thread_arrive_in_order() -> None:
    host = FakeHost()
    async with open_microphone(host=host, max_buffered_ms=math.inf) as microphone:

        def record() -> None:
            for number in range(20_000):
                host.microphone.record(frame(number))

        thread = threading.Thread(target=record)
        thread.start()
        with trio.fail_after(30):
            received = [await microphone.receive() for _ in range(20_000)]
        thread.join()
    assert [int.from_bytes(data[:2], "little") for data in received] == list(range(20_000))
