"""How a session ended: decided once, and read by every part of the session that has to stop."""

from __future__ import annotations

from typing import Final, TypeVar

import attrs
import trio

from trio_realtime._nursery import leaves_of
from trio_realtime.errors import RealtimeError, SessionClosed, ToolFailed, ToolTimedOut
from trio_realtime.session_end import EndedBy, EndReason, LimitName, SessionEnd

from .user_code import is_supervised

ErrorT = TypeVar("ErrorT", bound=Exception)


@attrs.frozen(kw_only=True)
class EndCause:
    """What ends a session.

    Attributes:
        by, reason, code, close_reason: see :class:`~trio_realtime.SessionEnd`.
        loss: what consumers get after the events that they have not received yet; ``None`` for a plain
            end.
        sender_error: what senders and waiting requests get.
        error: what the block raised.
    """

    by: EndedBy
    reason: EndReason
    loss: RealtimeError | None = None
    sender_error: RealtimeError = attrs.field(
        factory=lambda: SessionClosed("the session was closed")
    )
    code: int | None = None
    close_reason: str = ""
    error: BaseException | None = None


CLOSED: Final = EndCause(by="application", reason="closed")
DRAINED: Final = EndCause(by="application", reason="drained")
HUNG_UP: Final = EndCause(by="user", reason="hung_up")
CALL_ENDED: Final = EndCause(by="application", reason="end_call")


def block_ended(exc: BaseException) -> EndCause:
    """Return what it means that the block of a session raised.

    A nursery in the block raises a group when it is cancelled.
    """
    if all(isinstance(leaf, trio.Cancelled) for leaf in leaves_of(exc)):
        return EndCause(by="application", reason="cancelled")
    return EndCause(by="application", reason="block_raised", error=exc)


def failure_of_user_code(error: RealtimeError) -> EndCause:
    """Return what it means that a tool or a model failed for good."""
    is_tool = isinstance(error, ToolFailed | ToolTimedOut)
    reason: EndReason = "tool_failed" if is_tool else "model_failed"
    return EndCause(by="user_code", reason=reason, loss=error, sender_error=error)


def limit_reached(limit: LimitName) -> EndCause:
    """Return what it means that a limit of the session was reached."""
    closed = SessionClosed(f"the session was closed: it has reached its limit {limit}")
    return EndCause(by="limit", reason=limit, sender_error=closed)


class EndState:
    """The end of a session. The first call of :meth:`set` counts.

    Attributes:
        is_set: whether the session has ended.
        opened_at: when the service had accepted the first settings, on trio's clock.
        expected: why this side is about to end the session; ``None`` if it is not.
        result: how the session ended; ``None`` while it runs.
        loss: the failure that ended the session; ``None`` for a session that was closed.
        sender_error: what senders and waiting requests get once the session has ended.
        delivered: whether user code outside of tools and hooks has received the failure.
    """

    def __init__(self) -> None:
        self.is_set: bool = False
        self.opened_at: float | None = None
        self.expected: EndCause | None = None
        self._requested: EndCause | None = None
        self._was_requested = trio.Event()
        self.result: SessionEnd | None = None
        self.loss: RealtimeError | None = None
        self.delivered: bool = False
        self.sender_error: RealtimeError = SessionClosed("the session was closed")

    def set(
        self,
        cause: EndCause,
        *,
        unanswered_calls: tuple[str, ...] = (),
        unsent_frames: int = 0,
        unheard_audio_ms: int = 0,
    ) -> SessionEnd:
        """Decide how the session ended. Returns the first decision.

        Args:
            cause: what ends the session.
            unanswered_calls, unsent_frames, unheard_audio_ms: what is lost; see
                :class:`~trio_realtime.SessionEnd`.
        """
        if self.result is not None:
            return self.result
        now = trio.current_time()
        self.result = SessionEnd(
            by=cause.by,
            reason=cause.reason,
            code=cause.code,
            close_reason=cause.close_reason,
            duration=0.0 if self.opened_at is None else now - self.opened_at,
            error=cause.error if cause.loss is None else cause.loss,
            unanswered_calls=unanswered_calls,
            unsent_frames=unsent_frames,
            unheard_audio_ms=unheard_audio_ms,
        )
        self.is_set = True
        self.loss = cause.loss
        self.sender_error = cause.sender_error
        return self.result

    def request(self, cause: EndCause) -> None:
        """Ask for an orderly end. The first request counts."""
        if self._requested is None:
            self._requested = cause
            self._was_requested.set()

    async def wait_requested(self) -> EndCause:
        """Wait for a request to end the session, and return its cause."""
        await self._was_requested.wait()
        assert self._requested is not None
        return self._requested

    def raise_if_set(self) -> None:
        """Raise what a sender gets, if the session has ended.

        Raises:
            RealtimeError: why nothing can be sent any more.
        """
        if self.is_set:
            raise self.deliver(self.sender_error)

    def raise_if_closing(self) -> None:
        """Raise what a sender will get, if this side is about to end the session.

        Raises:
            RealtimeError: why nothing can be sent soon.
        """
        if self.expected is not None:
            raise self.deliver(self.expected.sender_error)

    def consumer_exception(self) -> Exception:
        """Return what a consumer gets after its last event."""
        return trio.EndOfChannel() if self.loss is None else self.deliver(self.loss)

    def deliver(self, error: RealtimeError) -> RealtimeError:
        """Return a copy of an error to raise in this task, and note that the loss was delivered.

        Tools, hooks and the session's own tasks do not count: what they raise reaches no user.
        """
        if error is self.loss and not is_supervised(self):
            self.delivered = True
        return copy_exception(error)


def copy_exception(error: ErrorT) -> ErrorT:
    """Return an equal exception without a traceback.

    One exception object that is raised in several tasks would mix their tracebacks.
    """
    copy = type(error).__new__(type(error), *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy
