"""Run one turn with the client of ``openai``, and print a report as JSON.

:mod:`test_openai_clients` runs this program.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the client runs on asyncio
import base64
import json
import sys
from typing import Any

from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter, ValidationError

ADAPTER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
SPEECH = base64.b64encode(b"\x00\x20" * 24 * 640).decode()
SILENCE = base64.b64encode(bytes(48 * 640)).decode()


class Client:
    """A connection that validates every event with the strict models of the package."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.events: list[Any] = []
        self.invalid: list[str] = []

    async def until(self, kind: str) -> list[Any]:
        events: list[Any] = []
        while not events or events[-1].type != kind:
            event = await self._connection.recv()
            try:
                ADAPTER.validate_python(event.to_dict())
            except ValidationError as exc:
                self.invalid.append(f"{event.type}: {exc}")
            events.append(event)
        self.events += events
        return events

    async def say(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self._connection.conversation.item.create(item=item)
        await self._connection.response.create()


async def text_turn(client: Client, connection: Any) -> Any:
    await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
    await client.say("Hello there")
    events = await client.until("response.done")
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


async def tool_turn(client: Client, connection: Any) -> Any:
    session = {"type": "realtime", "tools": [WEATHER], "output_modalities": ["text"]}
    await connection.session.update(session=session)
    await client.say("What's the weather in Oslo?")
    call = (await client.until("response.function_call_arguments.done"))[-1]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    await client.until("response.done")
    await connection.conversation.item.create(item=output)
    await connection.response.create()
    events = await client.until("response.output_text.done")
    await client.until("response.done")
    return [call.name, json.loads(call.arguments), events[-1].text]


async def speech_turn(client: Client, connection: Any) -> Any:
    transcription = {"model": "gpt-live-transcribe"}
    session = {"type": "realtime", "audio": {"input": {"transcription": transcription}}}
    await connection.session.update(session=session)
    for audio in (SPEECH, SILENCE):
        await connection.input_audio_buffer.append(audio=audio)
    events = await client.until("response.done")
    return sum(
        len(base64.b64decode(e.delta)) for e in events if e.type == "response.output_audio.delta"
    )


async def barge_in(client: Client, connection: Any) -> Any:
    await client.say("tell me something long " * 20)
    events = await client.until("response.output_audio.delta")
    await connection.input_audio_buffer.append(audio=SPEECH)
    done = (await client.until("response.done"))[-1].response
    await connection.conversation.item.truncate(
        item_id=events[-1].item_id, content_index=0, audio_end_ms=50
    )
    await client.until("conversation.item.truncated")
    return [done.status, done.status_details.reason]


async def hosted_turn(client: Client, connection: Any) -> Any:
    server = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com/mcp"}
    session = {"type": "realtime", "tools": [server], "output_modalities": ["text"]}
    await connection.session.update(session=session)
    await client.say("Find the manual")
    events = await client.until("response.done")
    (request,) = [
        e.item
        for e in events
        if e.type == "conversation.item.done" and e.item.type == "mcp_approval_request"
    ]
    answer = {
        "type": "mcp_approval_response",
        "id": "answer_1",
        "approval_request_id": request.id,
        "approve": True,
    }
    await connection.conversation.item.create(item=answer)
    await connection.response.create()
    call = (await client.until("response.done"))[-1].response.output[0]
    await connection.response.create()
    spoken = await client.until("response.output_text.done")
    await client.until("response.done")
    return [call.name, call.output, spoken[-1].text]


TURNS = {turn.__name__: turn for turn in (text_turn, tool_turn, speech_turn, barge_in, hosted_turn)}


async def main(url: str, name: str) -> None:
    openai = AsyncOpenAI(api_key="local", websocket_base_url=url)
    async with openai.realtime.connect(model="gpt-realtime-2.1") as connection:
        client = Client(connection)
        result = await TURNS[name](client, connection)
    errors = [event.to_dict() for event in client.events if event.type == "error"]
    types = sorted({event.type for event in client.events})
    report = {"result": result, "invalid": client.invalid, "errors": errors, "types": types}
    sys.stdout.write(json.dumps(report))


asyncio.run(main(*sys.argv[1:]))
