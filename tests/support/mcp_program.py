"""A real MCP server as a program: ``python mcp_program.py stdio`` or ``... http PORT``.

The program reports to a test over a socket what happens in it, and the port that it listens on. The
environment variable ``OBSERVER_PORT`` holds the test's port. With the further argument
``ignore-exit`` it ignores requests to exit, and starts a child that does the same.
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


def report(text: str) -> None:
    observer.sendall(f"{text}\n".encode())


server = MCPServer("program", log_level="CRITICAL")


@server.tool()
async def echo(text: str) -> str:
    """Return the text."""
    return text


@server.tool()
async def hang() -> str:
    """Wait until cancelled."""
    report("hang called")
    try:
        await anyio.sleep_forever()
    finally:
        report("hang cancelled")
    return ""


def ignore_exit_requests() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # The child inherits the observer's connection, so that the test notices its exit too.
    subprocess.Popen(
        [sys.executable, "-c", "import signal\nwhile True: signal.pause()"],
        pass_fds=[observer.fileno()],
    )


def main() -> None:
    if "ignore-exit" in sys.argv:
        ignore_exit_requests()
    report(f"pid {os.getpid()}")
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
        report(f"port {listener.getsockname()[1]}")
        config = uvicorn.Config(server.streamable_http_app(), log_level="critical")
        uvicorn.Server(config).run(sockets=[listener])
    while "ignore-exit" in sys.argv:
        signal.pause()


if __name__ == "__main__":
    main()
