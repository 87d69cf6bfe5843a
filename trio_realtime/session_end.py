"""How a session ended."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

__all__ = ["EndReason", "EndedBy", "LimitName", "SessionEnd"]

EndedBy: TypeAlias = Literal["application", "user", "service", "network", "limit", "user_code"]
"""Who ended a session.

- ``application``: your program closed it.
- ``user``: the person on the other end of a phone call hung up.
- ``service``: the service closed it.
- ``network``: the connection broke.
- ``limit``: a limit of :class:`~trio_realtime.SessionConfig` was reached.
- ``user_code``: a tool or a realtime model of yours failed.
"""

LimitName: TypeAlias = Literal[
    "idle_timeout",
    "max_duration",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "tool_calls",
    "tool_rounds",
]
"""A limit, by the name of its setting in :class:`~trio_realtime.SessionConfig` or
:class:`~trio_realtime.UsageLimits`."""

EndReason: TypeAlias = Literal[
    "closed",
    "block_raised",
    "cancelled",
    "drained",
    "end_call",
    "hung_up",
    "closed_by_service",
    "session_expired",
    "connection_lost",
    "reconnect_failed",
    "tool_failed",
    "model_failed",
    "idle_timeout",
    "max_duration",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "tool_calls",
    "tool_rounds",
]
"""Why a session ended.

- ``closed``: ``aclose`` was called, or the block was left (by ``application``).
- ``block_raised``: the block was left with an exception, which is the ``error`` (by ``application``).
- ``cancelled``: the block was cancelled (by ``application``).
- ``drained``: ``aclose(drain_timeout=...)`` was called, and the agent finished in time (by
  ``application``).
- ``end_call``: ``end_call`` ended the session (by ``application``).
- ``hung_up``: the phone call is over (by ``user``).
- ``closed_by_service``: the service closed the connection, with any code (by ``service``).
- ``session_expired``: the maximum duration that the service allows was reached (by ``service``).
- ``connection_lost``: the connection broke without a close by the service (by ``network``).
- ``reconnect_failed``: no further connection could be opened (by ``network`` or ``service``).
- ``tool_failed``: a tool whose failure ends the session failed (by ``user_code``).
- ``model_failed``: a realtime model of yours raised (by ``user_code``).
- The names in :data:`LimitName`: this limit was reached (by ``limit``).
"""


@attrs.frozen(kw_only=True)
class SessionEnd:
    """How a session ended: :attr:`.RealtimeSession.end`, and the last event of each channel.

    Attributes:
        by: who ended the session.
        reason: why the session ended.
        code: the code of the close frame that ended the connection, or 1006 if it ended without one;
            ``None`` if this side ended the session.
        close_reason: the text in that close frame.
        duration: seconds from the acknowledgement of the first settings to the end.
        error: the exception that ended the session; ``None`` for a plain end. Tasks raise copies of it.
        unanswered_calls: the ids of function calls whose answers were not sent.
        unsent_frames: frames that waited to be sent at the end.
        unheard_audio_ms: milliseconds of the agent's audio that had arrived and were not heard yet.
    """

    by: EndedBy
    reason: EndReason
    code: int | None = None
    close_reason: str = ""
    duration: float = 0.0
    error: BaseException | None = None
    unanswered_calls: tuple[str, ...] = ()
    unsent_frames: int = 0
    unheard_audio_ms: int = 0
