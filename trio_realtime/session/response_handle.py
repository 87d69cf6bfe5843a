"""Handles of responses that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, final

from trio_realtime.core import ResponseOutcome
from trio_realtime.errors import ResponseFailed

from .runtime import PendingRequest


@final
class Response:
    """A response that was asked for. ``await`` it, or :meth:`wait`, for its outcome.

    Made by :meth:`RealtimeSession.create_response`.
    """

    def __init__(self, waiter: PendingRequest, cancel: Callable[[], None]) -> None:
        self._waiter = waiter
        self._cancel = cancel

    @property
    def is_done(self) -> bool:
        """Whether the outcome is known."""
        return self._waiter.is_settled

    async def wait(self) -> ResponseOutcome:
        """Wait for the response to complete.

        Cancelling the wait leaves the response alone; :meth:`cancel` stops it.

        Returns:
            ResponseOutcome: with its text, items and usage, and its audio if it stands beside the
            conversation.

        Raises:
            ResponseFailed: it ended otherwise than completed; the exception says how and holds the
                text there was.
            RequestRejected: the service refused to begin it.
            RealtimeError: the session ended first.
        """
        outcome = await self._waiter.wait()
        assert isinstance(outcome, ResponseOutcome)
        if outcome.status != "completed":
            raise _failure(outcome)
        return outcome

    def __await__(self) -> Generator[Any, Any, ResponseOutcome]:
        return self.wait().__await__()

    def cancel(self) -> None:
        """Stop it, whether it has begun or not; no effect on one that has ended."""
        if not self._waiter.is_settled:
            self._cancel()


def _failure(outcome: ResponseOutcome) -> ResponseFailed:
    why = outcome.message or outcome.reason
    return ResponseFailed(
        f"the response ended {outcome.status}{f' ({why})' if why else ''}",
        status=outcome.status,
        reason=outcome.reason,
        code=outcome.code,
        text=outcome.text,
    )
