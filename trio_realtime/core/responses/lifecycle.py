"""How responses begin and end: ``response.created``, ``response.done``, and completed output items."""

from __future__ import annotations

from trio_realtime import events as ev
from trio_realtime.core.audio.playback import Playback
from trio_realtime.core.calls.function_calls import FunctionCalls
from trio_realtime.core.calls.hosted_mcp import HostedMcpCalls
from trio_realtime.core.calls.ledger import ToolLedger
from trio_realtime.core.effects import Effect, ResponseOutcome
from trio_realtime.core.guardrails import ReplyGuard
from trio_realtime.core.history.updates import HistoryUpdater
from trio_realtime.core.interruption import Interruption
from trio_realtime.core.settings import SessionSettings
from trio_realtime.usage import Usage
from trio_realtime.wire import (
    UNSET,
    FunctionCallItem,
    InputAudioTranscriptionCompleted,
    ResponseCreated,
    ResponseDone,
    ResponseError,
    ResponseObject,
    ResponseOutputItemDone,
    StatusDetails,
)

from .attribution import ResponseAttribution, token_of
from .queue import ResponseQueue, ResponseRequest
from .reply_text import ReplyText
from .requests import ResponseRequests
from .running import RunningResponse, RunningResponses, all_text, outcome_of
from .turns import Turn


