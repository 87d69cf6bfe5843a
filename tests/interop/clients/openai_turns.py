"""The turns of the package ``openai``, which has a client for each dialect of the protocol."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any
from urllib.parse import parse_qs

from common import LONG_TEXT, QUESTION, TEXT, Result, Turn, errors, speak, weather_in
from openai import AsyncOpenAI
from pydantic import TypeAdapter, ValidationError

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


@dataclass(frozen=True)
class Dialect:
    """What differs between the clients of the package.

    Attributes:
        resource: the resource that has ``connect``, from the client.
        event: the type of the server's events.
        session: settings of the session.
        output: what the types of events with output begin with.
    """

    resource: str
    event: Any
    session: Mapping[str, Any]
    output: str


class Client:
    """A connection that validates every event with the models of the package."""

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self.connection = connection
        self.output = dialect.output
        self._event: TypeAdapter[Any] = TypeAdapter(dialect.event)

    async def until(self, kind: str) -> Any:
        while True:
            event = await self.connection.recv()
            try:
                self._event.validate_python(event.to_dict())
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
        event = await self.until(f"{self.output}audio_transcript.done")
        await self.until("response.done")
        return str(event.transcript)


@asynccontextmanager
async def connect(dialect: Dialect, url: str) -> AsyncIterator[Client]:
    # The package appends /realtime to the path of its base URL, and the model to its query.
    base_url, _, query = url.partition("/realtime")
    openai = AsyncOpenAI(api_key="local", websocket_base_url=base_url)
    realtime = attrgetter(dialect.resource)(openai)
    async with realtime.connect(model=parse_qs(query.removeprefix("?"))["model"][0]) as connection:
        client = Client(connection, dialect)
        await connection.session.update(session={**dialect.session, "tools": [WEATHER]})
        await client.until("session.updated")
        yield client


async def text(dialect: Dialect, url: str) -> Result:
    async with connect(dialect, url) as client:
        await client.say(TEXT)
        return {"reply": await client.transcript()}


async def tool(dialect: Dialect, url: str) -> Result:
    async with connect(dialect, url) as client:
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


async def vad(dialect: Dialect, url: str) -> Result:
    async with connect(dialect, url) as client:
        speaking = asyncio.create_task(speak(client.send_audio))
        await client.until("input_audio_buffer.speech_started")
        await client.until("input_audio_buffer.speech_stopped")
        reply = await client.transcript()
        await speaking
        return {"reply": reply}


async def barge_in(dialect: Dialect, url: str) -> Result:
    async with connect(dialect, url) as client:
        await client.say(LONG_TEXT)
        delta = await client.until(f"{client.output}audio.delta")
        speaking = asyncio.create_task(speak(client.send_audio))
        await client.until("input_audio_buffer.speech_started")
        response = (await client.until("response.done")).response
        await client.connection.conversation.item.truncate(
            item_id=delta.item_id, content_index=0, audio_end_ms=50
        )
        truncated = await client.until("conversation.item.truncated")
        await speaking
        return {"status": response.status, "truncated_ms": truncated.audio_end_ms}


def make_turns(dialect: Dialect) -> Mapping[str, Turn]:
    turns = {"text": text, "tool": tool, "vad": vad, "barge_in": barge_in}
    return {name: partial(turn, dialect) for name, turn in turns.items()}
