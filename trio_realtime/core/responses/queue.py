"""When a ``response.create`` may be sent.

The service adds one response at a time to the conversation, and rejects a ``response.create`` while
one is running. The queue keeps every request for a response until it may be sent.

* At most one create is outstanding: it was sent, and its response was neither created nor rejected.
  None is sent while a response of the conversation runs.
* Requests are sent in order, except that what a turn needs to go on comes before the prompts that
  wait for the end of that turn. Adjacent automatic requests (for a message, for tool outputs) become
  one create. Requests with parameters of their own stay separate.
* The response to a request is recognized by its metadata, which the service echoes in
  ``response.created``. A response without that metadata was started by somebody else, usually by
  voice activity detection: it takes the slot, and the service will reject the outstanding create.
* A rejected create returns to the head of the queue. It is sent again when the slot is free, that is
  after the ``response.done`` of the response that took the slot. The rejection may arrive before the
  ``response.created`` of that response.
* A server that never echoes metadata does not reveal which request a response answers. There, a
  response that follows the end of the user's speech was started by the service; any other one
  counts as the outstanding request's once it has ended.
* A create that is not answered in time is dropped. While another response runs there is no limit: it may
  be the answer. The limit starts again when that response ends, but only for the first few responses.
* Out-of-band requests (``conversation="none"``) are not queued here.

:data:`TRANSITIONS` is the state machine.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trio_realtime.core.effects import SendEncoded
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.wire import UNSET, ConversationItemCreate, ResponseParams, Unset

from .turns import Turn

METADATA_KEY: Final = "trio_realtime"
"""The metadata key that marks the creates of this library. Its value is the request's token."""


_TIMER: Final = "create"

MAX_OTHER_RESPONSES: Final = 3
"""The number of other responses after which a create has no more time than before."""


class QueueState(enum.Enum):
    """What occupies the conversation's one slot for a response."""

    FREE = "free"
    CREATE_SENT = "create sent"
    RUNNING = "running"
    CONTENDED = "running, create sent"
    AWAITING_WINNER = "awaiting winner"


class Trigger(enum.Enum):
    """What moves the queue from one state to another."""

    SEND = "create sent"
    CREATED = "response created"
    OTHER_CREATED = "other response created"
    DONE = "response done"
    DONE_AS_OURS = "unattributed response done"
    OUT_OF_BAND_DONE = "out-of-band response done"
    REJECTED = "create rejected"
    REJECTED_LATE = "create rejected, winner already done"
    FAILED = "create invalid"
    EXPIRED = "no winner in time"
    CLEAR = "connection lost"


_S, _T = QueueState, Trigger

TRANSITIONS: Final[Mapping[tuple[QueueState, Trigger], QueueState]] = {
    (_S.FREE, _T.SEND): _S.CREATE_SENT,
    (_S.FREE, _T.CREATED): _S.RUNNING,
    (_S.FREE, _T.DONE): _S.FREE,
    (_S.FREE, _T.OUT_OF_BAND_DONE): _S.FREE,
    (_S.CREATE_SENT, _T.CREATED): _S.RUNNING,
    (_S.CREATE_SENT, _T.OTHER_CREATED): _S.CONTENDED,
    (_S.CREATE_SENT, _T.DONE): _S.CREATE_SENT,
    (_S.CREATE_SENT, _T.OUT_OF_BAND_DONE): _S.CREATE_SENT,
    (_S.CREATE_SENT, _T.REJECTED): _S.AWAITING_WINNER,
    (_S.CREATE_SENT, _T.REJECTED_LATE): _S.FREE,
    (_S.CREATE_SENT, _T.FAILED): _S.FREE,
    (_S.RUNNING, _T.CREATED): _S.RUNNING,
    (_S.RUNNING, _T.DONE): _S.FREE,
    (_S.RUNNING, _T.OUT_OF_BAND_DONE): _S.RUNNING,
    (_S.CONTENDED, _T.CREATED): _S.RUNNING,
    (_S.CONTENDED, _T.OTHER_CREATED): _S.CONTENDED,
    (_S.CONTENDED, _T.DONE): _S.CREATE_SENT,
    (_S.CONTENDED, _T.DONE_AS_OURS): _S.FREE,
    (_S.CONTENDED, _T.OUT_OF_BAND_DONE): _S.CONTENDED,
    (_S.CONTENDED, _T.REJECTED): _S.RUNNING,
    (_S.CONTENDED, _T.REJECTED_LATE): _S.RUNNING,
    (_S.CONTENDED, _T.FAILED): _S.RUNNING,
    (_S.AWAITING_WINNER, _T.CREATED): _S.RUNNING,
    (_S.AWAITING_WINNER, _T.DONE): _S.FREE,
    (_S.AWAITING_WINNER, _T.OUT_OF_BAND_DONE): _S.FREE,
    (_S.AWAITING_WINNER, _T.EXPIRED): _S.FREE,
    **{(state, _T.CLEAR): _S.FREE for state in _S},
}
"""The next state for each state and trigger. A pair that is not listed cannot occur.

A server with one slot for all responses may reject a create because of an out-of-band response, so
the end of one leaves ``AWAITING_WINNER`` too.
"""


