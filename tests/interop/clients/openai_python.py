"""The client of the package ``openai``. It validates every event with the models of the package."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from common import LONG_TEXT, QUESTION, TEXT, errors, main, speak, weather_in
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter, ValidationError

EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Current weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


class Client:
    """A connection, and what it received."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def until(self, kind: str) -> Any:
        while True:
            event = await self.connection.recv()
            try:
                EVENT.validate_python(event.to_dict())
            except ValidationError as exc:
                errors.append(f"{event.type} is invalid: {exc}")
            if event.type == "error":
                errors.append(event.error.message)
            if event.type == kind:
                return event

    async def say(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.connection.conversation.item.create(item=item)
        await self.connection.response.create()

    async def send_audio(self, frame: bytes) -> None:
        audio = base64.b64encode(frame).decode()
        await self.connection.input_audio_buffer.append(audio=audio)

    async def transcript(self) -> str:
        event = await self.until("response.output_audio_transcript.done")
        await self.until("response.done")
        return str(event.transcript)


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Client]:
    # The package appends /realtime to the path of its base URL, and retains the query.
    openai = AsyncOpenAI(api_key="local", websocket_base_url=url.replace("/realtime", "", 1))
    async with openai.realtime.connect() as connection:
        client = Client(connection)
        await connection.session.update(session={"type": "realtime", "tools": [WEATHER]})
        await client.until("session.updated")
        yield client


async def text(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        await client.say(TEXT)
        return {"reply": await client.transcript()}


async def tool(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        await client.say(QUESTION)
        call = await client.until("response.function_call_arguments.done")
        await client.until("response.done")
        arguments = json.loads(call.arguments)
        output = {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": weather_in(**arguments),
        }
        await client.connection.conversation.item.create(item=output)
        await client.connection.response.create()
        return {"arguments": arguments, "reply": await client.transcript()}


async def vad(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        speaking = asyncio.create_task(speak(client.send_audio))
        await client.until("input_audio_buffer.speech_started")
        await client.until("input_audio_buffer.speech_stopped")
        reply = await client.transcript()
        await speaking
        return {"reply": reply}


async def barge_in(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        await client.say(LONG_TEXT)
        delta = await client.until("response.output_audio.delta")
        speaking = asyncio.create_task(speak(client.send_audio))
        await client.until("input_audio_buffer.speech_started")
        response = (await client.until("response.done")).response
        await client.connection.conversation.item.truncate(
            item_id=delta.item_id, content_index=0, audio_end_ms=50
        )
        truncated = await client.until("conversation.item.truncated")
        await speaking
        return {"status": response.status, "truncated_ms": truncated.audio_end_ms}


main({"text": text, "tool": tool, "vad": vad, "barge_in": barge_in})
