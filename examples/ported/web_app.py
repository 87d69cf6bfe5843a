"""A web application: browsers talk to two agents over a WebSocket.

The browser sends JSON: audio as a list of samples, an image with a text, "commit_audio", "interrupt", and its
decisions about tool calls. It gets each event of the session as JSON.

Ported from a program of openai-agents; `tests/data/migrate/web_app.py` is the original. What changed:

- One task serves one browser and owns its session. The original keeps sessions, sockets and tasks in
  dictionaries and ends them itself, because no block encloses a session there.
- FastAPI runs on asyncio, so trio-websocket serves the browsers. Quart on Hypercorn would do as well.
- Raw messages become methods: `commit_audio` and `create_response`.
- `handoff_description` becomes an option of the handoff. There is no recommended prompt: the
  instructions say what the agent has to know.
- A handoff has a `tool_end`, without a tool, so the program uses `tool_name` and `output_text`.

The program also plays a browser, and the local server follows a script of what the model says and calls,
so no API key is needed.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    WebSocketRequest,
    open_websocket_url,
    serve_websocket,
)

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    events,
    function_tool,
    handoff,
    item_text,
    open_realtime_session,
    serve_local,
)
from trio_realtime.items import HistoryItem, InputImage
from trio_realtime.local import Call, Say, ScriptedResponder

# --- agents -------------------------------------------------------------------------------------


@function_tool(name="stock")
def count_in_stock(bread: str) -> int:
    """How many loaves of a bread are left."""
    return {"rye": 3}.get(bread, 0)


@function_tool(needs_approval=True)
def reserve(bread: str) -> str:
    """Reserve a loaf for the customer."""
    return f"one {bread} is reserved"


poet = RealtimeAgent[None](name="Poet", instructions="Answer with a haiku about bread.")
shop = RealtimeAgent[None](
    name="Shop",
    instructions="Sell bread. Poems are for the poet: call the function that transfers to it.",
    tools=[count_in_stock, reserve],
    handoffs=[handoff(poet, description="Praises bread in verse.")],
)
config = SessionConfig(
    turn_detection=ServerVad(
        prefix_padding_ms=300,
        silence_duration_ms=500,
        create_response=True,
        interrupt_response=True,
    ),
)


# --- one browser --------------------------------------------------------------------------------


async def serve_browser(endpoint: Endpoint, request: WebSocketRequest) -> None:
    """Connect a browser with a session of its own, until the browser leaves."""
    browser = await request.accept()
    async with (
        open_realtime_session(shop, endpoint=endpoint, config=config) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(forward, session, browser)
        try:
            while True:
                await receive(session, json.loads(await browser.get_message()))
        except ConnectionClosed:
            nursery.cancel_scope.cancel()


async def receive(session: RealtimeSession[None], message: dict[str, Any]) -> None:
    """Do what the browser asks for."""
    match message:
        case {"type": "audio"}:
            samples: list[int] = message["data"]
            await session.send_audio(struct.pack(f"<{len(samples)}h", *samples))
        case {"type": "commit_audio"}:
            await session.commit_audio()
            await session.create_response()
        case {"type": "image", "data_url": str(url), "text": str(text)}:
            await session.send_message([InputImage(image_url=url, detail="high"), text])
        case {"type": "interrupt"}:
            await session.interrupt()
        case {"type": "approve", "call_id": str(call_id), "always": bool(always)}:
            await session.approve_tool_call(call_id, always=always)
        case {"type": "reject", "call_id": str(call_id), "always": bool(always)}:
            await session.reject_tool_call(call_id, always=always)
        case _:
            print("ignored:", message)


async def forward(session: RealtimeSession[None], browser: WebSocketConnection) -> None:
    """Send each event to the browser."""
    async for event in session:
        await browser.send_message(json.dumps(describe(event)))


def describe(event: events.SessionEvent) -> dict[str, Any]:
    """What the browser gets for an event."""
    return {"type": event.type, **details(event)}


def details(event: events.SessionEvent) -> dict[str, Any]:
    """What the browser gets for an event, besides its type."""
    match event:
        case events.AgentStart(agent=agent) | events.AgentEnd(agent=agent):
            return {"agent": agent.name}
        case events.ResponseEnd(usage=usage) if usage is not None:
            return {"tokens": usage.total_tokens}
        case events.Handoff(from_agent=before, to_agent=after):
            return {"from": before.name, "to": after.name}
        case events.ToolStart() | events.ToolEnd() | events.ToolApprovalRequired():
            return tool_details(event)
        case events.Audio(data=pcm):
            return {"audio": base64.b64encode(pcm).decode()}
        case events.HistoryUpdated(history=history):
            return {"history": [describe_item(item) for item in history]}
        case events.HistoryAdded(item=item):
            return {"item": describe_item(item)}
        case events.GuardrailTripped(guardrail_results=results):
            return {"guardrails": [result.name for result in results]}
        case events.Error(error=error):
            return {"error": str(error)}
        case _:
            return {}


def tool_details(
    event: events.ToolStart | events.ToolEnd | events.ToolApprovalRequired,
) -> dict[str, Any]:
    """What the browser gets for an event about a call."""
    match event:
        case events.ToolStart(tool=tool):
            return {"tool": tool.name}
        case events.ToolEnd(tool_name=name, output_text=text):
            return {"tool": name, "output": text}
        case events.ToolApprovalRequired(tool_name=name, call_id=call_id, arguments=arguments):
            return {"tool": name, "call_id": call_id, "arguments": arguments}


def describe_item(item: HistoryItem) -> dict[str, Any]:
    """What the browser gets for an item of the history."""
    return {"id": item.id, "type": item.type, "text": item_text(item)}


@asynccontextmanager
async def serve_browsers(endpoint: Endpoint) -> AsyncGenerator[str]:
    """Serve browsers in the block. Yields the URL of the WebSocket."""
    async with trio.open_nursery() as nursery:
        handler = partial(serve_browser, endpoint)
        server = await nursery.start(serve_websocket, handler, "127.0.0.1", 0, None)
        yield f"ws://127.0.0.1:{server.port}"
        nursery.cancel_scope.cancel()


# --- a browser ----------------------------------------------------------------------------------

SCRIPT: list[Call | Say] = [
    Call("stock", {"bread": "rye"}),
    Call("reserve", {"bread": "rye"}),
    Say("It is reserved."),
    Call("transfer_to_poet"),
    Say("Rye in the morning."),
]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
SPEECH = [0, 8000, 0, -8000] * 3000  # half a second
SILENCE = [0] * 24_000


async def browse(browser: WebSocketConnection) -> None:
    """Play a browser: show a picture, approve what the agent asks for, then speak."""
    await send(browser, type="image", data_url=PICTURE, text="Do you have this one?")
    await watch(browser)
    await send(browser, type="audio", data=[*SPEECH, *SILENCE])
    await watch(browser)


async def send(browser: WebSocketConnection, **message: Any) -> None:
    """Send a message to the application."""
    await browser.send_message(json.dumps(message))


async def watch(browser: WebSocketConnection) -> None:
    """Print events until the end of a turn."""
    while True:
        event = json.loads(await browser.get_message())
        match event["type"]:
            case "tool_approval_required":
                print("approve", event["tool"], event["arguments"])
                await send(browser, type="approve", call_id=event["call_id"], always=False)
            case "tool_end":
                print(f"{event['tool']}: {event['output']}")
            case "handoff":
                print(event["from"], "->", event["to"])
            case "error":
                print("failed:", event["error"])
            case "agent_end":
                print(event["agent"], "has finished")
                return
            case _:
                pass


async def main() -> None:
    """Run the service, the application and one browser."""
    async with (
        serve_local(responder=ScriptedResponder(SCRIPT)) as service,
        serve_browsers(service.endpoint) as url,
        open_websocket_url(url) as browser,
    ):
        await browse(browser)


if __name__ == "__main__":
    trio.run(main)
