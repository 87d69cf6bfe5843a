"""Requests for responses: from the user's commands to ``response.create``, and to their outcomes.

This module queues each request, sends the next create when the slot is free, requests the follow-up
to answered function calls, and resolves the tokens that wait for a response or a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import attrs

from trio_realtime import events as ev
from trio_realtime.core.calls.ledger import CallsCompleted, ToolLedger
from trio_realtime.core.effects import Effect, ResolveRequest, ResponseOutcome
from trio_realtime.core.error_events import (
    ACTIVE_RESPONSE,
    CANCELLED,
    active_response,
    concerns_create,
    failed_outcome,
    peer_error,
    unanswered_outcome,
)
from trio_realtime.core.guardrails import InputGuard
from trio_realtime.core.history.outgoing import OutgoingItems
from trio_realtime.core.inputs import CancelResponse, CreateResponse, SendItem
from trio_realtime.core.interruption import Interruption
from trio_realtime.core.limits import SessionLimits
from trio_realtime.core.link import Link
from trio_realtime.core.request_timer import RequestTimer
from trio_realtime.core.settings import SessionSettings
from trio_realtime.errors import PeerError, UsageError
from trio_realtime.wire import (
    ErrorDetails,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    ResponseCreate,
    ResponseParams,
)

from .attribution import ResponseAttribution
from .queue import METADATA_KEY, ResponseQueue, ResponseRequest
from .running import RunningResponses
from .turns import Turn

TurnOutcome: TypeAlias = ResponseOutcome | PeerError
Turns: TypeAlias = tuple[Turn, ...]


class ResponseRequests:
    """Turns commands into creates, and outcomes into resolved requests.

    Args:
        responses: the responses that run.
        queue: the requests that wait for the conversation's slot.
        attribution: knows which request a response answers.
        ledger: knows which calls are open.
        outgoing: sends items.
        link: whether anything can be sent now.
        settings: the current agent, and what the service does by itself.
        interruption: knows which requests are cancelled in advance.
        input_guard: requests the checks of what the user says.
        timer: limits how long a create may be unanswered.
        limits: limits how many responses in a row only call functions.
        token: makes event ids.
        open_turns: the turns whose calls are still to be answered, by response. They outlive the
            connection.
        out_of_band: the out-of-band requests that were not sent. They outlive the connection.
    """

    def __init__(
        self,
        responses: RunningResponses,
        queue: ResponseQueue,
        attribution: ResponseAttribution,
        ledger: ToolLedger,
        outgoing: OutgoingItems,
        link: Link,
        settings: SessionSettings,
        interruption: Interruption,
        input_guard: InputGuard,
        timer: RequestTimer,
        limits: SessionLimits,
        token: Callable[[str], str],
        open_turns: dict[str, tuple[Turns, ResponseOutcome]],
        out_of_band: list[ResponseRequest],
    ) -> None:
        self._responses = responses
        self._queue = queue
        self._attribution = attribution
        self._ledger = ledger
        self._outgoing = outgoing
        self._link = link
        self._settings = settings
        self._interruption = interruption
        self._input_guard = input_guard
        self._timer = timer
        self._limits = limits
        self._token = token
        self._open_turns = open_turns
        self._waiting_out_of_band = out_of_band

    # --- commands

    def on_send_item(self, command: SendItem, _now: float) -> list[Effect]:
        """Add an item to the conversation, and request a response to it if asked to."""
        effects: list[Effect] = []
        if command.user_text is not None:
            effects += self._input_guard.check(command.user_text, self._settings.agent)
        effects += self._outgoing.send(command.item)
        if command.respond:
            self._queue.add(ResponseRequest(token=self._token("create")))
            effects += self.send_next()
        return effects

    def on_create_response(self, command: CreateResponse, _now: float) -> list[Effect]:
        """Queue a request; send an out-of-band one at once."""
        waiters = (command.token,)
        request = ResponseRequest(
            token=command.token,
            params=command.params,
            waiters=() if command.until_turn_end else waiters,
            turn_waiters=waiters if command.until_turn_end else (),
            prompt=command.prompt,
            prompt_text=command.prompt_text,
            inside_turn=command.inside_turn,
        )
        return self._request(request)

    def request_raw(self, create: ResponseCreate) -> list[Effect]:
        """Queue a request that the user wrote as an event; send an out-of-band one at once.

        Raises:
            UsageError: an unanswered request has the same event id.
        """
        token = create.event_id or self._token("create")
        if self._queue.awaits(token) or self._attribution.awaits(token):
            raise UsageError(
                f"event_id {token!r} belongs to a response.create that is not answered yet: use "
                "another one, or none"
            )
        request = ResponseRequest(
            token=token,
            params=create.response or ResponseParams(),
            extra=create.extra,
        )
        return self._request(request)

    def request_automatically(self, params: ResponseParams | None = None) -> list[Effect]:
        """Queue a request that no caller has made."""
        return self._request(ResponseRequest(token=self._token("create"), params=params))

    def _request(self, request: ResponseRequest) -> list[Effect]:
        if request.params is not None and request.params.conversation == "none":
            self._waiting_out_of_band.append(request)
            return self.send_out_of_band()
        self._queue.add(request)
        return self.send_next()

    def send_out_of_band(self) -> list[Effect]:
        """Send the out-of-band requests that wait for a connection."""
        if not self._link.is_open:
            return []
        requests = [*self._waiting_out_of_band]
        self._waiting_out_of_band.clear()
        for request in requests:
            self._attribution.request_out_of_band(request)
        return [_create_event(request) for request in requests]

    def on_cancel_response(self, command: CancelResponse, now: float) -> list[Effect]:
        """Interrupt, drop or mark the response that was requested with this token."""
        for response in self._responses.running.values():
            if command.token in self._attribution.waiters_of(response):
                return self._interruption.interrupt_response(response.id, now)
        request = self._withdraw(command.token)
        if request is not None:
            return self._abandon(request, CANCELLED, CANCELLED)
        self._interruption.cancel_when_created(command.token)
        return []

    def _withdraw(self, token: str) -> ResponseRequest | None:
        """Remove a request that was not sent. Returns it, ``None`` if none has this token."""
        for request in self._waiting_out_of_band:
            if request.token == token:
                self._waiting_out_of_band.remove(request)
                return request
        return self._queue.withdraw(token)

    def on_user_turn_ended(
        self,
        _event: InputAudioBufferSpeechStopped | InputAudioBufferTimeoutTriggered,
        _now: float,
    ) -> Sequence[Effect]:
        """Expect a response that the service starts by itself."""
        session = self._settings.session
        responds = session is not None and session.creates_response
        self._attribution.user_turn_ended(service_responds=responds)
        return ()

    # --- creates

    def send_next(self) -> list[Effect]:
        """Send the next create, if one may be sent.

        None is sent while calls of an interrupted response are still to be answered.
        """
        if not self._link.is_open or not self._queue.can_send or self._ledger.is_cancelling:
            return []
        request = self._queue.next_to_send(turns_awaited=self._are_turns_awaited())
        if request is None:
            return []
        self._attribution.create_sent()
        if request.prompt is None:
            return [_create_event(request)]
        self._queue.prompt_sent()
        prompt = self._outgoing.send(request.prompt)
        check = self._input_guard.check(request.prompt_text, self._settings.agent)
        return [*prompt, *check, _create_event(request)]

    def _are_turns_awaited(self) -> bool:
        return bool(self._open_turns) and any(
            turn.waiters for turns, _ in self._open_turns.values() for turn in turns
        )

    def reject(self, details: ErrorDetails) -> list[Effect] | None:
        """Route an error to the create that it answers; ``None`` if it answers none."""
        token = details.event_id
        outstanding = self._queue.outstanding
        if token is None and outstanding is not None and concerns_create(details):
            token = outstanding.token
        if token is None:
            return None
        probable = self._queue.probable_owner
        if details.code == ACTIVE_RESPONSE and self._queue.rejected(
            token, winner_ended=self._responses.has_ended(active_response(details))
        ):
            was_attributed = probable is not None and probable.token == token
            return self._after_rejection(token, was_attributed=was_attributed)
        request = self._attribution.reject_out_of_band(token) or self._queue.failed(token)
        if request is None:
            return None
        self._interruption.forget(token)
        given_up = self._give_up(request, failed_outcome(details), peer_error(details))
        return [*given_up, *self.send_next()]

    def expire(self) -> list[Effect]:
        """Give up requests that the service has not answered in time."""
        dropped = self._queue.expire()
        expired = [*([] if dropped is None else [dropped]), *self._attribution.expire_out_of_band()]
        effects: list[Effect] = []
        for request in expired:
            self._interruption.forget(request.token)
            error = self._timer.error("response.create")
            effects += self._give_up(request, unanswered_outcome(error), error)
        return [*effects, *self.send_next()]

    def _give_up(
        self, request: ResponseRequest, outcome: ResponseOutcome, error: PeerError
    ) -> list[Effect]:
        """Fail a request. An event reports the error if no caller waits."""
        waits = request.waiters or request.turn_waiters
        report: list[Effect] = [] if waits else [ev.Error(error=error)]
        return [*report, *self._abandon(request, outcome, error)]

    def _after_rejection(self, token: str, *, was_attributed: bool) -> list[Effect]:
        effects: list[Effect] = []
        running = self._responses.get(self._queue.running or "")
        if was_attributed and running is not None:
            # It counted as the response of this create, and it starts a turn of its own instead.
            running.turns = (Turn(running.id, running.agent),)
            effects.append(running.turns[0].start_event())
        if self._interruption.is_cancelled_in_advance(token):
            # A later request would be joined to an interrupted one that stays in the queue.
            request = self._queue.withdraw(token)
            if request is not None:
                self._interruption.forget(token)
                effects += self._abandon(request, CANCELLED, CANCELLED)
        return [*effects, *self.send_next()]

    def _abandon(
        self, request: ResponseRequest, outcome: ResponseOutcome, result: TurnOutcome
    ) -> list[Effect]:
        """Give up a request: its turns end with ``outcome``, and its waiters get ``result``."""
        waiters = (*request.waiters, *request.turn_waiters)
        return [*self.resolve(waiters, result), *self.end_turns(request.turns, outcome, result)]

    def connection_lost(self, *, is_heard_again: bool) -> list[Effect]:
        """Queue every request again whose response has not begun, unless it was cancelled.

        Args:
            is_heard_again: the user's turn is sent to the next connection as audio, so the service
                responds to it by itself.
        """
        effects: list[Effect] = []
        returned = self._queue.return_outstanding()
        if returned is not None and self._interruption.is_cancelled_in_advance(returned.token):
            self._queue.withdraw(returned.token)
            effects += self._abandon(returned, CANCELLED, CANCELLED)
        if self._attribution.is_response_expected and not is_heard_again:
            # The service was about to respond to the user.
            self._queue.add(ResponseRequest(token=self._token("create")))
        for request in self._attribution.take_out_of_band():
            if self._interruption.is_cancelled_in_advance(request.token):
                effects += self._abandon(request, CANCELLED, CANCELLED)
            else:
                self._waiting_out_of_band.append(request)
        return effects

    # --- outcomes

    def resolve(self, tokens: Iterable[str], outcome: TurnOutcome) -> list[Effect]:
        """Resolve these tokens."""
        effects: list[Effect] = []
        for token in tokens:
            self._interruption.forget(token)
            effects.append(ResolveRequest(token=token, outcome=outcome))
        return effects

    def end_turns(
        self, turns: Turns, outcome: ResponseOutcome, result: TurnOutcome | None = None
    ) -> list[Effect]:
        """End turns with ``outcome``. Their waiters get ``result``, or the outcome."""
        effects: list[Effect] = []
        for turn in turns:
            effects.append(turn.end_event(outcome))
            effects += self.resolve(turn.waiters, outcome if result is None else result)
        return effects

    # --- function calls

    def continue_after_calls(
        self, response_id: str, turns: Turns, outcome: ResponseOutcome
    ) -> list[Effect]:
        """Let the turns of a response go on when all its calls are answered."""
        self._open_turns[response_id] = (turns, outcome)
        self._ledger.response_done(response_id)
        return self._finish_completed_calls()

    def after_call_finished(self) -> list[Effect]:
        """Do what was waiting for a call: end or continue its turns, and send the next create."""
        effects = self._finish_completed_calls()
        return [*effects, *self.send_next()]

    def _finish_completed_calls(self) -> list[Effect]:
        effects: list[Effect] = []
        for completed in self._ledger.pop_completed():
            # A call that belongs to no response belongs to no turn.
            turns, outcome = self._open_turns.pop(completed.response_id, ((), CANCELLED))
            if completed.wants_response:
                effects += self._continue(turns)
            else:
                effects += self.end_turns(turns, _outcome_without_reply(outcome, completed))
        return effects

    def _continue(self, turns: Turns) -> Sequence[Effect]:
        """Queue the response that continues turns after their calls."""
        rounds = max((turn.tool_rounds for turn in turns), default=0)
        may_call, effects = self._limits.check_rounds(rounds)
        params = None if may_call else ResponseParams(tool_choice="none")
        self._queue.add(ResponseRequest(token=self._token("create"), params=params, turns=turns))
        return effects


def _create_event(request: ResponseRequest) -> ResponseCreate:
    """Return the create of a request, with the token in its metadata."""
    params = request.params if request.params is not None else ResponseParams()
    metadata = {**(params.metadata or {}), METADATA_KEY: request.token}
    return ResponseCreate(
        event_id=request.token,
        response=attrs.evolve(params, metadata=metadata),
        extra=request.extra,
    )


def _outcome_without_reply(outcome: ResponseOutcome, completed: CallsCompleted) -> ResponseOutcome:
    """Return the outcome of a turn whose calls no response will follow."""
    if outcome.status == "completed" and completed.interrupted:
        return attrs.evolve(outcome, status="cancelled", reason="interrupted")
    return outcome
