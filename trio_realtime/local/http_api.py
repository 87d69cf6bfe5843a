"""The HTTP endpoints of the local server: ephemeral keys, the list of models, and errors.

The paths are those of OpenAI (``/v1/...``) and Azure (``/openai/v1/...``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from trio_realtime.endpoints import DEFAULT_MODEL

from . import errors, handshake
from .client_secrets import ClientSecrets
from .config import ServerConfig
from .errors import ProtocolError
from .http_requests import HttpRequest, HttpResponse
from .requests import read_message
from .types import Json

__all__ = ["HttpApi"]

_PREFIXES: Final = ("/v1", "/openai/v1")
_MAX_SHOWN_PATH: Final = 200
_RATE_LIMIT: Final = "rate_limit_exceeded"

_Handler: TypeAlias = Callable[[HttpRequest, float], HttpResponse]


class HttpApi:
    """Answers HTTP requests, without I/O.

    Args:
        config: configuration of the server, with its ``epoch``.
        secrets: the ephemeral keys of the server.
    """

    def __init__(self, config: ServerConfig, secrets: ClientSecrets) -> None:
        self._config = config
        self._secrets = secrets
        self._routes: Mapping[str, Mapping[str, _Handler]] = {
            "/realtime": {"GET": self._explain_upgrade},
            "/realtime/client_secrets": {"POST": self._create_client_secret},
            "/realtime/calls": {"POST": self._reject_call},
            "/models": {"GET": self._list_models},
        }

    def respond(self, request: HttpRequest, now: float) -> HttpResponse:
        """Return the response to a request that does not ask for a WebSocket.

        Args:
            request: the request.
            now: current time in seconds.
        """
        route = request.connection_request().route.rstrip("/")
        methods = self._routes.get(_without_prefix(route))
        if methods is None:
            return not_found(request)
        handler = methods.get(request.method)
        if handler is None:
            message = f"Not allowed to {request.method} on {route}: use {', '.join(methods)}."
            return HttpResponse.error(405, message, allow=", ".join(methods))
        if self._config.api_keys is not None and (denied := self._check_key(request)) is not None:
            return denied
        return handler(request, now)

    def _check_key(self, request: HttpRequest) -> HttpResponse | None:
        connection = request.connection_request()
        if not handshake.is_key_rejected(connection, self._config):
            return None
        return unauthorized(request)

    def _create_client_secret(self, request: HttpRequest, now: float) -> HttpResponse:
        try:
            body: Json = read_message(request.body.decode() or "{}")
            return HttpResponse(200, self._secrets.create(body, now))
        except UnicodeDecodeError:
            error = errors.invalid_json("The body is not UTF-8.")
        except ProtocolError as exc:
            error = exc
        return _error(429 if error.code == _RATE_LIMIT else 400, error)

    def _list_models(self, _request: HttpRequest, _now: float) -> HttpResponse:
        config = self._config
        names = sorted(config.models or {config.default_model or DEFAULT_MODEL})
        created = int(config.epoch or 0)
        models = [
            {"id": name, "object": "model", "created": created, "owned_by": "trio-realtime"}
            for name in names
        ]
        return HttpResponse(200, {"object": "list", "data": models})

    def _reject_call(self, _request: HttpRequest, _now: float) -> HttpResponse:
        # Not a 5xx status, because clients retry these.
        message = (
            "The local server does not support WebRTC. "
            "Connect with a WebSocket instead: GET /v1/realtime."
        )
        return HttpResponse.error(400, message, code="webrtc_not_supported")

    def _explain_upgrade(self, request: HttpRequest, _now: float) -> HttpResponse:
        route = request.connection_request().route
        message = f"{route} is a WebSocket: connect to it with a ws:// or wss:// URL."
        return HttpResponse.error(426, message, upgrade="websocket")


def _without_prefix(route: str) -> str:
    for prefix in _PREFIXES:
        if route.startswith(f"{prefix}/"):
            return route.removeprefix(prefix)
    return ""


def not_found(request: HttpRequest) -> HttpResponse:
    """Return the response to a request for a path that does not exist."""
    # Without the query, which may contain a key.
    route = request.connection_request().route[:_MAX_SHOWN_PATH]
    return HttpResponse.error(404, f"Invalid URL ({request.method} {route})")


def unauthorized(request: HttpRequest) -> HttpResponse:
    """Return the response to a request whose key is missing or wrong."""
    key = request.connection_request().api_key
    return _error(401, errors.no_key() if key is None else errors.invalid_key())


def _error(status: int, error: ProtocolError) -> HttpResponse:
    body = {key: value for key, value in error.body().items() if key != "event_id"}
    return HttpResponse(status, {"error": body})
