"""The exceptions of the library, in one tree. The branch says who is at fault, and so what to do.

::

    RealtimeError
    ├── UsageError             you: correct the call (also a ValueError)
    │   ├── ConfigurationError    a setting, an endpoint or an agent cannot work
    │   └── SessionClosed         the session was closed before the call
    ├── UserCodeError          your code: a function that you gave to the library failed
    │   ├── GuardrailFailed       a guardrail raised
    │   ├── HookFailed            a hook raised
    │   ├── ToolFailed            a tool failed, and ``on_failure`` ends the session
    │   └── ToolTimedOut          a tool took too long, and ``on_timeout`` makes that a failure
    ├── PeerError              the service rejected something or failed
    │   ├── AuthenticationFailed  the key was rejected (HTTP 401 or 403, close code 3000)
    │   ├── ModelNotAvailable     the model is unknown or not for realtime (close code 4004, HTTP 404)
    │   ├── RequestRejected       the service rejected a request, usually with an ``error`` event
    │   │   ├── SettingsRejected     the request was a ``session.update``
    │   │   └── SipRequestRejected   the request was an HTTPS request about a SIP call
    │   ├── RequestTimedOut       the service did not answer a request
    │   ├── ResponseFailed        a response did not complete
    │   ├── SessionExpired        the session reached its maximum duration
    │   └── ProtocolViolation     the service broke the protocol
    ├── NetworkError           the network: trying again may help
    │   ├── ConnectFailed         the connection was not established
    │   │   └── ConnectTimeout       within ``connect_timeout``
    │   └── ConnectionLost        an established connection ended
    │       └── ClosedByService      the service closed it, also with code 1000
    ├── McpServerFailed        an MCP server did not start or was disconnected
    │   └── McpCallFailed         a call of one of its tools failed
    ├── DeviceError            a microphone or a speaker is missing or has stopped
    ├── ConsumerTooSlow        a consumer left too many events unread
    └── InternalError          a bug of this library: please report it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "AuthenticationFailed",
    "ClosedByService",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "ConsumerTooSlow",
    "DeviceError",
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
    "RequestTimedOut",
    "ResponseFailed",
    "SessionClosed",
    "SessionExpired",
    "SettingsRejected",
    "SipRequestRejected",
    "ToolFailed",
    "ToolTimedOut",
    "UsageError",
    "UserCodeError",
]


class RealtimeError(Exception):
    """Base class of every exception that this library raises on purpose."""


class UsageError(RealtimeError, ValueError):
    """The call cannot be carried out as it is. Correct the call; trying again does not help."""


class ConfigurationError(UsageError):
    """A setting, an endpoint or an agent cannot work as given. Nothing was sent."""


class SessionClosed(UsageError):
    """The session was closed by this side before the call."""


class UserCodeError(RealtimeError):
    """A function that the application gave to the library failed. The cause is what it raised."""


class GuardrailFailed(UserCodeError):
    """A guardrail raised, or took too long. The cause is what it raised. The session goes on."""


class HookFailed(UserCodeError):
    """A hook raised. The cause is what it raised. The session and its other hooks go on."""


class ToolFailed(UserCodeError):
    """A tool with ``on_failure="end_session"`` failed. The cause is what it raised.

    The call was answered before the session ended.
    """


class ToolTimedOut(UserCodeError, TimeoutError):
    """A tool with ``on_timeout="failure"`` took longer than its ``timeout`` and was cancelled."""


class PeerError(RealtimeError):
    """The service rejected something or failed.

    Attributes:
        message: the service's explanation.
        code, param: the service's error code and the parameter at fault, if it named them.
        event_id: the id of the client event that the error answers, if the service named it.
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
    """The service rejected the key. Check the key, and that it belongs to this endpoint."""


class ModelNotAvailable(PeerError):
    """The model does not exist, is not a realtime model, or is not available to this key."""


class RequestRejected(PeerError):
    """The service rejected a request, usually with an ``error`` event. The session goes on."""


class SettingsRejected(RequestRejected):
    """The service rejected a ``session.update``. None of its settings were applied."""


class SipRequestRejected(RequestRejected):
    """The service rejected a request about a SIP call. ``status`` is the HTTP status, such as 404."""

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status


class RequestTimedOut(PeerError):
    """The service did not answer a request within ``request_timeout``. The session goes on.

    The service may still carry out the request.
    """


class ResponseFailed(PeerError):
    """A response did not complete. The session goes on.

    Attributes:
        status: ``failed``, ``incomplete`` or ``cancelled``.
        reason: why the response did not complete, as reported by the service.
        text: the text of the response so far.
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
    """The session reached the maximum duration that the service allows. Open a new session."""


class ProtocolViolation(PeerError):
    """The service sent something that the protocol does not allow. That event was dropped."""


class NetworkError(RealtimeError):
    """The network between the application and the service failed. Trying again may help."""


class ConnectFailed(NetworkError):
    """The connection was not established.

    Attributes:
        status: the HTTP status with which the service or a proxy refused it, if there was one.
        retry_after: seconds to wait before the next attempt, if the response has the header
            ``Retry-After``.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ConnectTimeout(ConnectFailed):
    """Connecting and acknowledging the settings took longer than ``connect_timeout``."""


class ConnectionLost(NetworkError):
    """An established connection ended.

    Attributes:
        code: the close code; 1006 if the socket ended without a close frame.
        reason: the reason in the close frame.
    """

    def __init__(self, message: str, *, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ClosedByService(ConnectionLost):
    """The service closed the connection, which nobody on this side had asked for.

    This includes a close with code 1000: a session that the service ends is not complete.
    """


class McpServerFailed(RealtimeError):
    """An MCP server of an agent did not start or was disconnected.

    It is raised where a session or a handoff requires the server. Otherwise an ``error`` event carries
    it, and the server is started again. ``server`` is the name of the server.
    """

    def __init__(self, message: str, *, server: str) -> None:
        super().__init__(message)
        self.server = server


class McpCallFailed(McpServerFailed):
    """A call of an MCP server's tool failed. Its text is given to the model. The session goes on."""


class DeviceError(RealtimeError):
    """A microphone or a speaker cannot be opened, or has stopped. The message says what to do."""


class ConsumerTooSlow(RealtimeError):
    """A consumer left too many events unread. Its buffered events were delivered before this.

    Read faster, hand slow work to another task, subscribe to fewer event types, or set
    ``overflow="drop_oldest_audio"`` for that subscription. ``statistics`` says which bound was reached.
    """

    def __init__(self, message: str, *, statistics: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.statistics: dict[str, Any] = dict(statistics or {})


class InternalError(RealtimeError):
    """A bug in trio_realtime. Please report it with the traceback of its cause."""
