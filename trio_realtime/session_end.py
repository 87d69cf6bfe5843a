"""How a session ended."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

__all__ = ["EndReason", "EndedBy", "SessionEnd"]

EndedBy: TypeAlias = Literal["application", "user", "service", "network", "limit", "user_code"]
"""Who ended a session.

- ``application``: your program closed it.
- ``user``: the person on the other end of a phone call hung up.
- ``service``: the service closed it.
- ``network``: the connection broke.
- ``limit``: a limit of :class:`~trio_realtime.SessionConfig` was reached.
- ``user_code``: a tool or a realtime model of yours failed.
"""

EndReason: TypeAlias = Literal[
    "closed",
    "block_raised",
    "cancelled",
    "end_call",
    "hung_up",
    "closed_by_service",
    "session_expired",
    "connection_lost",
    "reconnect_failed",
    "tool_failed",
    "model_failed",
]
"""Why a session ended.

- ``closed``: ``aclose`` was called, or the block was left (by ``application``).
- ``block_raised``: the block was left with an exception, which is the ``error`` (by ``application``).
- ``cancelled``: the block was cancelled (by ``application``).
- ``end_call``: ``end_call`` ended the session (by ``application``).
- ``hung_up``: the phone call is over (by ``user``).
- ``closed_by_service``: the service closed the connection, with any code (by ``service``).
- ``session_expired``: the maximum duration that the service allows was reached (by ``service``).
- ``connection_lost``: the connection broke without a close by the service (by ``network``).
- ``reconnect_failed``: no further connection could be opened (by ``network`` or ``service``).
- ``tool_failed``: a tool whose failure ends the session failed (by ``user_code``).
- ``model_failed``: a realtime model of yours raised (by ``user_code``).
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
