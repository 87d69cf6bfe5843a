"""A gateway on the local server, and clients with in-memory WebSockets."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Unpack

import trio

from trio_realtime import FunctionTool, SessionConfig
from trio_realtime.local import ServerConfigDict, local_connector
from trio_realtime.server.gateway.admission import Admission
from trio_realtime.server.gateway.gateway import (
    CreatedSession,
    Gateway,
    GatewaySettings,
    open_gateway,
)
from trio_realtime.server.gateway.sockets import ClientGone
from trio_realtime.server.gateway.stream import serve_client
from trio_realtime.server.managed import SessionStores
from trio_realtime.server.rpc import RpcEvent
from trio_realtime.server.spec import AgentSpec
from trio_realtime.transports import Connector

TEST_TIMEOUT = 600
"""Virtual seconds after which a hanging test fails."""


class MemorySocket:
    """A WebSocket in memory, as the gateway sees it.

    Args:
        buffer: messages to the client that are accepted before it reads them.

    Attributes:
        closed: the code and the reason with which the gateway closed it.
    """

    def __init__(self, buffer: float = math.inf) -> None:
        self.to_client, self.at_client = trio.open_memory_channel[str | bytes](buffer)
        self.to_server, self.at_server = trio.open_memory_channel[str | bytes](math.inf)
        self.closed: tuple[int, str] | None = None

    async def receive(self) -> str | bytes:
        try:
            return await self.at_server.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise ClientGone from None

    async def send(self, message: str | bytes) -> None:
        try:
            await self.to_client.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ClientGone from None

    async def close(self, code: int, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = (code, reason)
        self.to_client.close()

    def disconnect(self) -> None:
        """Lose the network."""
        self.to_server.close()
        self.at_client.close()


class GatewayClient:
    """A client of the gateway.

    Attributes:
        socket: its WebSocket.
        welcome: the answer to its hello.
        events: the events that it has received.
        replies: the other messages that it has received.
    """

    def __init__(self, socket: MemorySocket) -> None:
        self.socket = socket
        self.welcome: dict[str, Any] = {}
        self.events: list[RpcEvent] = []
        self.replies: list[dict[str, Any]] = []

    @property
    def last_seq(self) -> int:
        """The number of the last event that it has received."""
        return self.events[-1].seq if self.events else 0

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    async def send(self, type_: str, **fields: Any) -> None:
        await self.socket.to_server.send(json.dumps({"type": type_, **fields}))

    async def receive(self) -> RpcEvent | dict[str, Any]:
        """Return the next event or reply.

        Raises:
            trio.EndOfChannel: the gateway has closed the WebSocket.
        """
        message = await self.socket.at_client.receive()
        if isinstance(message, bytes):
            event = RpcEvent.from_frame(message)
        else:
            value: dict[str, Any] = json.loads(message)
            if "seq" not in value:
                self.replies.append(value)
                return value
            event = RpcEvent.from_dict(value)
        self.events.append(event)
        return event

    async def receive_until(self, type_: str) -> Any:
        """Receive until an event or a reply of this type; return it."""
        while True:
            received = await self.receive()
            kind = received["type"] if isinstance(received, dict) else received.type
            if kind == type_:
                return received

    async def receive_all(self) -> None:
        """Receive until the gateway closes the WebSocket."""
        try:
            while True:
                await self.receive()
        except trio.EndOfChannel:
            return


class GatewayUnderTest:
    """A gateway, and what a test needs to attach clients to it."""

    def __init__(self, gateway: Gateway, nursery: trio.Nursery) -> None:
        self.gateway = gateway
        self._nursery = nursery

    def open_socket(
        self, session_id: str, *, token: str | None = None, buffer: float = math.inf
    ) -> MemorySocket:
        """Open a WebSocket for this session, without a hello."""
        socket = MemorySocket(buffer)
        self._nursery.start_soon(
            partial(serve_client, self.gateway, socket, session_id, token=token)
        )
        return socket

    async def attach(
        self, created: CreatedSession | str, token: str, *, buffer: float = math.inf, **hello: Any
    ) -> GatewayClient:
        """Attach a client; return it with its welcome."""
        session_id = created if isinstance(created, str) else created.session_id
        client = GatewayClient(self.open_socket(session_id, buffer=buffer))
        await client.send("hello", **{"protocol": 1, "token": token, **hello})
        welcome = await client.receive()
        assert isinstance(welcome, dict)
        client.welcome = welcome
        return client

    async def call(self, *, agent: str | None = None, **hello: Any) -> GatewayClient:
        """Create a session, attach its owner, and wait until it is connected."""
        created = await self.gateway.create_session(tenant="acme", agent=agent)
        client = await self.attach(created, created.token, **hello)
        await client.receive_until("run_connected")
        return client


def make_spec(
    *tools: FunctionTool, name: str = "Assistant", config: SessionConfig | None = None
) -> AgentSpec:
    """Return a spec of an agent with these tools."""
    return AgentSpec(name=name, realtime_mode=True, tools=tools, realtime=config or SessionConfig())


@asynccontextmanager
async def open_test_gateway(
    *specs: AgentSpec,
    settings: GatewaySettings | None = None,
    admission: Admission | None = None,
    stores: SessionStores | None = None,
    on_event: Callable[[RpcEvent], None] | None = None,
    connector: Connector | None = None,
    **server: Unpack[ServerConfigDict],
) -> AsyncGenerator[GatewayUnderTest]:
    """Open a gateway on a local server in memory, with :data:`TEST_TIMEOUT` for the block."""
    local = local_connector(**server)
    with trio.fail_after(TEST_TIMEOUT):
        async with (
            trio.open_nursery() as nursery,
            open_gateway(
                {spec.name: spec for spec in specs or (make_spec(),)},
                endpoint=local.endpoint,
                connector=connector or local,
                settings=settings,
                admission=admission,
                stores=stores,
                on_event=on_event,
            ) as gateway,
        ):
            yield GatewayUnderTest(gateway, nursery)
