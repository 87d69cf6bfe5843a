"""Run one turn with the client of ``openai-agents``, and print a report as JSON.

:mod:`test_openai_clients` runs this program.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the client runs on asyncio
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from agents import function_tool, set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeModelConfig, RealtimeRunner

SPEECH = b"\x00\x20" * 24 * 640
SILENCE = bytes(48 * 640)


@function_tool
def get_weather(city: str) -> str:
    """Current weather in a city."""
    return f"Sunny in {city}"


class Log(logging.Handler):
    """Collects the warnings of the package, which logs events that it cannot validate."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Client:
    def __init__(self, session: Any) -> None:
        self.session = session
        self.events: list[Any] = []

    async def until(self, kind: str) -> Any:
        return await self.until_match(lambda event: event.type == kind)

    async def until_match(self, matches: Callable[[Any], bool]) -> Any:
        async for event in self.session:
            self.events.append(event)
            if matches(event):
                return event
        raise SystemExit("the session ended")


def transcripts(client: Client) -> list[str]:
    """Return the transcripts of the assistant in the latest history."""
    updates = [event.history for event in client.events if event.type == "history_updated"]
    messages = [item for item in updates[-1] if getattr(item, "role", "") == "assistant"]
    return [part.transcript or part.text for item in messages for part in item.content]


async def text_turn(client: Client) -> Any:
    await client.session.send_message("Hello there")
    await client.until("agent_end")
    return transcripts(client)


async def tool_turn(client: Client) -> Any:
    await client.session.send_message("What's the weather in Oslo?")
    ended = await client.until("tool_end")
    # The first response may end before or after its tool.
    while sum(event.type == "agent_end" for event in client.events) < 2:
        await client.until("agent_end")
    return [ended.tool.name, ended.output]


async def speech_turn(client: Client) -> Any:
    await client.session.send_audio(SPEECH)
    await client.session.send_audio(SILENCE)
    await client.until("agent_end")
    return sum(len(event.audio.data) for event in client.events if event.type == "audio")


async def barge_in(client: Client) -> Any:
    await client.session.send_message("tell me something long " * 20)
    await client.until("audio")
    await client.session.send_audio(SPEECH)
    await client.until("audio_interrupted")
    raw = await client.until_match(
        lambda event: (
            event.type == "raw_model_event"
            and getattr(event.data, "data", {}).get("type") == "conversation.item.truncated"
        )
    )
    return raw.data.data["type"]


TURNS = {turn.__name__: turn for turn in (text_turn, tool_turn, speech_turn, barge_in)}


async def main(url: str, name: str) -> None:
    log = Log()
    logging.getLogger("openai.agents").addHandler(log)
    set_tracing_disabled(True)
    agent = RealtimeAgent(name="Assistant", instructions="Be brief.", tools=[get_weather])
    runner = RealtimeRunner(agent, config={"model_settings": {"model_name": "gpt-realtime-2.1"}})
    model_config: RealtimeModelConfig = {
        "url": url,
        "api_key": "local",
    }
    async with await runner.run(model_config=model_config) as session:
        client = Client(session)
        result = await TURNS[name](client)
    errors = [str(event.error) for event in client.events if event.type == "error"]
    types = sorted({event.type for event in client.events})
    report = {"result": result, "invalid": log.lines, "errors": errors, "types": types}
    sys.stdout.write(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))
