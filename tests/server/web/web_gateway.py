"""A gateway with the local server behind it and a TCP proxy before it, in a process of its own.

It prints the URL of the proxy. Each line on its standard input is a command, and printed when it is done: ``cut``
breaks all connections, ``refuse`` refuses new ones, and ``accept`` accepts them again.
"""

from __future__ import annotations

import sys
from functools import partial

import trio

from trio_realtime import FunctionTool, ServerVad, SessionConfig, Transcription, function_tool
from trio_realtime.local import serve_local
from trio_realtime.server.gateway.access import TenantKeys
from trio_realtime.server.gateway.app import create_app
from trio_realtime.server.gateway.gateway import open_gateway
from trio_realtime.server.gateway.serving import serve_app
from trio_realtime.server.spec import AgentSpec

LONG = (
    "please tell me the whole story of the harbor and its lighthouse and of the people who have lived there "
    "since the first ships came and of everything that they have built in all of these years"
)
TRANSCRIPTS = [LONG] * 20
"""The first one is answered for longer than the microphone is silent."""


@function_tool(needs_approval=True)
async def book_table(restaurant: str, guests: int) -> dict[str, object]:
    """Book a table."""
    await trio.lowlevel.checkpoint()
    return {"confirmed": True, "restaurant": restaurant, "guests": guests}


@function_tool
async def get_weather(city: str) -> str:
    """Return the weather."""
    await trio.lowlevel.checkpoint()
    return f"It is sunny in {city}."


@function_tool
async def check_stock(article: str) -> str:
    """Fail, as the warehouse does."""
    await trio.lowlevel.checkpoint()
    raise RuntimeError(f"the warehouse does not know {article}")


class Proxy:
    """Forwards TCP connections until they are cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._scopes: set[trio.CancelScope] = set()
        self.is_refusing = False

    async def handle(self, client: trio.SocketStream) -> None:
        if self.is_refusing:
            await client.aclose()
            return
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                async with await trio.open_tcp_stream("127.0.0.1", self._port) as server:
                    await self._forward_both(client, server)
            except OSError:
                pass
            finally:
                self._scopes.discard(scope)

    async def _forward_both(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, client, server, nursery)
            nursery.start_soon(self._forward, server, client, nursery)

    async def _forward(
        self, source: trio.SocketStream, target: trio.SocketStream, nursery: trio.Nursery
    ) -> None:
        try:
            async for data in source:
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        nursery.cancel_scope.cancel()

    def cut(self) -> None:
        for scope in self._scopes:
            scope.cancel()


def make_specs() -> dict[str, AgentSpec]:
    tools: tuple[FunctionTool, ...] = (book_table, get_weather, check_stock)
    config = SessionConfig(
        turn_detection=ServerVad(silence_duration_ms=400),
        transcription=Transcription(model="gpt-4o-mini-transcribe"),
    )
    support = AgentSpec(
        name="Support", realtime_mode=True, tools=tools, realtime=config, handoffs=("Billing",)
    )
    billing = AgentSpec(name="Billing", realtime_mode=True, realtime=config)
    return {"Support": support, "Billing": billing}


def write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main() -> None:
    async with (
        serve_local(port=0, transcripts=TRANSCRIPTS, pacing=3) as local,
        open_gateway(make_specs(), endpoint=local.endpoint) as gateway,
        trio.open_nursery() as nursery,
    ):
        app = create_app(gateway, keys=TenantKeys({}, allow_anonymous=True))
        urls: list[str] = await nursery.start(partial(serve_app, app, port=0))
        proxy = Proxy(int(urls[0].rpartition(":")[2]))
        listeners = await nursery.start(partial(trio.serve_tcp, proxy.handle, 0, host="127.0.0.1"))
        write_line(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            command = line.strip()
            if command == "cut":
                proxy.cut()
            else:
                proxy.is_refusing = command == "refuse"
            write_line(command)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
