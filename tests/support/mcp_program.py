"""A real MCP server as a program: ``python mcp_program.py stdio`` or ``... http PORT``.

It sends messages to the test through a socket, such as its process id and its port. The test's own
port is in the environment variable ``OBSERVER_PORT``. With the additional argument ``stubborn``, the
program ignores SIGTERM and starts a child process that ignores it too.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import anyio
import uvicorn
from mcp.server.mcpserver import MCPServer

observer = socket.create_connection(("127.0.0.1", int(os.environ["OBSERVER_PORT"])))


def send_message(what: str) -> None:
    observer.sendall(f"{what}\n".encode())


server = MCPServer("program", log_level="CRITICAL")


@server.tool()
async def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool()
async def hang() -> str:
    """Block until cancelled."""
    send_message("hangs")
    try:
        await anyio.sleep_forever()
    finally:
        send_message("cancelled")
    return ""


def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # The child inherits the connection to the observer, so that the observer notices its end.
    subprocess.Popen(
        [sys.executable, "-c", "import signal\nwhile True: signal.pause()"],
        pass_fds=[observer.fileno()],
    )


def main() -> None:
    if "stubborn" in sys.argv:
        ignore_sigterm()
    send_message(f"pid {os.getpid()}")
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
        send_message(f"port {listener.getsockname()[1]}")
        config = uvicorn.Config(server.streamable_http_app(), log_level="critical")
        uvicorn.Server(config).run(sockets=[listener])
    while "stubborn" in sys.argv:
        signal.pause()


if __name__ == "__main__":
    main()
