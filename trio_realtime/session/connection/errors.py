"""From what a transport or the service says to the one exception tree."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import msgspec

from trio_realtime.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    ModelNotAvailable,
    PeerError,
    RealtimeError,
    SessionExpired,
)
from trio_realtime.transports import (
    HandshakeRejected,
    TransportClosed,
    TransportConnectError,
    TransportConnectTimeout,
)

NORMAL_CLOSURE = 1000
CLOSE_AUTHENTICATION = 3000
CLOSE_REQUEST = (4000, 4004)

_AUTHENTICATION_CODES = frozenset({"invalid_api_key", "invalid_organization", "unauthorized"})
_MODEL_CODES = frozenset({"invalid_model", "missing_model", "model_not_found"})


def session_end(closed: TransportClosed, error: PeerError | None) -> RealtimeError | None:
    """What a close means for the consumers of a session; ``None`` for a plain end."""
    if isinstance(error, SessionExpired):
        return error
    if closed.code == NORMAL_CLOSURE:
        return None
    detail = f": {closed.reason}" if closed.reason else ""
    lost = ConnectionLost(
        f"the connection to the service was lost (close code {closed.code}{detail})",
        code=closed.code,
        reason=closed.reason,
    )
    if error is not None:
        lost.add_note(f"the last error of the service was: {error}")
    return lost


def connect_refusal(closed: TransportClosed, error: PeerError | None) -> RealtimeError:
    """Why the service hung up before the session stood.

    The live service accepts the upgrade, says what is wrong in an ``error`` event, and closes with
    3000 (key) or 4000 and 4004 (model, beta header).
    """
    message = str(error) if error is not None else closed.reason or f"close code {closed.code}"
    code = error.code if error is not None else None
    if closed.code == CLOSE_AUTHENTICATION or code in _AUTHENTICATION_CODES:
        return AuthenticationFailed(f"the service refused the key: {message}", code=code)
    if code in _MODEL_CODES or closed.code == CLOSE_REQUEST[1]:
        return ModelNotAvailable(f"the service refused the model: {message}", code=code)
    if error is not None:
        return PeerError(f"the service refused the session: {message}", code=code)
    return ConnectionLost(
        f"the service closed the connection before the session stood ({message})",
        code=closed.code,
        reason=closed.reason,
    )


@contextmanager
def dial_errors(timeout: float) -> Generator[None]:
    """Map what a connector raises while it connects."""
    try:
        yield
    except HandshakeRejected as exc:
        raise _rejected(exc) from exc
    except TransportConnectTimeout as exc:
        raise ConnectTimeout(f"no connection to the service within {timeout:g} s: {exc}") from exc
    except TransportConnectError as exc:
        raise ConnectFailed(str(exc)) from exc


def _rejected(exc: HandshakeRejected) -> RealtimeError:
    words, code = _said(exc.body)
    said = f": {words}" if words else ""
    if exc.status in (401, 403):
        message = f"the service refused the key (HTTP {exc.status}){said}"
        return AuthenticationFailed(message, code=code)
    if exc.status == 404:
        return ModelNotAvailable(f"no such model, deployment or path (HTTP 404){said}", code=code)
    return ConnectFailed(f"{exc}{said}", status=exc.status)


class _ErrorBody(msgspec.Struct):
    """The ``error`` object of an HTTP answer, as the service's REST API has it."""

    message: str = ""
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _ErrorBody


def _said(body: str) -> tuple[str, str | None]:
    """Message and code of a refusal; the whole body where it is not in the service's form."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return body, None
    return error.message or body, None if error.code is None else str(error.code)


ErrorT = TypeVar("ErrorT", bound=RealtimeError)

unheard: ContextVar[bool] = ContextVar("unheard", default=False)
"""Whether this task's exceptions reach nobody: those of tools and hooks are answered and logged."""


def told(error: ErrorT) -> ErrorT:
    """An error of the session to be raised in this task; nobody counts as told by a tool or a hook."""
    before = error.was_told
    other = error.again()
    error.was_told = before or not unheard.get()
    return other
