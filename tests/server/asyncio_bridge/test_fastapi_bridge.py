"""FastAPI under uvicorn: many sessions at once over real sockets, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from trio_realtime import Endpoint, RealtimeAgent, events, function_tool
from trio_realtime.local import serve_local
from trio_realtime.server.asyncio_bridge import AsyncioBridge, AsyncioSession, asyncio_tool

pytestmark = pytest.mark.slow

SESSIONS = 20
CANCELLED, FAILING = 7, 13


@function_tool
@asyncio_tool
async def lookup_order(number: int) -> str:
    """Look up an order."""
    await asyncio.sleep(0)
    return f"order {number} was shipped"


class Application:
    """A FastAPI application that answers questions with sessions."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.bridge = AsyncioBridge()
        self.endpoint = endpoint
        self.all_open = asyncio.Barrier(SESSIONS)
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.sessions: dict[int, AsyncioSession[None]] = {}
        self.app = FastAPI(lifespan=self.lifespan)
        self.app.websocket("/talk/{number}")(self.serve)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncGenerator[None]:
        async with self.bridge:
            yield

    async def serve(self, websocket: WebSocket, number: int) -> None:
        await websocket.accept()
        self.tasks[number] = asyncio.create_task(self.talk(websocket, number))
        await asyncio.wait([self.tasks[number]])
        if not self.tasks[number].cancelled():
            self.tasks[number].result()

    async def talk(self, websocket: WebSocket, number: int) -> None:
        agent = RealtimeAgent[None](name=f"Agent {number}", tools=[lookup_order])
        async with (
            self.bridge.open_session(agent, endpoint=self.endpoint) as session,
            session.subscribe(events.ToolEnd) as ends,
        ):
            self.sessions[number] = session
            if number < SESSIONS:
                await self.all_open.wait()
            if number == CANCELLED:
                await websocket.send_text('"waiting"')
                async for _ in session:
                    pass
            if number == FAILING:
                raise LookupError("a bug of the application")
            question = await websocket.receive_text()
            answer = await session.ask(question)
            await websocket.send_text(json.dumps([answer.text, (await ends.receive()).output_text]))


@asynccontextmanager
async def running(app: FastAPI) -> AsyncGenerator[str]:
    """Run an application under uvicorn, and yield its address."""
    config = uvicorn.Config(app, log_level="critical", ws="wsproto", lifespan="on")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await task


@asynccontextmanager
async def local_service(bridge: AsyncioBridge) -> AsyncGenerator[Endpoint]:
    """Run the local realtime server on a port, in the thread of a bridge of its own."""
    loop = asyncio.get_running_loop()
    endpoint: asyncio.Future[Endpoint] = loop.create_future()

    async def serve() -> None:
        async with serve_local(pacing=float("inf")) as server:
            loop.call_soon_threadsafe(endpoint.set_result, server.endpoint)
            await trio.sleep_forever()

    task = asyncio.create_task(bridge.run(serve))
    try:
        yield await endpoint
    finally:
        task.cancel()
        await asyncio.wait([task])  # noqa: ASYNC102 - asyncio cancels a task once


async def living_tasks() -> int:
    """The number of trio's tasks, without the one of this call."""
    return trio.lowlevel.current_statistics().tasks_living - 1


def test_many_sessions_under_uvicorn_leave_nothing_behind() -> None:
    async def ask(url: str, number: int) -> Any:
        async with connect(f"{url}/talk/{number}", proxy=None) as websocket:
            await websocket.send(f"What about order {number}? Use lookup_order.")
            return json.loads(await websocket.recv())

    async def main() -> None:
        async with AsyncioBridge() as services, local_service(services) as endpoint:
            application = Application(endpoint)
            async with running(application.app) as url:

                async def cancel() -> None:
                    async with connect(f"{url}/talk/{CANCELLED}", proxy=None) as websocket:
                        assert json.loads(await websocket.recv()) == "waiting"
                        application.tasks[CANCELLED].cancel()
                        with pytest.raises(ConnectionClosed):
                            await websocket.recv()

                async def fail() -> None:
                    with pytest.raises(ConnectionClosed):
                        await ask(url, FAILING)

                await ask(url, SESSIONS)  # the first one, so that everything has started
                await application.tasks[SESSIONS]
                before = await application.bridge.run(living_tasks)
                async with asyncio.TaskGroup() as group:
                    answers = {
                        number: group.create_task(ask(url, number))
                        for number in range(SESSIONS)
                        if number not in (CANCELLED, FAILING)
                    }
                    group.create_task(cancel())
                    group.create_task(fail())
                await asyncio.wait(application.tasks.values())
                for number, answer in answers.items():
                    assert answer.result()[1] == f"order {number} was shipped"
                ends = {n: session.end for n, session in application.sessions.items()}
                reasons = {n: end.reason for n, end in ends.items() if end is not None}
                assert reasons.pop(CANCELLED) == "cancelled"
                assert reasons.pop(FAILING) == "block_raised"
                assert len(reasons) == SESSIONS - 1
                assert set(reasons.values()) == {"closed"}
                assert await application.bridge.run(living_tasks) == before
                assert (await ask(url, 99))[1] == "order 99 was shipped"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    before = set(threading.enumerate())
    with asyncio.Runner() as runner:
        runner.run(main())
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not any("bridge" in name for name in left)