class ResponseLifecycle:
    """Follows each response from its beginning to its end.

    Attributes:
        usage: what all responses and transcriptions have cost so far.
    """

    def __init__(
        self,
        responses: RunningResponses,
        queue: ResponseQueue,
        attribution: ResponseAttribution,
        requests: ResponseRequests,
        ledger: ToolLedger,
        calls: FunctionCalls,
        hosted: HostedMcpCalls,
        history: HistoryUpdater,
        text: ReplyText,
        guard: ReplyGuard,
        playback: Playback,
        settings: SessionSettings,
        interruption: Interruption,
        usage: Usage,
    ) -> None:
        self.usage: Usage = usage
        self._responses = responses
        self._queue = queue
        self._attribution = attribution
        self._requests = requests
        self._ledger = ledger
        self._calls = calls
        self._hosted = hosted
        self._history = history
        self._text = text
        self._guard = guard
        self._playback = playback
        self._settings = settings
        self._interruption = interruption

    def on_transcription_completed(
        self, event: InputAudioTranscriptionCompleted, _now: float
    ) -> list[Effect]:
        """Add what the transcription costs."""
        if event.usage is not None:
            self.usage = self.usage.plus_transcription(event.usage)
        return []

    # --- the beginning

    def on_created(self, event: ResponseCreated, now: float) -> list[Effect]:
        """Begin a response and attribute it to its request."""
        return self._create(event.response, now)

    def _create(self, created: ResponseObject, now: float) -> list[Effect]:
        known = self._responses.get(created.id)
        if self._responses.has_ended(created.id) or (known is not None and known.created_seen):
            return []
        token = token_of(created)
        out_of_band = self._attribution.is_out_of_band(created, token)
        request = self._attribution.attribute(created, token, out_of_band=out_of_band)
        response, effects = self.ensure_response(
            created.id, now, out_of_band=out_of_band, request=request
        )
        response.created_seen = True
        if known is not None and request is not None and request.turns:
            # Deltas came before, so it was taken for the beginning of a turn.
            response.turns = (*request.turns, *response.turns)
        is_certain = out_of_band or self._queue.probable_owner is None
        response.request = request if is_certain else None
        tokens = self._attribution.tokens_of(response, token)
        return [*effects, *self._interruption.cancel_if_marked(response, tokens)]

    def ensure_response(
        self,
        response_id: str,
        now: float,
        *,
        out_of_band: bool = False,
        request: ResponseRequest | None = None,
    ) -> tuple[RunningResponse, list[Effect]]:
        """Return the response with this id, and the effects of its beginning if it is new."""
        known = self._responses.get(response_id)
        if known is not None:
            return known, []
        agent = self._settings.agent
        response = self._responses.begin(
            response_id, agent, self._settings.toolset, out_of_band=out_of_band
        )
        lost = self._responses.lost
        effects = [] if lost is None else self.end_lost(lost, now)
        if out_of_band:
            return response, effects
        response.turns = request.turns if request is not None else ()
        if not response.turns:
            response.turns = (Turn(response_id, agent),)
            effects.append(response.turns[0].start_event())
        turn_ids = tuple(turn.id for turn in response.turns)
        effects.append(ev.ResponseStart(agent=agent, response_id=response_id, turn_ids=turn_ids))
        return response, effects

    # --- completed output items

    def on_output_item_done(self, event: ResponseOutputItemDone, now: float) -> list[Effect]:
        """Take the final version of an output item; run it if it is a function call."""
        effects: list[Effect] = []
        response = self._responses.running.get(event.response_id)
        if response is None:
            if self._responses.has_ended(event.response_id):
                return effects
            response, effects = self.ensure_response(event.response_id, now)
        effects += self._text.complete_item(response, event.item, now)
        if response.out_of_band:
            return effects
        if not isinstance(event.item, FunctionCallItem):
            effects += self._history.finish_item(event.item)
            return [*effects, *self._hosted.finish_item(event.item)]
        call = response.note_call(event.item)
        effects += self._history.finish_item(call)
        return [*effects, *self._calls.start(call, response)]

    # --- the end

    def on_done(self, event: ResponseDone, now: float) -> list[Effect]:
        """End a response: report its outcome, and let its turns end or go on."""
        done = event.response
        if self._responses.has_ended(done.id):
            return []
        effects: list[Effect] = []
        known = self._responses.running.get(done.id)
        out_of_band = self._attribution.is_out_of_band(done, token_of(done))
        if (known is None or not known.created_seen) and (
            out_of_band or self._queue.running is None
        ):
            # The service leaves out the beginning where an interruption came in between.
            effects += self._create(done, now)
        response, began = self.ensure_response(done.id, now)
        effects += began
        if done.status == "cancelled":
            response.audio_suppressed = True
        for item in done.output:
            effects += self._text.complete_item(response, item, now)
        if not response.out_of_band:
            completed = done.status == "completed"
            items = response.final_items(done)
            for item in items:
                effects += self._history.finish_item(item)
            effects += self._text.end(response, completed=completed)
            effects += self._calls.start_missed(items, response, completed=completed)
        self._responses.end(done.id)
        if done.usage is not None:
            self.usage = self.usage.plus(done.usage)
        outcome = outcome_of(done, response)
        if response.out_of_band:
            self._queue.out_of_band_done()
            effects += self._requests.resolve(self._attribution.waiters_of(response), outcome)
        else:
            effects += self._end_in_conversation(response, outcome, now)
        self._playback.advance(now, self._interruption.unfinished())
        return [*effects, *self._requests.send_next()]

    def end_lost(self, response: RunningResponse, now: float) -> list[Effect]:
        """End a response whose ``response.done`` did not arrive, as a cancelled one."""
        details = StatusDetails(type="cancelled", reason="client_cancelled")
        return self._end_without_report(response, "cancelled", details, now)

    def end_disconnected(self, response: RunningResponse, message: str, now: float) -> list[Effect]:
        """End a response whose connection is gone. Its calls go on."""
        details = StatusDetails(
            type="failed", reason="disconnected", error=ResponseError(message=message)
        )
        return self._end_without_report(response, "failed", details, now)

    def _end_without_report(
        self, response: RunningResponse, status: str, details: StatusDetails, now: float
    ) -> list[Effect]:
        done = ResponseObject(
            id=response.id,
            status=status,
            status_details=details,
            conversation_id=None if response.out_of_band else UNSET,
        )
        return self.on_done(ResponseDone(response=done), now)

    def _end_in_conversation(
        self, response: RunningResponse, outcome: ResponseOutcome, now: float
    ) -> list[Effect]:
        request = self._queue.done(response.id) or response.request
        calls = self._ledger.call_count(response.id)
        effects: list[Effect] = [
            *self._history.flush_growth(),
            _end_event(response, outcome, calls),
            *self._guard.end(response.id, response.agent, all_text(outcome), now),
        ]
        if request is not None:
            self._interruption.forget(request.token)
            effects += self._requests.resolve(request.waiters, outcome)
            response.turns[0].waiters += request.turn_waiters
        for turn in response.turns:
            turn.add(outcome, calls, response.agent)
        if not calls:
            self._ledger.response_done(response.id)  # it may have repeated calls of others
            return [*effects, *self._requests.end_turns(response.turns, outcome)]
        self._hosted.response_ended(response.id, completed=outcome.status == "completed")
        if outcome.status == "cancelled":
            effects += self._interruption.cancel_calls(response.id)
        return [
            *effects,
            *self._requests.continue_after_calls(response.id, response.turns, outcome),
        ]


def _end_event(
    response: RunningResponse, outcome: ResponseOutcome, tool_calls: int
) -> ev.ResponseEnd:
    return ev.ResponseEnd(
        agent=response.agent,
        response_id=response.id,
        status=outcome.status,
        reason=outcome.reason,
        message=outcome.message,
        output=outcome.text,
        tool_calls=tool_calls,
        usage=outcome.usage,
    )
