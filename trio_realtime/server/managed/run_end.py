"""How the run of a managed session ended."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs

from trio_realtime.errors import InternalError, RealtimeError
from trio_realtime.server.rpc.run_events import RunEnded, RunError, RunFailure
from trio_realtime.session_end import EndedBy, EndReason, SessionEnd

__all__ = ["PartFailure", "RunEnd", "RunEndReason", "StopReason", "event_of_end", "run_end_of"]

StopReason: TypeAlias = Literal[
    "stopped", "client_ended", "client_lost", "server_drain", "store_failed"
]
"""Why the server ends a run.

- ``stopped``: :meth:`.ManagedSession.stop` was called, or the block of ``managed()`` was left.
- ``client_ended``: the client asked for the end.
- ``client_lost``: the client was away for longer than the grace time.
- ``server_drain``: the server shuts down.
- ``store_failed``: the history could not be stored, and the settings say that a session needs it.
"""

RunEndReason: TypeAlias = EndReason | StopReason | Literal["connect_failed", "crashed"]
"""Why a run ended: the reason of the session, the reason of the server, or one of these.

- ``connect_failed``: the session could not be opened.
- ``crashed``: a part of the server raised an exception that it must not raise; please report it.
"""

RunEndedBy: TypeAlias = EndedBy | Literal["client", "server"]
"""Who ended a run."""

_STOPPED_BY: Final[dict[StopReason, RunEndedBy]] = {
    "stopped": "application",
    "client_ended": "client",
    "client_lost": "client",
    "server_drain": "server",
    "store_failed": "server",
}


@attrs.frozen
class PartFailure:
    """A part of a run that failed, while the run went on or while it was closed.

    Attributes:
        part: ``recording``, ``history``, ``artifacts``, ``session`` or ``run``.
        message: what failed. It contains no secrets.
    """

    part: str
    message: str


@attrs.frozen(kw_only=True)
class RunEnd:
    """How a run ended: the result of :meth:`.ManagedSession.stop`, and of ``wait_ended``.

    Attributes:
        by: who ended the run.
        reason: why it ended.
        message: more about the reason, for people.
        error: the exception that ended the run; ``None`` for a plain end.
        failures: the parts that failed, in order.
        duration: seconds from the start of the run.
        session: how the realtime session ended; ``None`` if it was never open.
    """

    by: RunEndedBy
    reason: RunEndReason
    message: str = ""
    error: BaseException | None = None
    failures: tuple[PartFailure, ...] = ()
    duration: float = 0.0
    session: SessionEnd | None = None


def run_end_of(
    *,
    stop: StopReason | None,
    session: SessionEnd | None,
    error: BaseException | None,
    failures: tuple[PartFailure, ...],
    duration: float,
) -> RunEnd:
    """Return how a run ended.

    Args:
        stop: why the server stopped it; ``None`` if it did not.
        session: how the realtime session ended; ``None`` if it was never open.
        error: what was raised when the run ended.
        failures: the parts that failed.
        duration: seconds from the start of the run.
    """
    by: RunEndedBy
    reason: RunEndReason
    if _is_crash(session, error):
        by, reason = "server", "crashed"
    elif session is not None and not (stop and session.by == "application"):
        by, reason = session.by, session.reason
        error = session.error
    elif stop is not None:
        by, reason, error = _STOPPED_BY[stop], stop, None
    elif error is None:
        by, reason = "application", "cancelled"
    else:
        by, reason = "network", "connect_failed"
    return RunEnd(
        by=by,
        reason=reason,
        message="" if error is None else str(error),
        error=error,
        failures=failures,
        duration=duration,
        session=session,
    )


def _is_crash(session: SessionEnd | None, error: BaseException | None) -> bool:
    """Return whether the server raised ``error``, rather than the session or its service."""
    if error is None:
        return False
    if session is not None and session.error is not None:
        return session.reason == "block_raised"  # only the server has a block
    return not isinstance(error, RealtimeError) or isinstance(error, InternalError)


def event_of_end(end: RunEnd) -> RunEnded:
    """Return the event for the clients and the history. The text of a crash is only in the log."""
    error, message = end.error, end.message
    if end.reason == "crashed":
        message = "the server failed; its log says more"
    return RunEnded(
        by=end.by,
        reason=end.reason,
        message=message or None,
        error=None if error is None else RunError(type=type(error).__name__, message=message),
        failures=tuple(RunFailure(part=each.part, message=each.message) for each in end.failures),
        duration=end.duration,
    )
