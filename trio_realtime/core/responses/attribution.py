"""Attribute a new response to the request that caused it.

A response that echoes the request's metadata is attributed by its token. Any other response needs a
rule:

* Out-of-band responses are created in the order in which they were requested. They have no
  conversation id, but that is evidence only if the server sets the id on other responses.
* A response of the conversation that follows the end of the user's speech was started by the
  service. For any other one, the queue has a probable owner, which the end of the response confirms.
"""

from __future__ import annotations

from typing import Final

from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.wire import UNSET, ResponseObject

from .queue import METADATA_KEY, ResponseQueue, ResponseRequest
from .running import RunningResponse

MAX_EXPIRED: Final = 256
"""The number of out-of-band requests that are remembered although they were not answered in time."""

_TIMER: Final = "out-of-band "


class ResponseAttribution:
    """Finds the request of each response that is created, and the tokens that wait for it.

    Args:
        queue: the requests for responses of the conversation.
        timer: limits how long an out-of-band request may be unanswered.
    """

    def __init__(self, queue: ResponseQueue, timer: RequestTimer) -> None:
        self._queue = queue
        self._timer = timer
        self._out_of_band: dict[str, ResponseRequest] = {}
        self._expired: dict[str, None] = {}
        self._server_names_conversations = False
        self._response_expected = False

    def request_out_of_band(self, request: ResponseRequest) -> None:
        """Note that an out-of-band response was requested."""
        self._out_of_band[request.token] = request
        self._timer.start(_TIMER + request.token)

    def awaits(self, token: str) -> bool:
        """Return whether an out-of-band request with this token is not answered yet."""
        return token in self._out_of_band

    def reject_out_of_band(self, token: str) -> ResponseRequest | None:
        """Drop an out-of-band request. Returns the request, ``None`` if none has this token."""
        self._timer.stop(_TIMER + token)
        return self._out_of_band.pop(token, None)

    def expire_out_of_band(self) -> list[ResponseRequest]:
        """Drop the out-of-band requests that were not answered in time, and return them."""
        expired = [
            self._out_of_band.pop(name.removeprefix(_TIMER)) for name in self._timer.due(_TIMER)
        ]
        for request in expired:
            self._timer.stop(_TIMER + request.token)
            self._expired[request.token] = None  # its response may come late
            if len(self._expired) > MAX_EXPIRED:
                del self._expired[next(iter(self._expired))]
        return expired

    def user_turn_ended(self, *, service_responds: bool) -> None:
        """Note that the user's turn ended, and whether the service starts a response by itself."""
        self._response_expected = service_responds

    def create_sent(self) -> None:
        """Note that a create was sent: the next response may well be its response."""
        self._response_expected = False

    @property
    def is_response_expected(self) -> bool:
        """Whether the user's turn has ended and the service was about to start a response."""
        return self._response_expected

    def take_out_of_band(self) -> list[ResponseRequest]:
        """Remove and return the out-of-band requests whose responses have not begun."""
        requests = [*self._out_of_band.values()]
        for request in requests:
            self.reject_out_of_band(request.token)
        return requests

    def is_out_of_band(self, response: ResponseObject, token: str | None) -> bool:
        """Return whether a response is out-of-band."""
        if token is not None:
            return token in self._out_of_band or token in self._expired
        return response.conversation_id is None and self._server_names_conversations

    def attribute(
        self, response: ResponseObject, token: str | None, *, out_of_band: bool
    ) -> ResponseRequest | None:
        """Return the certain or probable request of a response. Call once for each response."""
        self._server_names_conversations |= response.conversation_id not in (None, UNSET)
        if out_of_band:
            oldest = next(iter(self._out_of_band), "")
            return self.reject_out_of_band(token if token is not None else oldest)
        spontaneous = self._response_expected and token is None
        if token is None:
            self._response_expected = False
        request = self._queue.created(response.id, token, spontaneous=spontaneous)
        return request if request is not None else self._queue.probable_owner

    def waiters_of(self, response: RunningResponse) -> tuple[str, ...]:
        """Return the tokens that wait for a response, or for a turn that it belongs to."""
        owner = self._queue.probable_owner if response.id == self._queue.running else None
        return response.waiters(owner)

    def tokens_of(self, response: RunningResponse, token: str | None) -> tuple[str, ...]:
        """Return the tokens of all requests that a response may answer."""
        owner = self._queue.probable_owner
        if token is None and owner is not None and response.id == self._queue.running:
            token = owner.token
        return (*self.waiters_of(response), token or "")


def token_of(response: ResponseObject) -> str | None:
    """Return the token in the metadata of a response, ``None`` if there is none."""
    value = (response.metadata or {}).get(METADATA_KEY)
    return value if isinstance(value, str) else None
