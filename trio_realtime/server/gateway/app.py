"""The ASGI application of the gateway."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from trio_realtime.server.web import static_files

from .access import AccessDenied, OriginPolicy, TenantKeys
from .api import Api
from .gateway import Gateway
from .metrics import GatewayMetrics
from .openai_mode import serve_openai_client
from .responses import access_denied_response
from .sockets import StarletteSocket
from .stream import serve_client
from .telephone import TwilioLine

__all__ = ["create_app"]

_log: Final = logging.getLogger("trio_realtime.server.gateway")

#: The subprotocol with which the clients of OpenAI send a key.
_KEY_PROTOCOL: Final = "openai-insecure-api-key."

_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-cache",
}


def create_app(
    gateway: Gateway,
    *,
    keys: TenantKeys,
    origins: OriginPolicy | None = None,
    metrics: GatewayMetrics | None = None,
    metrics_key_needed: bool = False,
    web: bool = True,
    openai_protocol: bool = True,
    twilio: TwilioLine | None = None,
) -> Starlette:
    """Return the ASGI application of a gateway. It needs a server that runs on trio, such as Hypercorn.

    It may be mounted in another application.

    Args:
        gateway: the gateway.
        keys: the keys of the tenants.
        origins: which web pages may use the gateway; only its own by default.
        metrics: what ``/metrics`` shows; pass its ``count_event`` to :func:`.open_gateway`.
        metrics_key_needed: whether ``/metrics`` needs the key of a tenant.
        web: whether to serve the web client at ``/``.
        openai_protocol: whether to serve the OpenAI Realtime protocol at ``/v1/realtime``.
        twilio: answers calls of Twilio at ``/twilio/voice``.
    """
    policy = origins if origins is not None else OriginPolicy()
    metrics = metrics if metrics is not None else GatewayMetrics()
    metrics.count_running(lambda: gateway.admission.running)
    api = Api(gateway, keys, metrics, origins=policy, metrics_key_needed=metrics_key_needed)

    async def stream(socket: WebSocket) -> None:
        try:
            policy.check(socket.headers.get("origin"), socket.headers.get("host"))
        except AccessDenied as denied:
            await _refuse(socket, denied)
            return
        await socket.accept()
        session_id: str = socket.path_params["session_id"]
        await serve_client(gateway, StarletteSocket(socket), session_id)

    async def openai(socket: WebSocket) -> None:
        try:
            policy.check(socket.headers.get("origin"), socket.headers.get("host"))
            tenant, protocol = _authenticate(keys, socket)
        except AccessDenied as denied:
            await _refuse(socket, denied)
            return
        await socket.accept(protocol)
        model = socket.query_params.get("model", "")
        await serve_openai_client(gateway, StarletteSocket(socket), tenant=tenant, model=model)

    routes = [
        *api.routes(),
        WebSocketRoute("/v1/sessions/{session_id}/stream", stream),
        *([WebSocketRoute("/v1/realtime", openai)] if openai_protocol else []),
        *(twilio.routes() if twilio is not None else []),
        *(_page_routes() if web else []),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=sorted(policy.allowed),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type"],
    )
    return Starlette(routes=routes, middleware=[cors] if policy.allowed else [])


async def _refuse(socket: WebSocket, denied: AccessDenied) -> None:
    """Refuse a WebSocket before it is accepted."""
    _log.info("a WebSocket to %.200s was refused: %s", socket.url.path, denied)
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(access_denied_response(denied))
    else:
        await socket.close(1008)  # the server answers with 403


def _authenticate(keys: TenantKeys, socket: WebSocket) -> tuple[str, str | None]:
    """Return the tenant of a WebSocket, and the subprotocol to accept.

    A browser cannot send headers, so the clients of OpenAI send the key as a subprotocol there.

    Raises:
        AccessDenied: there is no valid key.
    """
    offered: list[str] = socket.scope.get("subprotocols", [])
    authorization = socket.headers.get("authorization")
    for protocol in offered:
        if protocol.startswith(_KEY_PROTOCOL):
            authorization = f"Bearer {protocol.removeprefix(_KEY_PROTOCOL)}"
    return keys.tenant_of(authorization), "realtime" if "realtime" in offered else None


def _page_routes() -> list[Route]:
    return [
        Route("/" if name == "index.html" else f"/{name}", _page(name)) for name in static_files()
    ]


def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
    file = static_files()[name]

    async def serve(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        headers = {**_PAGE_HEADERS, "ETag": file.etag}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers={**headers, "Content-Type": file.content_type})

    return serve
