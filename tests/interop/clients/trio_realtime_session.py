"""A session of this library, to test it against servers and proxies of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from common import (
    FRAME_MS,
    LONG_TEXT,
    QUESTION,
    TEXT,
    TURN_TIMEOUT,
    Result,
    Turn,
    errors,
    main,
    speech_frames,
    weather_in,
)

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.wire.server import ConversationItemTruncated

Session = RealtimeSession[None]
KEY = "sk-local"
arguments: dict[str, str] = {}


@function_tool
async def get_weather(city: str) -> str:
    """Current weather in a city."""
    arguments["city"] = city
    return weather_in(city)


class Client:
    """A session, and the events that it received."""

    def __init__(self, session: Session, channel: trio.abc.ReceiveChannel[Any]) -> None:
        self.session = session
        self._channel = channel

    async def until(self, *kinds: type) -> Any:
        async for event in self._channel:
            match event:
                case events.Error(error=error):
                    errors.append(str(error))
                case events.RawModelEvent(data=data):
                    event = data  # noqa: PLW2901
            if isinstance(event, kinds):
                return event
        raise EOFError("the session ended")

    async def reply(self) -> str:
        end = await self.until(events.AgentEnd)
        return str(end.output)

    async def speak(self) -> None:
        start = trio.current_time()
        for number, frame in enumerate(speech_frames()):
            await trio.sleep_until(start + number * FRAME_MS / 1000)
            await self.session.send_audio(frame)


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Client]:
    endpoint = Endpoint.compatible(url, api_key=KEY)
    agent = RealtimeAgent(name="Assistant", instructions="Be brief.", tools=[get_weather])
    kinds = (
        events.RawModelEvent,
        events.Error,
        events.Audio,
        events.AgentEnd,
        events.AudioInterrupted,
    )
    async with open_realtime_session(agent, endpoint=endpoint) as session:
        with session.subscribe(*kinds) as channel:
            yield Client(session, channel)


async def text(url: str) -> Result:
    async with connect(url) as client:
        await client.session.send_message(TEXT)
        return {"reply": await client.reply()}


async def tool(url: str) -> Result:
    async with connect(url) as client:
        await client.session.send_message(QUESTION)
        return {"reply": await client.reply(), "arguments": arguments}


async def vad(url: str) -> Result:
    async with connect(url) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.speak)
        reply = await client.reply()
    return {"reply": reply}


async def barge_in(url: str) -> Result:
    async with connect(url) as client, trio.open_nursery() as nursery:
        await client.session.send_message(LONG_TEXT)
        await client.until(events.Audio)
        nursery.start_soon(client.speak)
        await client.until(events.AudioInterrupted)
        result: Result = {}
        while len(result) < 2:
            match await client.until(events.AgentEnd, ConversationItemTruncated):
                case events.AgentEnd(status=status):
                    result.setdefault("status", status)
                case ConversationItemTruncated(audio_end_ms=milliseconds):
                    result["truncated_ms"] = milliseconds
    return result


def run_on_trio(turn: Turn, url: str) -> Result:
    async def run() -> Result:
        with trio.fail_after(TURN_TIMEOUT):
            return await turn(url)

    try:
        return trio.run(run)
    except trio.TooSlowError as exc:
        raise TimeoutError from exc


main({"text": text, "tool": tool, "vad": vad, "barge_in": barge_in}, run_on_trio)
