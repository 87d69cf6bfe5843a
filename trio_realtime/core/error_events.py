"""What the service's ``error`` events mean."""

from __future__ import annotations

import re

from trio_realtime.errors import PeerError, RequestRejected, SessionExpired
from trio_realtime.wire import ErrorDetails

from .effects import ResponseOutcome

ACTIVE_RESPONSE = "conversation_already_has_active_response"
NOTHING_TO_CANCEL = "response_cancel_not_active"
GIVEN_UP = ResponseOutcome(response_id="", status="cancelled", reason="interrupted")
"""How a response ended that was cancelled before it began."""


_ACTIVE = re.compile(r"resp_\w+")


def active_response(details: ErrorDetails) -> str:
    """The response that stands in the way, as the message names it; empty if it names none."""
    found = _ACTIVE.search(details.message)
    return found[0] if found else ""


def refused_outcome(details: ErrorDetails) -> ResponseOutcome:
    """How a response ended that was refused before it began."""
    return ResponseOutcome(
        response_id="",
        status="failed",
        reason=details.code,
        code=details.code,
        message=details.message,
    )


def concerns_create(details: ErrorDetails) -> bool:
    """Whether an error that names no event looks like one about a create."""
    return (
        details.code in (ACTIVE_RESPONSE, "bad_response_create")
        or "response.create" in details.message
    )


def peer_error(details: ErrorDetails, kind: type[RequestRejected] = RequestRejected) -> PeerError:
    """The exception for an ``error`` event."""
    error = SessionExpired if details.code == "session_expired" else kind
    return error(
        details.message or "the service reported an error without a message",
        code=details.code,
        param=details.param,
        event_id=details.event_id,
    )