@attrs.frozen(kw_only=True)
class ResponseRequest:
    """A request for a response.

    Attributes:
        token: the name of the request: the event id of the create, echoed in its metadata.
        params: overrides of the session's settings; ``None`` for an automatic request.
        waiters: tokens that are resolved with the outcome of the response.
        turn_waiters: tokens that are resolved at the end of the turn that the response begins or
            continues.
        turns: the turns that the response continues.
        prompt: an item that joins the conversation just before the create is sent the first time.
        prompt_text: the text of the prompt, for the input guardrails.
        inside_turn: the prompt belongs to the work of a turn, so it does not wait for turns to end.
        extra: keys to merge into the create.

    Requests that become one create share the response: their waiters and turns are joined.
    """

    token: str
    params: ResponseParams | None = None
    waiters: tuple[str, ...] = ()
    turn_waiters: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    prompt: SendEncoded | ConversationItemCreate | None = None
    prompt_text: str = ""
    inside_turn: bool = False
    extra: Mapping[str, Any] | Unset = UNSET

    @property
    def waits_for_turns(self) -> bool:
        """Whether the request waits for the end of earlier turns that a caller awaits.

        Otherwise one response would answer both prompts.
        """
        return self.prompt is not None and not self.inside_turn


def _joined(first: ResponseRequest, second: ResponseRequest) -> ResponseRequest:
    return attrs.evolve(
        first,
        waiters=first.waiters + second.waiters,
        turn_waiters=first.turn_waiters + second.turn_waiters,
        turns=first.turns + second.turns,
    )


