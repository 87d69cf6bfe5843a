"""JSON responses of the gateway, and how exceptions become responses."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, Final, TypeAlias

import msgspec
import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from trio_realtime.errors import ConfigurationError, RealtimeError, UsageError
from trio_realtime.server.objects import ObjectStorageError
from trio_realtime.server.spec import VariableNotGiven
from trio_realtime.server.store import HistoryStoreError

from .access import AccessDenied
from .admission import NotAdmitted
from .gateway import SessionNotFound
from .json_values import is_object

__all__ = [
    "Handler",
    "RequestError",
    "access_denied_response",
    "error_response",
    "handles_errors",
    "json_response",
    "read_body",
    "read_json",
]

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

#: Seconds that a client has to send a body.
_BODY_TIMEOUT: Final = 30.0

_log: Final = logging.getLogger("trio_realtime.server.gateway")


class RequestError(Exception):
    """A request is not valid. The message says what to change.

    Attributes:
        status: the HTTP status.
        code: what is wrong, for programs.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status: int = status
        self.code: str = code


def json_response(
    value: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a response with a JSON value."""
    return Response(
        msgspec.json.encode(value),
        status_code=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="application/json",
    )


def error_response(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """Return a response that says what is wrong."""
    body = {"error": {"code": code, "message": message}}
    return json_response(body, status=status, headers=headers)


def access_denied_response(denied: AccessDenied) -> Response:
    """Return the response to a request without a valid key, or of a page that may not use the gateway."""
    if denied.status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
        return error_response(401, "not_authenticated", str(denied), headers)
    return error_response(denied.status, "forbidden", str(denied))


def handles_errors(handler: Handler) -> Handler:
    """Turn the exceptions of a handler into responses. Only a bug of the server is a 500."""

    @wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as exc:  # noqa: BLE001 - a request fails, and the server goes on
            return _response_to(exc)

    return handle


def _response_to(exc: Exception) -> Response:
    match exc:
        case RequestError(status=status, code=code):
            return error_response(status, code, str(exc))
        case AccessDenied():
            return access_denied_response(exc)
        case ClientDisconnect():  # nobody reads the response
            return error_response(400, "invalid_request", "the body is not complete")
        case NotAdmitted(code=code, retry_after=seconds):
            status = 503 if code in ("server_full", "draining") else 429
            return error_response(status, code, str(exc), {"Retry-After": str(math.ceil(seconds))})
        case SessionNotFound():
            return error_response(404, "not_found", str(exc))
        case VariableNotGiven(problem=problem):
            text = f"the instructions need another variable: {problem}; send it in variables"
            return error_response(400, "invalid_request", text)
        case UsageError() if not isinstance(exc, ConfigurationError):
            return error_response(400, "invalid_request", str(exc))
        case _:
            return _failure_of(exc)


def _failure_of(exc: Exception) -> Response:
    """Return the response to what is no error of the client."""
    match exc:
        case ConfigurationError():  # of the operator: the client can do nothing
            _log.error("a request failed: %s", exc)
            return error_response(500, "misconfigured", "the server is not configured correctly")
        case HistoryStoreError() | ObjectStorageError():  # its text may name hosts
            _log.warning("a request failed: %s", exc)
            text = "a store of the server has failed: try again later"
            return error_response(502, "service_failed", text)
        case RealtimeError():
            return error_response(502, "service_failed", str(exc))
        case _:
            _log.error("a request failed", exc_info=exc)
            return error_response(500, "internal_error", "the server failed")


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body of a request.

    Raises:
        RequestError: the body has more than ``limit`` bytes, or does not arrive in time.
    """
    body = bytearray()
    with trio.move_on_after(_BODY_TIMEOUT):
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    text = f"the body may have {limit} bytes"
                    raise RequestError(text, status=413, code="too_large")
        return bytes(body)
    text = f"the body was not received in {_BODY_TIMEOUT:g} seconds"
    raise RequestError(text, status=408, code="timeout")


async def read_json(request: Request, *, limit: int = 256 * 1024) -> dict[str, Any]:
    """Return the JSON object of a request; an empty one if the request has no body.

    Raises:
        RequestError: the body is too large, or no JSON object.
    """
    body = await read_body(request, limit=limit)
    if not body:
        return {}
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise RequestError("the body is not valid JSON") from None
    if not is_object(value):
        raise RequestError("the body must be a JSON object")
    return value
