"""The one exception tree. The branch tells who is at fault, so what to do about it.

::

    RealtimeError
    ├── UsageError             you: mend the call (also a ValueError)
    │   ├── ConfigurationError    a setting, an endpoint, an agent that cannot work
    │   ├── SessionClosed         the session was already left or closed
    │   ├── GuardrailFailed       a guardrail of yours raised
    │   ├── HookFailed            a hook of yours raised
    │   ├── ToolFailed            a tool of yours failed, and was to end the session then
    │   └── ToolTimedOut          a tool of yours took too long, and that counts as a failure
    ├── PeerError              the service said no
    │   ├── AuthenticationFailed  the key was refused (HTTP 401/403, or close 3000)
    │   ├── ModelNotAvailable          the model is unknown or not for realtime (close 4000/4004, HTTP 404)
    │   ├── RequestRejected        one request was answered with an ``error`` event
    │   │   └── SettingsRejected      ... and that request was a ``session.update``
    │   ├── ResponseFailed        a response ended ``failed`` or ``incomplete``, or was cancelled
    │   ├── SessionExpired        the session reached its maximum duration
    │   └── ProtocolViolation     the peer broke the protocol
    ├── NetworkError           the world between: retry may help
    │   ├── ConnectFailed         no connection came about
    │   ├── ConnectTimeout        ... within ``connect_timeout``
    │   └── ConnectionLost        it was there and went away
    ├── McpServerFailed        an MCP server did not start, or was lost
    │   └── McpCallFailed         ... or a call of it failed
    ├── ConsumerTooSlow        a consumer left more unread than it may
    └── InternalError          a bug of this library: please report it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

__all__ = [
    "AuthenticationFailed",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "ConsumerTooSlow",
    "GuardrailFailed",
    "HookFailed",
    "InternalError",
    "McpCallFailed",
    "McpServerFailed",
    "ModelNotAvailable",
    "NetworkError",
    "PeerError",
    "ProtocolViolation",
    "RealtimeError",
    "RequestRejected",
    "ResponseFailed",
    "SessionClosed",
    "SessionExpired",
    "SettingsRejected",
    "ToolFailed",
    "ToolTimedOut",
    "UsageError",
]


class RealtimeError(Exception):
    """Base of everything that this library raises on purpose.

    ``was_told`` is for the session that ends with this error: whether anybody got it.
    """

    was_told: bool = False

    def again(self) -> Self:
        """The same error as an exception of its own, to be raised in another task.

        One exception object that is raised twice would mix the tracebacks of those who got it.
        """
        self.was_told = True
        other = type(self).__new__(type(self), *self.args)
        other.args = self.args
        other.__dict__.update(self.__dict__)
        other.__cause__ = self.__cause__
        return other


class UsageError(RealtimeError, ValueError):
    """You asked for something that cannot be done. Mend the call; trying again will not help."""


class ConfigurationError(UsageError):
    """A setting, an endpoint or an agent cannot work as given. Raised before anything is sent."""


class SessionClosed(UsageError):
    """The session was already closed from this side."""


class GuardrailFailed(UsageError):
    """A guardrail raised; the cause is what it raised. The session goes on."""


class HookFailed(UsageError):
    """A hook raised; the cause is what it raised. The session goes on, and so do the hooks."""


class ToolFailed(UsageError):
    """A tool with ``on_failure="end_session"`` failed; the cause is what it raised.

    The call was answered all the same. Open a new session when the tool is mended.
    """


class ToolTimedOut(UsageError, TimeoutError):
    """A tool took longer than its ``timeout``; it was cancelled.

    What a tool with ``on_timeout="failure"`` is taken to have raised.
    """


class PeerError(RealtimeError):
    """The service refused or failed.

    ``code`` and ``param`` are the service's own, where it gave any; ``event_id`` is that of the event
    of ours which it is about.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.event_id = event_id


class AuthenticationFailed(PeerError):
    """The key was refused. Check the key and that it belongs to this endpoint."""


class ModelNotAvailable(PeerError):
    """The model does not exist, is not for realtime, or is not yours to use."""


class RequestRejected(PeerError):
    """The service answered one of our requests with an ``error`` event. The session goes on."""


class SettingsRejected(RequestRejected):
    """The service refused a ``session.update``; none of it was applied."""


class ResponseFailed(PeerError):
    """A response did not complete. The session goes on.

    ``status`` is ``failed``, ``incomplete`` or ``cancelled``; ``reason`` the service's word for why;
    ``text`` what had been said by then.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str,
        reason: str | None = None,
        code: str | None = None,
        text: str = "",
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.reason = reason
        self.text = text


class SessionExpired(PeerError):
    """The session reached the maximum duration the service allows. Open a new one."""


class ProtocolViolation(PeerError):
    """The peer sent what the protocol does not allow and the session cannot go on."""


class NetworkError(RealtimeError):
    """The connection failed somewhere between here and the service. Trying again may help."""


class ConnectFailed(NetworkError):
    """No connection came about. ``status`` is the HTTP status where the server gave one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ConnectTimeout(ConnectFailed):
    """The service did not connect and acknowledge the settings within ``connect_timeout``."""


class ConnectionLost(NetworkError):
    """The connection went away. ``code`` and ``reason`` are those of the close frame.

    1006 means that there was none: the socket just ended.
    """

    def __init__(self, message: str, *, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class McpServerFailed(RealtimeError):
    """An MCP server of an agent did not start, or its connection was lost.

    Raised where a session or a handoff needs the server; otherwise an ``error`` event has it, and the
    server is started again. ``server`` is its name.
    """

    def __init__(self, message: str, *, server: str) -> None:
        super().__init__(message)
        self.server = server


class McpCallFailed(McpServerFailed):
    """A call of an MCP server's tool failed; the text is what the model is told. The session goes on."""


class ConsumerTooSlow(RealtimeError):
    """A consumer left more unread than its bound. What was buffered had been delivered before this.

    Read faster, hand slow work to another task, subscribe to fewer event types, or choose
    ``overflow="drop_oldest"`` for that subscription. ``statistics`` tells the bound that was hit.
    """

    def __init__(self, message: str, *, statistics: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.statistics: dict[str, Any] = dict(statistics or {})


class InternalError(RealtimeError):
    """A bug in trio_realtime. Please report it with the traceback of its cause."""
