"""The stream of the gateway on a WebSocket server without HTTP routes. It needs the extra `server`.

Each connection gets a session of its own, so the client needs no token and no request before it.
"""

import hmac
from functools import partial

import trio
from trio_websocket import WebSocketRequest, serve_websocket
from voice_client import ask

from trio_realtime.local import local_connector
from trio_realtime.server.gateway import (
    Gateway,
    NotAdmitted,
    TrioSocket,
    open_gateway,
    serve_client,
)
from trio_realtime.server.spec import AgentSpec

SPECS = {"support": AgentSpec(name="Support", realtime_mode=True, instructions="Be brief.")}
PATH = "/calls/abcd1234"
"""The secret path of the clients. A real program checks a cookie or a header."""


async def answer(gateway: Gateway, request: WebSocketRequest) -> None:
    """Serve one connection."""
    if not hmac.compare_digest(request.path.encode(), PATH.encode()):
        await request.reject(404)
        return
    try:
        created = await gateway.create_session(tenant="default", transport="library")
    except NotAdmitted as refused:
        await request.reject(503, body=str(refused).encode())
        return
    socket = TrioSocket(await request.accept())
    await serve_client(gateway, socket, created.session_id, token=created.token)


async def main() -> None:
    """Serve, and make one call."""
    service = local_connector()  # remove it to use the service of the environment
    async with (
        open_gateway(SPECS, endpoint=service.endpoint, connector=service) as gateway,
        trio.open_nursery() as nursery,
    ):
        start = partial(serve_websocket, partial(answer, gateway), "127.0.0.1", 0, None)
        server = await nursery.start(start)
        url = f"ws://127.0.0.1:{server.port}{PATH}"
        print(await ask(url, None, "Good morning!"))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
