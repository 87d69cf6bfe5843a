"""The client of the package ``openai-agents``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents import function_tool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeRunner
from common import LONG_TEXT, QUESTION, TEXT, errors, main, speak, weather_in

arguments: dict[str, str] = {}


@function_tool
def get_weather(city: str) -> str:
    """Current weather in a city."""
    arguments["city"] = city
    return weather_in(city)


class Client:
    """A session, and the events that it received."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self._events = aiter(session)

    async def until(self, kind: str) -> Any:
        async for event in self._events:
            if event.type == "error":
                errors.append(str(event.error))
            if kind in (event.type, raw_event(event).get("type")):
                return event
        raise EOFError("the session ended")

    async def reply(self) -> str:
        """Wait until the agent has spoken; return the transcript."""
        while True:
            event = raw_event(await self.until("response.done"))
            for item in event["response"]["output"]:
                if item["type"] == "message":
                    return str(item["content"][0]["transcript"])


def raw_event(event: Any) -> Any:
    """Return the server's event; an empty one for an event of the session."""
    data = getattr(getattr(event, "data", None), "data", None)
    return data if isinstance(data, dict) else {}


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Client]:
    set_tracing_disabled(True)
    agent = RealtimeAgent(name="Assistant", instructions="Be brief.", tools=[get_weather])
    runner = RealtimeRunner(agent)
    async with await runner.run(model_config={"url": url, "api_key": "local"}) as session:
        yield Client(session)


async def text(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        await client.session.send_message(TEXT)
        return {"reply": await client.reply()}


async def tool(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        await client.session.send_message(QUESTION)
        return {"reply": await client.reply(), "arguments": arguments}


async def vad(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        speaking = asyncio.create_task(speak(client.session.send_audio))
        reply = await client.reply()
        await speaking
        return {"reply": reply}


async def barge_in(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        await client.session.send_message(LONG_TEXT)
        await client.until("audio")
        speaking = asyncio.create_task(speak(client.session.send_audio))
        await client.until("audio_interrupted")
        result: dict[str, Any] = {}
        while len(result) < 2:
            event = raw_event(await client.until("raw_model_event"))
            if event.get("type") == "response.done":
                result["status"] = event["response"]["status"]
            elif event.get("type") == "conversation.item.truncated":
                result["truncated_ms"] = event["audio_end_ms"]
        await speaking
        return result


main({"text": text, "tool": tool, "vad": vad, "barge_in": barge_in})
