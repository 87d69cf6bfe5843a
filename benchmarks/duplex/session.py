"""Sessions of this library, through their public API."""

from __future__ import annotations

import trio

from benchmarks.duplex.load import WARM_UP, DuplexLoad, DuplexMeasurement, DuplexMeter
from trio_realtime import Endpoint, RealtimeAgent, RealtimeSession, events, open_realtime_session

AGENT: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one trio run."""
    return trio.run(_run, url, load)


async def _run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start = trio.Event()
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as warm:
            for _ in range(load.sessions):
                warm.start_soon(nursery.start, _talk, url, load, meter, start)
        meter.start()
        start.set()
    return meter.result()


async def _talk(
    url: str,
    load: DuplexLoad,
    meter: DuplexMeter,
    start: trio.Event,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    endpoint = Endpoint.compatible(url, api_key="unused")
    async with open_realtime_session(AGENT, endpoint=endpoint) as session:
        await session.send_message("Go on.")
        if load.mode == "lock":
            await _lock(session, load, meter, start, task_status)
        else:
            await _pace(session, load, meter, start, task_status)


async def _lock(
    session: RealtimeSession[None],
    load: DuplexLoad,
    meter: DuplexMeter,
    start: trio.Event,
    task_status: trio.TaskStatus[None],
) -> None:
    microphone, received = load.microphone, 0
    async for event in session:
        if not isinstance(event, events.Audio):
            continue
        received += 1
        if received > WARM_UP:
            meter.receive(event.data)
        if received == WARM_UP:
            task_status.started()
            await start.wait()
        elif received == WARM_UP + load.frames:
            return
        await session.send_audio(microphone)


async def _pace(
    session: RealtimeSession[None],
    load: DuplexLoad,
    meter: DuplexMeter,
    start: trio.Event,
    task_status: trio.TaskStatus[None],
) -> None:
    task_status.started()
    await start.wait()
    received = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_speak, session, load)
        async for event in session:
            if isinstance(event, events.Audio):
                meter.receive(event.data)
                received += 1
                if received == load.frames:
                    break


async def _speak(session: RealtimeSession[None], load: DuplexLoad) -> None:
    microphone, due = load.microphone, trio.current_time()
    for _ in range(load.frames):
        await session.send_audio(microphone)
        due += load.frame_ms / 1000
        await trio.sleep_until(due)
