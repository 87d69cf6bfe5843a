"""A web application with openai-agents: browsers talk to two agents over a WebSocket.

The browser sends JSON: audio as a list of samples, an image with a text, "commit_audio", "interrupt", and its
decisions about tool calls. It gets each event of the session as JSON.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from contextlib import suppress
from typing import Any
from uuid import uuid4

from agents import function_tool
from agents.extensions.handoff_prompt import RECOMMENDED_PROMPT_PREFIX
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession, RealtimeSessionEvent
from agents.realtime.config import RealtimeUserInputMessage
from agents.realtime.items import RealtimeItem
from agents.realtime.model import RealtimeModelConfig
from agents.realtime.model_events import RealtimeModelRawServerEvent, RealtimeModelUsageEvent
from agents.realtime.model_inputs import RealtimeModelSendRawMessage
from fastapi import FastAPI, WebSocket, WebSocketDisconnect


@function_tool(name_override="stock")
def count_in_stock(bread: str) -> int:
    """How many loaves of a bread are left."""
    return {"rye": 3}.get(bread, 0)


@function_tool(needs_approval=True)
def reserve(bread: str) -> str:
    """Reserve a loaf for the customer."""
    return f"one {bread} is reserved"


poet = RealtimeAgent(
    name="Poet",
    handoff_description="Praises bread in verse.",
    instructions=f"{RECOMMENDED_PROMPT_PREFIX} Answer with a haiku about bread.",
)
shop = RealtimeAgent(
    name="Shop",
    instructions=f"{RECOMMENDED_PROMPT_PREFIX} Sell bread. Poems are for the poet.",
    tools=[count_in_stock, reserve],
    handoffs=[poet],
)


def first_agent() -> RealtimeAgent[Any]:
    return shop


class Sessions:
    """The sessions of all browsers, by an id."""

    def __init__(self) -> None:
        self.sessions: dict[str, RealtimeSession] = {}
        self.sockets: dict[str, WebSocket] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def connect(self, socket: WebSocket, key: str) -> None:
        await socket.accept()
        self.sockets[key] = socket
        runner = RealtimeRunner(first_agent())
        model: RealtimeModelConfig = {
            "initial_model_settings": {
                "model_name": "gpt-realtime-2.1",
                "turn_detection": {
                    "type": "server_vad",
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
        }
        session = await (await runner.run(model_config=model)).enter()
        self.sessions[key] = session
        self.tasks[key] = asyncio.create_task(self.forward(key))

    async def disconnect(self, key: str) -> None:
        task = self.tasks.pop(key)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        session = self.sessions.pop(key)
        await session.close()
        self.sockets.pop(key)

    async def receive(self, key: str, message: dict[str, Any]) -> None:
        session = self.sessions[key]
        match message["type"]:
            case "audio":
                samples = message["data"]
                await session.send_audio(struct.pack(f"<{len(samples)}h", *samples))
            case "commit_audio":
                await self.send_raw(key, {"type": "input_audio_buffer.commit"})
                await self.send_raw(key, {"type": "response.create"})
            case "image":
                picture: RealtimeUserInputMessage = {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": message["data_url"], "detail": "high"},
                        {"type": "input_text", "text": message["text"]},
                    ],
                }
                await session.send_message(picture)
            case "interrupt":
                await session.interrupt()
            case "approve":
                await session.approve_tool_call(message["call_id"], always=message["always"])
            case "reject":
                await session.reject_tool_call(message["call_id"], always=message["always"])

    async def send_raw(self, key: str, event: dict[str, Any]) -> None:
        await self.sessions[key].model.send_event(
            RealtimeModelSendRawMessage(message={"type": event["type"], "other_data": {}})
        )

    async def forward(self, key: str) -> None:
        async for event in self.sessions[key]:
            await self.sockets[key].send_text(json.dumps(describe(event)))


def describe(event: RealtimeSessionEvent) -> dict[str, Any]:
    """What the browser gets for an event."""
    base: dict[str, Any] = {"type": event.type}
    if event.type in ("agent_start", "agent_end"):
        base["agent"] = event.agent.name
    elif event.type == "handoff":
        base |= {"from": event.from_agent.name, "to": event.to_agent.name}
    elif event.type == "tool_start":
        base["tool"] = event.tool.name
    elif event.type == "tool_end":
        base |= {"tool": event.tool.name, "output": str(event.output)}
    elif event.type == "tool_approval_required":
        base |= {"tool": event.tool.name, "call_id": event.call_id, "arguments": event.arguments}
    elif event.type == "audio":
        base["audio"] = base64.b64encode(event.audio.data).decode()
    elif event.type == "history_updated":
        base["history"] = [describe_item(item) for item in event.history]
    elif event.type == "history_added":
        base["item"] = describe_item(event.item)
    elif event.type == "guardrail_tripped":
        base["guardrails"] = [result.guardrail.get_name() for result in event.guardrail_results]
    elif event.type == "raw_model_event":
        base["raw"] = event.data.type
        if isinstance(event.data, RealtimeModelUsageEvent):
            base["tokens"] = event.data.usage.total_tokens
            base["tokens_so_far"] = event.info.context.usage.total_tokens
        elif isinstance(event.data, RealtimeModelRawServerEvent):
            base["raw"] = event.data.data["type"]
    elif event.type == "error":
        base["error"] = str(event.error)
    return base


def describe_item(item: RealtimeItem) -> dict[str, Any]:
    return item.model_dump(exclude={"audio"})


app = FastAPI()
sessions = Sessions()


@app.websocket("/ws")
async def talk(socket: WebSocket) -> None:
    key = str(uuid4())
    await sessions.connect(socket, key)
    try:
        while True:
            await sessions.receive(key, json.loads(await socket.receive_text()))
    except WebSocketDisconnect:
        await sessions.disconnect(key)
