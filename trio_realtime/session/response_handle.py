"""Handles of responses that were requested."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, final

from trio_realtime.core import CancelResponse, ResponseOutcome
from trio_realtime.errors import ResponseFailed

from .runtime import PendingRequest
from .runtime_interface import Runtime


@final
class Response:
    """A response that was requested. ``await`` it, or :meth:`wait`, for its outcome.

    :meth:`RealtimeSession.create_response` makes it.
    """

    def __init__(self, request: PendingRequest, runtime: Runtime) -> None:
        self._request = request
        self._runtime = runtime

    @property
    def is_done(self) -> bool:
        """Whether the outcome is known."""
        return self._request.is_resolved

    async def wait(self) -> ResponseOutcome:
        """Wait for the response to complete.

        Cancelling the wait does not stop the response; :meth:`cancel` does.

        Returns:
            ResponseOutcome: with text, items and usage, and with the audio of an out-of-band response.

        Raises:
            ResponseFailed: the response ended otherwise than completed. The exception says how, and has
                the text so far.
            RequestRejected: the service did not begin the response.
            RealtimeError: the session ended first.
        """
        outcome = await self._request.wait()
        assert isinstance(outcome, ResponseOutcome)
        if outcome.status != "completed":
            if outcome.status == "cancelled":
                # The end of the session cancels tools before it fails requests.
                self._runtime.end.raise_if_closing()
            raise response_failure(outcome)
        return outcome

    def __await__(self) -> Generator[Any, Any, ResponseOutcome]:
        return self.wait().__await__()

    def cancel(self) -> None:
        """Stop the response, whether it has begun or not. No effect on a response that has ended."""
        if not self._request.is_resolved:
            self._runtime.feed(CancelResponse(token=self._request.token))


def response_failure(outcome: ResponseOutcome) -> ResponseFailed:
    """Return the exception for a response that ended otherwise than completed."""
    why = outcome.message or outcome.reason
    suffix = f" ({why})" if why else ""
    return ResponseFailed(
        f"the response ended {outcome.status}{suffix}",
        status=outcome.status,
        reason=outcome.reason,
        code=outcome.code,
        text=outcome.text,
    )