class ResponseQueue:
    """The requests for responses of the conversation, and the state of the conversation's slot.

    Args:
        timer: limits how long a create may be unanswered.
        requests: the requests that were not sent. They outlive the connection.

    Attributes:
        outstanding: the request whose create was sent and not yet answered.
        running: the id of the conversation's running response.
    """

    def __init__(
        self,
        timer: RequestTimer | None = None,
        requests: list[ResponseRequest] | None = None,
    ) -> None:
        self._timer = RequestTimer() if timer is None else timer
        self.outstanding: ResponseRequest | None = None
        self.running: str | None = None
        self._state = QueueState.FREE
        self._requests: list[ResponseRequest] = [] if requests is None else requests
        self._ended_since_send = False
        self._others_since_send = 0
        self._server_echoes_metadata = False
        self._unattributed: str | None = None

    @property
    def state(self) -> QueueState:
        """The state of the conversation's slot."""
        return self._state

    @property
    def is_idle(self) -> bool:
        """Whether no response runs and none is requested."""
        return self._state is QueueState.FREE and not self._requests

    @property
    def can_send(self) -> bool:
        """Whether the slot is free and a request waits for it."""
        return bool(self._requests) and self._state is QueueState.FREE

    @property
    def probable_owner(self) -> ResponseRequest | None:
        """The request that the running response probably answers, where metadata cannot tell."""
        return self.outstanding if self._unattributed is not None else None

    def _move(self, trigger: Trigger) -> None:
        before, self._state = self._state, TRANSITIONS[self._state, trigger]
        if self._state is before:
            return
        contends = before is QueueState.CONTENDED or self._state is QueueState.CONTENDED
        if contends and self.outstanding and self._others_since_send > MAX_OTHER_RESPONSES:
            return  # the time goes on
        if self._state in (QueueState.CREATE_SENT, QueueState.AWAITING_WINNER):
            self._timer.start(_TIMER)
        else:
            self._timer.stop(_TIMER)

    def expire(self) -> ResponseRequest | None:
        """Give up what was not answered in time, if anything was not.

        A create that was never answered is dropped. A create that was rejected is sent again if the
        response that took the slot never appears.

        Returns:
            The request that is dropped.
        """
        if not self._timer.is_due(_TIMER):
            return None
        if self._state is QueueState.AWAITING_WINNER:
            self._move(Trigger.EXPIRED)
            return None
        return None if self.outstanding is None else self.failed(self.outstanding.token)

    # --- requests

    def add(self, request: ResponseRequest) -> None:
        """Queue a request. What a turn needs comes before prompts that wait for the turn's end."""
        if not (request.turns or request.inside_turn):
            self._requests.append(request)
            return
        waiting = (index for index, other in enumerate(self._requests) if other.waits_for_turns)
        self._requests.insert(next(waiting, len(self._requests)), request)

    def next_to_send(self, *, turns_awaited: bool = False) -> ResponseRequest | None:
        """Return the request to send now, and count it as sent; ``None`` if none may be sent.

        Adjacent automatic requests are joined here and not earlier: a rejected create may still have
        begun a response, and a later request was not part of it.

        Args:
            turns_awaited: somebody waits for the end of a turn, so prompts of other turns wait.
        """
        if self._state is not QueueState.FREE or not self._requests:
            return None
        if turns_awaited and self._requests[0].waits_for_turns:
            return None
        request = self._requests.pop(0)
        while request.params is None and self._requests and self._requests[0].params is None:
            request = _joined(request, self._requests.pop(0))
        self.outstanding = request
        self._ended_since_send = False
        self._others_since_send = 0
        self._move(Trigger.SEND)
        return request

    def prompt_sent(self) -> None:
        """Note that the prompt of the outstanding request was sent: it is not sent again."""
        if self.outstanding is not None:
            self.outstanding = attrs.evolve(self.outstanding, prompt=None)

    def awaits(self, token: str) -> bool:
        """Return whether a request with this token is queued or not answered yet."""
        requests = (self.outstanding, *self._requests)
        return any(request.token == token for request in requests if request is not None)

    def withdraw(self, token: str) -> ResponseRequest | None:
        """Remove a queued request. Returns the request, ``None`` if none has this token."""
        request = next((request for request in self._requests if request.token == token), None)
        if request is not None:
            self._requests.remove(request)
        return request

    # --- what the service reports

    def created(
        self, response_id: str, token: str | None, *, spontaneous: bool = False
    ) -> ResponseRequest | None:
        """Note that a response of the conversation was created.

        Args:
            response_id: the service's id of the response.
            token: the token in its metadata, if there is one.
            spontaneous: the service was about to start a response by itself.

        Returns:
            The request that the response answers, if that is certain.
        """
        self.running = response_id
        self._unattributed = None
        request = None if token is None else self._claim(token)
        if token is not None:
            self._server_echoes_metadata = True
        elif self.outstanding and not self._server_echoes_metadata and not spontaneous:
            self._unattributed = response_id
        if self.outstanding is not None:
            self._others_since_send += 1
        # Ours even if the create was taken for rejected but started a response anyway.
        self._move(Trigger.OTHER_CREATED if self.outstanding else Trigger.CREATED)
        return request

    def _claim(self, token: str) -> ResponseRequest | None:
        if self.outstanding is not None and self.outstanding.token == token:
            request, self.outstanding = self.outstanding, None
            return request
        return self.withdraw(token)

    def done(self, response_id: str) -> ResponseRequest | None:
        """Note that a response of the conversation ended.

        Returns:
            The outstanding request, if the end of the response shows that it answered the request.
        """
        if self.running not in (None, response_id):
            return None
        self.running = None
        self._ended_since_send = True
        if self._unattributed != response_id:
            self._move(Trigger.DONE)
            return None
        self._unattributed = None
        request, self.outstanding = self.outstanding, None
        self._move(Trigger.DONE_AS_OURS)
        return request

    def out_of_band_done(self) -> None:
        """Note that an out-of-band response ended."""
        self._move(Trigger.OUT_OF_BAND_DONE)

    def rejected(self, token: str, *, winner_ended: bool = False) -> bool:
        """Return the outstanding create to the queue: another response took the slot.

        Args:
            token: the token of the create.
            winner_ended: the end of that other response was seen already.

        Returns:
            Whether a create with this token was outstanding.
        """
        if self.outstanding is None or self.outstanding.token != token:
            return False
        self._requests.insert(0, self.outstanding)
        self.outstanding = None
        self._unattributed = None
        # A response that ended since the create was sent was the winner: no other end may come.
        late = winner_ended or self._ended_since_send
        self._move(Trigger.REJECTED_LATE if late else Trigger.REJECTED)
        return True

    def failed(self, token: str) -> ResponseRequest | None:
        """Drop the outstanding create, which the service does not accept. Returns its request."""
        if self.outstanding is None or self.outstanding.token != token:
            return None
        request, self.outstanding = self.outstanding, None
        self._unattributed = None
        self._move(Trigger.FAILED)
        return request

    def return_outstanding(self) -> ResponseRequest | None:
        """Return the outstanding create to the queue: the connection is gone. Returns its request."""
        request, self.outstanding = self.outstanding, None
        if request is not None:
            self._requests.insert(0, request)
        self.running = self._unattributed = None
        self._move(Trigger.CLEAR)
        return request

    def clear(self) -> tuple[ResponseRequest, ...]:
        """Drop every request: the session is over. Returns what was dropped."""
        self.return_outstanding()
        dropped = (*self._requests,)
        self._requests.clear()
        return dropped
