"""The service's ``error`` events: which request an error answers, and what it means.

An error names the client event at fault, but some services omit the event id, always or sometimes.
In that case its code, parameter and message tell which kind of request it is about.
"""

from __future__ import annotations

import re
from typing import Final

from trio_realtime.errors import PeerError, RequestRejected, SessionExpired
from trio_realtime.wire import ErrorDetails

from .effects import ResponseOutcome

ACTIVE_RESPONSE: Final = "conversation_already_has_active_response"
NOTHING_TO_CANCEL: Final = "response_cancel_not_active"
CANCELLED: Final = ResponseOutcome(response_id="", status="cancelled", reason="interrupted")
"""The outcome of a response that was cancelled before it began."""

_RESPONSE_ID = re.compile(r"resp_\w+")


def active_response(details: ErrorDetails) -> str:
    """Return the id of the response that holds the slot, if the message names it; else ``""``."""
    found = _RESPONSE_ID.search(details.message)
    return found[0] if found else ""


def failed_outcome(details: ErrorDetails) -> ResponseOutcome:
    """Return the outcome of a response whose create was rejected."""
    return ResponseOutcome(
        response_id="",
        status="failed",
        reason=details.code,
        code=details.code,
        message=details.message,
    )


def unanswered_outcome(error: PeerError) -> ResponseOutcome:
    """Return the outcome of a response whose create was not answered."""
    return ResponseOutcome(
        response_id="", status="failed", reason="request_timed_out", message=error.message
    )


def concerns_create(details: ErrorDetails) -> bool:
    """Return whether an error without an event id looks like an answer to a create."""
    return (
        details.code in (ACTIVE_RESPONSE, "bad_response_create")
        or "response.create" in details.message
    )


def peer_error(details: ErrorDetails, kind: type[RequestRejected] = RequestRejected) -> PeerError:
    """Return the exception for an ``error`` event."""
    error = SessionExpired if details.code == "session_expired" else kind
    return error(
        details.message or "the service reported an error without a message",
        code=details.code,
        param=details.param,
        event_id=details.event_id,
    )
