"""The gateway as a part of a Starlette application. It needs the extra `server`, and no key.

The application has pages and a login of its own. The gateway is mounted at `/voice`.
"""

from functools import partial

import httpx2
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from voice_client import ask

from trio_realtime.local import local_connector
from trio_realtime.server.gateway import (
    Gateway,
    SessionNotFound,
    TenantKeys,
    create_app,
    open_gateway,
    serve_app,
)
from trio_realtime.server.spec import AgentSpec

KEY_HASH = "fcf730b6d95236ecd3c9fc2d92d7b6b2bb061514961aec041d6c7a7192f592e4"
"""The SHA-256 hash of the key of the tenant, here of "secret123"."""

SPECS = {
    "support": AgentSpec(
        name="Support",
        realtime_mode=True,
        instructions="You help {{ customer }}. Be brief.",
        variables={"customer": "a visitor"},
    )
}


def make_app(gateway: Gateway) -> Starlette:
    """Return the application."""

    async def start_call(request: Request) -> JSONResponse:
        """Create a session for a user who has logged in. The page gets a token, and no key."""
        user = request.headers.get("x-user", "a visitor")  # a real program reads its own cookie
        created = await gateway.create_session(tenant="fjord", variables={"customer": user})
        url = f"/voice/v1/sessions/{created.session_id}/stream"
        return JSONResponse({"url": url, "token": created.token})

    async def watch_call(request: Request) -> JSONResponse:
        """Let a colleague listen."""
        try:
            hosted = gateway.find(request.path_params["session_id"], "fjord")
        except SessionNotFound:
            return JSONResponse({"error": "the call is over"}, status_code=404)
        return JSONResponse({"token": gateway.issue_token(hosted.session, "observer")})

    keys = TenantKeys({KEY_HASH: "fjord"}, allow_anonymous=False)
    return Starlette(
        routes=[
            Route("/calls", start_call, methods=["POST"]),
            Route("/calls/{session_id}/watch", watch_call, methods=["POST"]),
            Mount("/voice", create_app(gateway, keys=keys)),
        ]
    )


async def main() -> None:
    """Serve, and make one call."""
    service = local_connector()  # remove it to use the service of the environment
    async with (
        open_gateway(SPECS, endpoint=service.endpoint, connector=service) as gateway,
        trio.open_nursery() as nursery,
    ):
        (url,) = await nursery.start(partial(serve_app, make_app(gateway), port=0))
        await make_a_call(url)
        nursery.cancel_scope.cancel()


async def make_a_call(url: str) -> None:
    """Do what a page does, and what the administration does."""
    async with httpx2.AsyncClient(base_url=url) as client:
        call = (await client.post("/calls", headers={"X-User": "Ada"})).json()
        print(await ask(url.replace("http", "ws", 1) + call["url"], call["token"], "Good morning!"))
        refused = await client.get("/voice/v1/sessions")
        print("without a key:", refused.status_code)
        headers = {"Authorization": "Bearer secret123"}
        agents = await client.get("/voice/v1/agents", headers=headers)
        print("with a key:", agents.json())


if __name__ == "__main__":
    trio.run(main)
