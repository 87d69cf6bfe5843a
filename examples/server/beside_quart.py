"""The gateway next to a Quart-Trio application, in one server. It needs the extra `server`, and quart-trio.

Hypercorn passes requests below `/voice` to the gateway, and all others to Quart.
"""

from functools import partial
from typing import Any, cast

import httpx2
import trio
from hypercorn.middleware.dispatcher import TrioDispatcherMiddleware
from quart_trio import QuartTrio
from voice_client import ask

from trio_realtime.local import local_connector
from trio_realtime.server.gateway import Gateway, TenantKeys, create_app, open_gateway, serve_app
from trio_realtime.server.spec import AgentSpec

SPECS = {"support": AgentSpec(name="Support", realtime_mode=True, instructions="Be brief.")}


def make_quart_app(gateway: Gateway) -> QuartTrio:
    """Return the application of the pages."""
    app = QuartTrio(__name__)

    @app.post("/calls")
    async def start_call() -> dict[str, Any]:
        created = await gateway.create_session(tenant="default")
        return {
            "url": f"/voice/v1/sessions/{created.session_id}/stream",
            "token": created.token,
        }

    return app


async def main() -> None:
    """Serve, and make one call."""
    service = local_connector()  # remove it to use the service of the environment
    async with (
        open_gateway(SPECS, endpoint=service.endpoint, connector=service) as gateway,
        trio.open_nursery() as nursery,
    ):
        keys = TenantKeys({}, allow_anonymous=True)  # only for a program that listens on loopback
        apps = {"/voice": create_app(gateway, keys=keys), "": make_quart_app(gateway)}
        dispatcher: Any = TrioDispatcherMiddleware(cast("Any", apps))
        (url,) = await nursery.start(partial(serve_app, dispatcher, port=0))
        async with httpx2.AsyncClient(base_url=url) as client:
            call = (await client.post("/calls")).json()
            print((await client.get("/voice/healthz")).json())
        print(await ask(url.replace("http", "ws", 1) + call["url"], call["token"], "Good morning!"))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
