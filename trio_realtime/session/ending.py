"""How a session ended: decided once, and read by every part of the session that has to stop."""

from __future__ import annotations

from typing import TypeVar

import trio

from trio_realtime.errors import RealtimeError, SessionClosed

from .user_code import is_supervised

ErrorT = TypeVar("ErrorT", bound=Exception)


class SessionEnd:
    """The end of a session. The first call of :meth:`set` counts.

    Attributes:
        is_set: whether the session has ended.
        loss: the failure that ended the session; ``None`` for a session that was closed.
        sender_error: what senders and waiting requests get once the session has ended.
        delivered: whether user code outside of tools and hooks has received the failure.
    """

    def __init__(self) -> None:
        self.is_set: bool = False
        self.loss: RealtimeError | None = None
        self.delivered: bool = False
        self.sender_error: RealtimeError = SessionClosed("the session was closed")

    def set(self, *, loss: RealtimeError | None, sender_error: RealtimeError) -> bool:
        """Decide how the session ended. Returns whether this is the first decision.

        Args:
            loss: what consumers get after the events that they have not received yet; ``None`` for
                a plain end.
            sender_error: what senders and waiting requests get.
        """
        if self.is_set:
            return False
        self.is_set = True
        self.loss = loss
        self.sender_error = sender_error
        return True

    def raise_if_set(self) -> None:
        """Raise what a sender gets, if the session has ended.

        Raises:
            RealtimeError: why nothing can be sent any more.
        """
        if self.is_set:
            raise self.deliver(self.sender_error)

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
