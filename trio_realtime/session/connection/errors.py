"""Map the errors of transports and the service to the exceptions of the library."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

import attrs

from trio_realtime.errors import (
    AuthenticationFailed,
    ClosedByService,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    ModelNotAvailable,
    PeerError,
    RealtimeError,
    SessionClosed,
    SessionExpired,
    UserCodeError,
)
from trio_realtime.realtime_model import (
    ModelConnection,
    RealtimeModel,
    WebSocketConnection,
    WebSocketModel,
)
from trio_realtime.session.ending import EndCause
from trio_realtime.session.user_code import describe_exception
from trio_realtime.session_end import EndedBy, EndReason
from trio_realtime.transports import (
    CallEnded,
    HandshakeRejected,
    MissingPackage,
    TransportClosed,
    TransportConnectError,
    TransportConnectTimeout,
)

from .http_body import read_error

NORMAL_CLOSURE = 1000
NOT_BY_SERVICE = (1002, 1006, 1007, 1009)
"""Close codes of a broken connection. This side closes with one if a frame is invalid or too long."""
CLOSE_AUTHENTICATION = 3000
CLOSE_REQUEST = (4000, 4004)

_EXPIRED = re.compile(
    r"session[ _](?:has |is |was )?(?:expired|timed out|time ?out)"
    r"|max(?:imum)?[ _](?:(?:session[ _])?(?:duration|lifetime)|session[ _]length)"
    r"|(?:duration|time) limit\b.*\b(?:reached|exceeded|hit)"
    r"|session\b.*\b(?:reached|exceeded|hit)\b.*\b(?:duration|time) limit",
    re.IGNORECASE,
)
"""What services write into the reason of a close when the session's time is over."""

_AUTHENTICATION_CODES = frozenset({"invalid_api_key", "invalid_organization", "unauthorized"})
_MODEL_CODES = frozenset({"invalid_model", "missing_model", "model_not_found"})


def end_of_connection(
    closed: TransportClosed, error: PeerError | None, expected: EndCause | None = None
) -> EndCause:
    """Return what it means for a session that its connection has ended.

    The live service sends an ``error`` event before it closes a session that has reached its maximum
    duration. Other services only say so in the close frame, also with code 1000.

    Args:
        closed: how the connection ended.
        error: the last error of the service that may explain it.
        expected: why this side is about to close the session, if it is.
    """
    code, reason = closed.code, closed.reason
    if isinstance(error, SessionExpired):
        return _loss("service", "session_expired", closed, error)
    if _EXPIRED.search(reason):
        expired = SessionExpired(reason, code="session_expired")
        return _loss("service", "session_expired", closed, expired)
    if expected is not None and code == NORMAL_CLOSURE:
        return attrs.evolve(expected, code=code, close_reason=reason)
    if isinstance(closed, CallEnded):
        over = SessionClosed("the call is over")
        return EndCause(
            by="user", reason="hung_up", code=code, close_reason=reason, sender_error=over
        )
    detail = f": {reason}" if reason else ""
    lost: ConnectionLost
    if code in NOT_BY_SERVICE:
        lost = ConnectionLost(
            f"the connection to the service was lost (close code {code}{detail})",
            code=code,
            reason=reason,
        )
    else:
        lost = ClosedByService(
            f"the service closed the connection (close code {code}{detail})",
            code=code,
            reason=reason,
        )
    if error is not None:
        lost.add_note(f"the last error of the service was: {error}")
    if isinstance(lost, ClosedByService):
        return _loss("service", "closed_by_service", closed, lost)
    return _loss("network", "connection_lost", closed, lost)


def end_after_failure(error: RealtimeError) -> EndCause:
    """Return what it means for a session that no further connection could be opened."""
    code = error.code if isinstance(error, ConnectionLost) else None
    by: EndedBy = "service" if isinstance(error, PeerError | ClosedByService) else "network"
    reason: EndReason = "reconnect_failed"
    if isinstance(error, SessionExpired):
        reason = "session_expired"
    elif isinstance(error, ClosedByService):
        reason = "closed_by_service"
    return EndCause(by=by, reason=reason, loss=error, sender_error=error, code=code)


def _loss(
    by: EndedBy, reason: EndReason, closed: TransportClosed, error: RealtimeError
) -> EndCause:
    return EndCause(
        by=by,
        reason=reason,
        loss=error,
        sender_error=error,
        code=closed.code,
        close_reason=closed.reason,
    )


def model_failure(connection: ModelConnection, exc: Exception) -> RealtimeError:
    """Return what it means that a model raised. The default model is the library's own.

    Raises:
        Exception: ``exc``, if the connection is that of the default model.
    """
    if isinstance(connection, WebSocketConnection):
        raise exc
    failure = UserCodeError(f"the realtime model raised {describe_exception(exc)}")
    failure.__cause__ = exc
    return failure


def connect_failure(model: RealtimeModel, exc: Exception) -> UserCodeError:
    """Return what it means that connecting raised an exception that no connector may raise.

    Raises:
        Exception: ``exc``, if only code of the library has run.
    """
    if isinstance(model, WebSocketModel) and not model.has_custom_connector:
        raise exc
    failure = UserCodeError(f"connecting raised {describe_exception(exc)}")
    failure.__cause__ = exc
    return failure


def handshake_error(closed: TransportClosed, error: PeerError | None) -> RealtimeError:
    """Return why the service closed the connection during the handshake.

    The live service accepts the upgrade, sends an ``error`` event, and closes with 3000 (the key) or
    with 4000 or 4004 (the model, the beta header).
    """
    message = str(error) if error is not None else closed.reason or f"close code {closed.code}"
    code = error.code if error is not None else None
    if closed.code == CLOSE_AUTHENTICATION or code in _AUTHENTICATION_CODES:
        return AuthenticationFailed(f"the service rejected the key: {message}", code=code)
    if code in _MODEL_CODES or closed.code == CLOSE_REQUEST[1]:
        return ModelNotAvailable(f"the service does not serve the model: {message}", code=code)
    if error is not None:
        return PeerError(f"the service rejected the session: {message}", code=code)
    return ConnectionLost(
        f"the service closed the connection during the handshake ({message})",
        code=closed.code,
        reason=closed.reason,
    )


@contextmanager
def map_connect_errors(timeout: float) -> Generator[None]:
    """Map what a connector raises while it connects.

    ``timeout`` is the configured limit in seconds. The connector's own limit is what was left of it.
    """
    try:
        yield
    except HandshakeRejected as exc:
        raise _rejected(exc) from exc
    except MissingPackage as exc:
        raise ConfigurationError(str(exc)) from exc
    except TransportConnectTimeout as exc:
        raise ConnectTimeout(f"no connection to the service within {timeout:g} s") from exc
    except TransportConnectError as exc:
        raise ConnectFailed(str(exc), status=exc.status, retry_after=exc.retry_after) from exc
    except OSError as exc:  # from a connector of the user
        raise ConnectFailed(f"could not connect: {describe_exception(exc)}") from exc


def _rejected(exc: HandshakeRejected) -> RealtimeError:
    detail, code = read_error(exc.body)
    suffix = f": {detail}" if detail else ""
    if exc.status in (401, 403):
        message = f"the service rejected the key (HTTP {exc.status}){suffix}"
        return AuthenticationFailed(message, code=code)
    if exc.status == 404:
        return ModelNotAvailable(
            f"the model, deployment or path does not exist (HTTP 404){suffix}", code=code
        )
    if exc.location is not None:
        suffix = ""  # the body only names the target again
    if exc.retry_after is not None:
        suffix += f" (try again after {exc.retry_after:g} s)"
    return ConnectFailed(f"{exc}{suffix}", status=exc.status, retry_after=exc.retry_after)
