"""The faults of a soak: what happens to the connections and to the server, at random.

``python -m benchmarks.soak.faults SEED`` starts a local server and the proxy, prints the port of the proxy,
and serves until end-of-file on stdin. Then it prints the number of faults of each kind as JSON.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import final

import trio

from trio_realtime.testing.faults import TcpFaultConnection, TcpFaultProxy, serve_tcp_faults

FAULT_INTERVAL = 0.25
"""Seconds between two faults of connections, on average."""

SERVER_FAULT_INTERVAL = 40.0
"""Seconds between two faults of the server, on average."""

CONNECTION_FAULTS = (
    "reset",
    "close",
    "cut_frame",
    "cut_after",
    "freeze",
    "freeze_and_resume",
    "lose_incoming",
    "lose_outgoing",
    "trickle",
)
SERVER_FAULTS = ("refuse", "kill", "stop")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@final
class Server:
    """A local server in a process of its own, on one port.

    Args:
        port: the port to listen on.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._nursery: trio.Nursery | None = None
        self._process: trio.Process | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the server during the block."""
        async with trio.open_nursery() as self._nursery:
            await self.start()
            yield
            self._nursery.cancel_scope.cancel()

    async def start(self) -> None:
        """Start the process, and wait until it listens."""
        assert self._nursery is not None
        arguments = ["serve", "--port", str(self.port), "--pace", "unlimited"]
        start = partial(
            trio.run_process,
            [sys.executable, "-m", "trio_realtime.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        process: trio.Process = await self._nursery.start(start)
        self._process = process
        assert process.stdout is not None
        if not await process.stdout.receive_some():
            raise RuntimeError("the server did not start")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self) -> None:
        """Wait until the process has ended."""
        assert self._process is not None
        await self._process.wait()


@final
class Faults:
    """Makes connections and the server fail.

    Attributes:
        counts: the number of faults of each kind.
    """

    def __init__(self, proxy: TcpFaultProxy, server: Server, random: Random) -> None:
        self.counts: Counter[str] = Counter()
        self._proxy = proxy
        self._server = server
        self._random = random

    async def disturb_connections(self) -> None:
        """Choose an open connection and a fault, again and again."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(self._random.expovariate(1 / FAULT_INTERVAL))
                connections = [c for c in self._proxy.connections if not c.closed.is_set()]
                # Closed connections are not needed any more.
                self._proxy.connections[:] = connections
                if connections:
                    kind = self._random.choice(CONNECTION_FAULTS)
                    self.counts[kind] += 1
                    nursery.start_soon(self._disturb, self._random.choice(connections), kind)

    async def _disturb(self, connection: TcpFaultConnection, kind: str) -> None:
        match kind:
            case "reset":
                connection.reset()
            case "close":
                connection.close()
            case "cut_frame":
                connection.cut_frame(self._random.choice(("incoming", "outgoing")))
            case "cut_after":
                connection.cut_after(self._random.randrange(20_000), "incoming")
            case "freeze":
                connection.freeze()
            case "freeze_and_resume":
                connection.freeze()
                await trio.sleep(0.7)
                connection.resume()
            case "lose_incoming":
                connection.lose("incoming")
            case "lose_outgoing":
                connection.lose("outgoing")
            case _:
                connection.trickle(4_000)
                await trio.sleep(1.0)
                connection.resume()

    async def disturb_server(self) -> None:
        """Stop, kill and restart the server, and refuse connections."""
        while True:
            await trio.sleep(self._random.expovariate(1 / SERVER_FAULT_INTERVAL))
            kind = self._random.choice(SERVER_FAULTS)
            self.counts[kind] += 1
            match kind:
                case "refuse":
                    self._proxy.refuse_connections()
                    await trio.sleep(1.0)
                    self._proxy.accept_connections()
                case "kill":
                    self._server.signal(signal.SIGKILL)
                    await self._server.wait()
                    await self._server.start()
                case _:
                    self._server.signal(signal.SIGSTOP)
                    await trio.sleep(self._random.choice((0.5, 5.0)))
                    self._server.signal(signal.SIGCONT)


async def main(seed: int) -> None:
    server = Server(free_port())
    async with server.running(), serve_tcp_faults("127.0.0.1", server.port) as proxy:
        faults = Faults(proxy, server, Random(seed))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(faults.disturb_connections)
            nursery.start_soon(faults.disturb_server)
            print(proxy.port, flush=True)
            await trio.lowlevel.wait_readable(sys.stdin)  # end-of-file: the parent has ended
            nursery.cancel_scope.cancel()
    print(json.dumps(faults.counts), flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
