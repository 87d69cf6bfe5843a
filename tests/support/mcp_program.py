"""A real MCP server as a program, by the SDK: ``python mcp_program.py stdio`` or ``... http PORT``.

What happens in it, and on which port it listens, it tells a test by a socket: the port of the test
stands in the environment as ``WITNESS``. ``stubborn`` as a further argument makes it ignore
that it should end, and start a program that does so too.
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

witness = socket.create_connection(("127.0.0.1", int(os.environ["WITNESS"])))


def tell(what: str) -> None:
    witness.sendall(f"{what}\n".encode())


server = MCPServer("program", log_level="CRITICAL")


@server.tool()
async def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool()
async def hang() -> str:
    """Never end."""
    tell("hangs")
    try:
        await anyio.sleep_forever()
    finally:
        tell("cancelled")
    return ""


def be_stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # It holds the connection to the witness as well, so that its end is seen too.
    subprocess.Popen(
        [sys.executable, "-c", "import signal\nwhile True: signal.pause()"],
        pass_fds=[witness.fileno()],
    )


def main() -> None:
    if "stubborn" in sys.argv:
        be_stubborn()
    tell(f"pid {os.getpid()}")
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
        tell(f"port {listener.getsockname()[1]}")
        config = uvicorn.Config(server.streamable_http_app(), log_level="critical")
        uvicorn.Server(config).run(sockets=[listener])
    while "stubborn" in sys.argv:
        signal.pause()


if __name__ == "__main__":
    main()
