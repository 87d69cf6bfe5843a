"""What a tripped guardrail does: see the table in :mod:`.guardrails`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trio_realtime import events as ev
from trio_realtime.events import GuardrailTrip
from trio_realtime.wire import (
    ConversationItemCreate,
    InputAudioTranscriptionCompleted,
    InputText,
    MessageItem,
)

from .effects import Effect
from .guardrails import InputGuard, ReplyGuard
from .inputs import InputChecked, ReplyChecked, SendItem
from .interruption import Interruption
from .responses.queue import ResponseQueue
from .responses.requests import ResponseRequests
from .responses.running import RunningResponses
from .settings import SessionSettings


class GuardrailTrips:
    """Takes the results of guardrail checks and stops the agent where a guardrail tripped."""

    def __init__(
        self,
        responses: RunningResponses,
        queue: ResponseQueue,
        guard: ReplyGuard,
        input_guard: InputGuard,
        settings: SessionSettings,
        interruption: Interruption,
        requests: ResponseRequests,
        token: Callable[[str], str],
    ) -> None:
        self._responses = responses
        self._queue = queue
        self._guard = guard
        self._input_guard = input_guard
        self._settings = settings
        self._interruption = interruption
        self._requests = requests
        self._token = token

    def on_reply_checked(self, result: ReplyChecked, now: float) -> Sequence[Effect]:
        """Release audio that has passed, or stop the response whose check tripped."""
        response_id = result.response_id
        first_trip, released = self._guard.checked(
            response_id, len(result.text), now, tripped=bool(result.trips)
        )
        if not first_trip:
            return released
        tripped = ev.GuardrailTripped(
            guardrail_results=tuple(result.trips), message=result.text, response_id=response_id
        )
        if self._is_superseded(response_id):
            return [tripped, *self._interruption.silence(response_id, now)]
        return [
            tripped,
            *self._interruption.interrupt_response(response_id, now),
            *self._requests.on_send_item(self._feedback(result), now),
        ]

    def on_input_checked(self, result: InputChecked, now: float) -> Sequence[Effect]:
        """Stop the agent where the user's input tripped, unless the user went on since then."""
        if not result.trips:
            return ()
        tripped = ev.GuardrailTripped(
            guardrail_results=tuple(result.trips), message=result.text, response_id=None
        )
        if not self._input_guard.is_latest(result.serial):
            return [tripped]
        return [tripped, *self._interruption.interrupt_all(now)]

    def on_transcription_completed(
        self, event: InputAudioTranscriptionCompleted, _now: float
    ) -> Sequence[Effect]:
        """Check the transcript of what the user said."""
        return self._input_guard.check(event.transcript, self._settings.agent)

    def _is_superseded(self, response_id: str) -> bool:
        """Return whether a later response was created or requested."""
        if self._responses.latest != response_id:
            return True
        ended = self._responses.get(response_id) is None
        return ended and self._queue.outstanding is not None

    def _feedback(self, result: ReplyChecked) -> SendItem:
        text = default_feedback(result.trips) if result.feedback is None else result.feedback
        message = MessageItem(role="user", content=(InputText(text=text),))
        item = ConversationItemCreate(event_id=self._token("item"), item=message)
        return SendItem(item=item, respond=True)


def default_feedback(trips: Sequence[GuardrailTrip]) -> str:
    """Return the message that tells the model which guardrails tripped, and what to do instead."""
    names = ", ".join(trip.name for trip in trips)
    return "\n".join((f"guardrail triggered: {names}", *(t.feedback for t in trips if t.feedback)))
