"""Sessions of ``openai-agents``, an SDK on asyncio, used as its documentation says."""

from __future__ import annotations

import asyncio  # noqa: TID251 - openai-agents runs on asyncio

from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession

from benchmarks.duplex.load import WARM_UP, DuplexLoad, DuplexMeasurement, DuplexMeter


def run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    """Run all sessions in one loop."""
    return asyncio.run(_run(url, load))


async def _run(url: str, load: DuplexLoad) -> DuplexMeasurement:
    meter = DuplexMeter(load)
    start = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        warm = [asyncio.Event() for _ in range(load.sessions)]
        for one in warm:
            group.create_task(_talk(url, load, meter, start, one))
        for one in warm:
            await one.wait()
        meter.start()
        start.set()
    return meter.result()


async def _talk(
    url: str, load: DuplexLoad, meter: DuplexMeter, start: asyncio.Event, warm: asyncio.Event
) -> None:
    agent: RealtimeAgent[None] = RealtimeAgent(name="Speaker", instructions="Talk.")
    runner = RealtimeRunner(agent)
    async with await runner.run(model_config={"url": url, "api_key": "unused"}) as session:
        await session.send_message("Go on.")
        if load.mode == "lock":
            await _lock(session, load, meter, start, warm)
        else:
            await _pace(session, load, meter, start, warm)


async def _lock(
    session: RealtimeSession,
    load: DuplexLoad,
    meter: DuplexMeter,
    start: asyncio.Event,
    warm: asyncio.Event,
) -> None:
    microphone, received = load.microphone, 0
    async for event in session:
        if event.type != "audio":
            continue
        received += 1
        if received > WARM_UP:
            meter.receive(event.audio.data)
        if received == WARM_UP:
            warm.set()
            await start.wait()
        elif received == WARM_UP + load.frames:
            return
        await session.send_audio(microphone)


async def _pace(
    session: RealtimeSession,
    load: DuplexLoad,
    meter: DuplexMeter,
    start: asyncio.Event,
    warm: asyncio.Event,
) -> None:
    warm.set()
    await start.wait()
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(_speak(session, load))
        received = 0
        async for event in session:
            if event.type == "audio":
                meter.receive(event.audio.data)
                received += 1
                if received == load.frames:
                    break
        await speaking


async def _speak(session: RealtimeSession, load: DuplexLoad) -> None:
    loop = asyncio.get_running_loop()
    microphone, due = load.microphone, loop.time()
    for _ in range(load.frames):
        await session.send_audio(microphone)
        due += load.frame_ms / 1000
        await asyncio.sleep(max(due - loop.time(), 0))
