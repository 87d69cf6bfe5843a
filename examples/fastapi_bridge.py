"""FastAPI on asyncio: each WebSocket of a browser gets a session of its own.

Trio runs in one thread of the process, behind an `AsyncioBridge`. The handlers, and the tool, run on
asyncio. Binary messages are audio, 16-bit mono PCM at 24 kHz, in both directions. Text of the browser is a
message of the user, and the application sends JSON objects with a "type".

The fake browser at the end makes two calls. Start the application by itself with

    uvicorn fastapi_bridge:app
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect

from trio_realtime import RealtimeAgent, ServerVad, SessionConfig, errors, events, function_tool
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.server.asyncio_bridge import AsyncioBridge, AsyncioSession, asyncio_tool

user: ContextVar[str] = ContextVar("user")
orders = {42: "was shipped on Monday", 43: "is being packed"}
database = asyncio.Semaphore(2)  # as many connections as the database allows


@function_tool(timeout=10)
@asyncio_tool
async def lookup_order(number: int) -> str:
    """Look up the state of an order by its number."""
    async with database:  # an object of asyncio: this function runs on the application's loop
        await asyncio.sleep(0.05)
    return f"{user.get()}, order {number} {orders.get(number, 'is unknown')}."


agent = RealtimeAgent[None](name="Shop", instructions="Be brief.", tools=[lookup_order])
config = SessionConfig(turn_detection=ServerVad(), idle_timeout=60, max_duration=15 * 60)

# A service in memory that follows a script. Remove it, and transport= and endpoint= below, to use the
# service that the environment configures.
service = local_connector(
    responder=ScriptedResponder(
        [
            Call("lookup_order", {"number": 42}),
            Say("Order 42 was shipped on Monday.", audio_ms=1000),
            Call("lookup_order", {"number": 43}),
            Say("Order 43 is being packed.", audio_ms=1000),
        ]
    )
)


# --- the application


@asynccontextmanager
async def lifespan(application: FastAPI) -> AsyncGenerator[None]:
    """Run trio as long as the application."""
    async with AsyncioBridge() as bridge:
        application.state.bridge = bridge
        yield


app = FastAPI(lifespan=lifespan)


@app.websocket("/talk/{name}")
async def talk(websocket: WebSocket, name: str) -> None:
    """Connect a browser with a session, until either of them ends."""
    await websocket.accept()
    user.set(name)  # the tools of this session see it
    bridge: AsyncioBridge = websocket.app.state.bridge
    async with (
        bridge.open_session(
            agent, transport=service, endpoint=service.endpoint, config=config
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        listening = group.create_task(listen(websocket, session))
        await report(session, websocket)
        listening.cancel()


async def listen(websocket: WebSocket, session: AsyncioSession[None]) -> None:
    """Pass on what the browser sends. When it has gone away, end the session."""
    with suppress(errors.SessionClosed):  # the session has ended, which `report` notices
        while True:
            match await websocket.receive():
                case {"type": "websocket.disconnect"}:
                    await session.aclose()
                    return
                case {"bytes": bytes(audio)}:
                    await session.send_audio(audio)
                case {"text": str(text)}:
                    await session.send_message(text[:2000])
                case _:
                    pass


async def report(session: AsyncioSession[None], websocket: WebSocket) -> None:
    """Send the browser what happens, until the session ends."""
    async for event in session:
        match event:
            case events.Audio(data=data):
                await websocket.send_bytes(data)
            case events.AudioInterrupted(played_ms=ms):
                await websocket.send_json({"type": "interrupted", "played_ms": ms})
            case events.ToolEnd(tool_name=tool, output_text=output):
                await websocket.send_json({"type": "tool", "tool": tool, "output": output})
            case events.AgentEnd(output=text):
                await websocket.send_json({"type": "agent", "text": text})
            case _:
                pass


# --- a fake browser


async def ask(url: str, question: str) -> None:
    """Ask one question, print what comes back, and hang up."""
    print(f"browser: {question}")
    heard = 0
    async with connect(url, proxy=None) as websocket:
        await websocket.send(question)
        async for message in websocket:
            if isinstance(message, bytes):
                heard += len(message)
                continue
            event: dict[str, Any] = json.loads(message)
            print(f"  {event.pop('type')}: {', '.join(map(str, event.values()))}")
            if "text" in event:
                break
    print(f"  {heard // 48} ms of audio")


async def main() -> None:
    """Run the application under uvicorn, and make two calls."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="wsproto"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/talk"
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await ask(f"{url}/Ann", "What about order 42?")
        await ask(f"{url}/Bob", "And what about order 43?")
        server.should_exit = True
        await serving
    print("the application has stopped")


if __name__ == "__main__":
    asyncio.run(main())
