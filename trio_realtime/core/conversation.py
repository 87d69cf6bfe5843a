"""The conversation: server events, commands and results in, effects out.

Synchronous and without a clock: every input that can depend on time takes ``now`` in seconds. For
the same inputs the effects are the same. First an input is accepted, then state changes, then
effects leave.

Who decides what:

* ``history``   the items in the service's order
* ``gate``      when a ``response.create`` may be sent
* ``ledger``    which calls run, and when all of a response are answered
* ``playback``  how much of the audio was heard
* ``responses`` what belongs to which response
* ``record``    events about items and transcripts, into the history
* ``notices``   events that are only told on

and this module only carries each event to those it concerns. Whoever looks for the way of an event
finds its handler in ``_make_handlers``, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeAlias

import attrs

from trio_realtime import events as ev
from trio_realtime.errors import (
    PeerError,
    ProtocolViolation,
    RequestRefused,
    SessionExpired,
    SettingsRefused,
)
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemTruncate,
    ErrorDetails,
    ErrorEvent,
    FunctionCallItem,
    FunctionCallOutputItem,
    InputAudioBufferSpeechStarted,
    InputImage,
    Item,
    MessageItem,
    OutputAudio,
    OutputText,
    ResponseCancel,
    ResponseContentPartAdded,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseObject,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseParams,
    ServerEvent,
    Session,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)

from .effects import Call, CancelCalls, Effect, ResponseOutcome, Settle, StartCall
from .gate import METADATA_KEY, ResponseGate, Wish
from .history import History
from .notices import NOTICES
from .playback import Playback, Position
from .record import Record
from .responses import (
    Responses,
    Running,
    names_conversation,
    names_no_conversation,
    outcome_of,
    token_of,
)
from .tools import RoundOver, ToolLedger
from .usage import Usage

Effects: TypeAlias = list[Effect]
Handler: TypeAlias = Callable[[Any, float], Sequence[Effect]]

ACTIVE_RESPONSE = "conversation_already_has_active_response"
NOTHING_TO_CANCEL = "response_cancel_not_active"
CANCELLED_OUTPUT = "The call was cancelled: the user interrupted before it finished."


class Conversation:
    """See the module.

    Args:
        agent: who speaks; opaque here, and bound to each response that begins.
        barge_in: whether the user's speech interrupts also where the service does not do so itself.
    """

    def __init__(self, agent: Any, *, barge_in: bool = True) -> None:
        self.agent = agent
        self.history = History()
        self._record = Record(self.history)
        self.usage = Usage()
        self.playback = Playback()
        self.session: Session | None = None
        self.last_error: PeerError | None = None
        self._barge_in = barge_in
        self._gate = ResponseGate()
        self._ledger = ToolLedger()
        self._responses = Responses()
        self._numbers = count(1)
        self._updates: list[str] = []
        self._beside: dict[str, Wish] = {}
        self._followers: dict[str, str] = {}
        self._round_outcomes: dict[str, ResponseOutcome] = {}
        self._doomed: set[str] = set()
        self._names_conversations = False
        self._handlers = self._make_handlers()

    # --- looking ----------------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """Nothing runs, waits or is still to be answered. Audio may still be playing."""
        return self._gate.is_idle and not self._ledger.is_busy and not self._responses.running

    @property
    def running_response_id(self) -> str | None:
        """Id of the response that writes to the conversation now."""
        return self._gate.running

    @property
    def is_cancelling(self) -> bool:
        """Interrupted calls are still to be answered."""
        return self._ledger.is_cancelling

    def playback_ends_at(self, now: float) -> float:
        """When what was received will have been heard (seconds)."""
        return self.playback.ends_at(now)

    # --- commands ---------------------------------------------------------------------------

    def update_settings(self, session: Session) -> tuple[str, Effects]:
        """Ask for settings. Returns the token under which the answer is settled."""
        token = self._token("settings")
        self._updates.append(token)
        return token, [SessionUpdate(event_id=token, session=session)]

    def send_item(
        self, item: Item, *, respond: bool, previous_item_id: str | None = None
    ) -> Effects:
        """Put an item into the conversation, and wish for a response to it if asked."""
        if isinstance(item, MessageItem):
            item = self._with_remembered_images(item)
        effects: Effects = [
            ConversationItemCreate(
                event_id=self._token("item"), previous_item_id=previous_item_id, item=item
            )
        ]
        if respond:
            self._gate.wish(Wish(token=self._token("create")))
            self._pump(effects)
        return effects

    def _with_remembered_images(self, item: MessageItem) -> MessageItem:
        # The service does not echo an image's URL; an id of ours tells which item it belongs to.
        if not any(isinstance(part, InputImage) for part in item.content):
            return item
        item = attrs.evolve(item, id=item.id or self._token("item_image"))
        assert item.id is not None
        self.history.remember_sent(item.id, item)
        return item

    def create_response(
        self, params: ResponseParams | None, *, through_tools: bool = False
    ) -> tuple[str, Effects]:
        """Wish for a response and wait for it. Returns the token under which it is settled.

        Args:
            params: overrides; with ``conversation="none"`` it is asked for at once.
            through_tools: settle with the answer that follows the function calls, if it makes any.
        """
        token = self._token("create")
        params = params if params is not None else ResponseParams()
        wish = Wish(token=token, params=params, waiters=(token,))
        if through_tools:
            self._followers[token] = token
        effects: Effects = []
        if params.conversation == "none":
            self._beside[token] = wish
            effects.append(_create_event(wish))
        else:
            self._gate.wish(wish)
            self._pump(effects)
        return token, effects

    def cancel_response(self, token: str) -> Effects:
        """Stop the response that was asked for under this token, if it has begun."""
        for state in self._responses.running.values():
            if state.wish is not None and token in state.wish.waiters:
                return self._cancel(state)
        self._doomed.add(token)
        return []

    def interrupt(self, now: float) -> Effects:
        """Stop speaking: cancel the running response and its calls, cut what plays.

        A response that was asked for and has not begun is cancelled as soon as it begins. What is
        asked for after this is not touched.
        """
        effects: Effects = []
        state = self._running_state()
        if state is not None:
            effects += self._cancel(state)
        if self._gate.outstanding is not None:
            self._doomed.add(self._gate.outstanding.token)
        self._cut_playback(now, effects)
        self._cancel_calls(None, effects)
        return effects

    def interrupt_response(self, response_id: str, now: float) -> Effects:
        """The same for one response only: nothing of another one is touched."""
        effects: Effects = []
        state = self._responses.get(response_id)
        if state is not None:
            effects += self._cancel(state)
        self._cut_playback(now, effects, only=response_id)
        self._cancel_calls(response_id, effects)
        return effects

    def report_played(self, item_id: str, content_index: int, ms: float) -> None:
        """The application tells how much of an item it has played."""
        self.playback.report(item_id, content_index, ms)

    def call_finished(
        self, call_id: str, output: str, *, wants_response: bool, report: ev.SessionEvent | None
    ) -> Effects:
        """A call has its answer. ``report`` is emitted once the answer is on its way."""
        if not self._ledger.finished(call_id, wants_response=wants_response):
            return []
        effects: Effects = [self._answer(call_id, output)]
        if report is not None:
            effects.append(report)
        self._close_rounds(effects)
        self._pump(effects)
        return effects

    def was_cancelled(self, call_id: str) -> bool:
        """Whether an interrupt hit this call."""
        return self._ledger.was_cancelled(call_id)

    def disconnected(self) -> None:
        """The connection is gone: nothing that waited will be sent."""
        self._gate.drop_all()
        self._beside.clear()
        self._updates.clear()
        self._doomed.clear()

    # --- server events ----------------------------------------------------------------------

    def receive(self, event: ServerEvent, now: float) -> Sequence[Effect]:
        """Take one server event. Events of no concern, known or not, have no effects."""
        handler = self._handlers.get(type(event))
        return handler(event, now) if handler is not None else ()

    # --- ... the session

    def _on_session_created(self, event: SessionCreated, _now: float) -> Sequence[Effect]:
        self._take_session(event.session)
        return ()

    def _on_session_updated(self, event: SessionUpdated, _now: float) -> Sequence[Effect]:
        self._take_session(event.session)
        effects: Effects = [ev.SettingsUpdated(session=event.session)]
        if self._updates:
            # Updates are answered one by one, in order; the answer does not name its question.
            effects.append(Settle(token=self._updates.pop(0), outcome=event.session))
        return effects

    def _take_session(self, session: Session) -> None:
        self.session = session
        if session.output_format is not None:
            self.playback.bytes_per_ms = session.output_format.bytes_per_ms

    def _on_error(self, event: ErrorEvent, _now: float) -> Sequence[Effect]:
        details = event.error
        effects: Effects = []
        if not self._answer_refusal(details, effects):
            self.last_error = _peer_error(details)
            effects.append(ev.Error(error=self.last_error))
        return effects

    def _answer_refusal(self, details: ErrorDetails, effects: Effects) -> bool:
        """Carry a refusal to its request. Returns whether nobody else need hear of it."""
        token = details.event_id
        if token in self._updates:
            self._updates.remove(token)
            self.last_error = _peer_error(details, SettingsRefused)
            effects.append(Settle(token=token, outcome=self.last_error))
            return True
        if details.code == NOTHING_TO_CANCEL:
            return True  # it had ended by itself
        outstanding = self._gate.outstanding
        if token is None and outstanding is not None and _concerns_create(details):
            token = outstanding.token
        return token is not None and self._refuse_create(token, details, effects)

    def _refuse_create(self, token: str, details: ErrorDetails, effects: Effects) -> bool:
        if details.code == ACTIVE_RESPONSE and self._gate.refused(token):
            return True
        wish = self._beside.pop(token, None) or self._gate.failed(token)
        if wish is None:
            return False
        self._doomed.discard(token)
        for waiter in wish.waiters:
            self._followers.pop(waiter, None)
            effects.append(Settle(token=waiter, outcome=_peer_error(details)))
        if not wish.waiters:
            effects.append(ev.Error(error=_peer_error(details)))
        self._pump(effects)
        return True

    # --- ... the user's audio

    def _on_speech_started(
        self, event: InputAudioBufferSpeechStarted, now: float
    ) -> Sequence[Effect]:
        effects: Effects = [
            ev.SpeechStarted(item_id=event.item_id, audio_start_ms=event.audio_start_ms)
        ]
        served = self.session is not None and self.session.interrupts_response
        if not (served or self._barge_in):
            return effects
        state = self._running_state()
        if state is not None:
            # A cancel on top of the service's own could hit the response after this one.
            effects += self._silence(state) if served else self._cancel(state)
        self._cut_playback(now, effects)
        self._cancel_calls(None, effects)
        return effects

    # --- ... responses

    def _on_response_created(self, event: ResponseCreated, _now: float) -> Sequence[Effect]:
        response = event.response
        if self._responses.has_ended(response.id):
            return ()
        token = token_of(response)
        beside = self._stands_beside(response, token)
        self._names_conversations |= names_conversation(response)
        effects: Effects = []
        state = self._seen(response.id, effects, beside=beside)
        if beside:
            state.wish = self._beside.pop(token, None) if token else None
        else:
            state.wish = self._gate.created(response.id, token)
        if self._is_doomed(state, token):
            effects += self._cancel(state)
        return effects

    def _stands_beside(self, response: ResponseObject, token: str | None) -> bool:
        if token is not None:
            return token in self._beside
        # Some servers never name a conversation; there, null says nothing.
        return names_no_conversation(response) and self._names_conversations

    def _is_doomed(self, state: Running, token: str | None) -> bool:
        waiters = state.wish.waiters if state.wish is not None else ()
        hit = self._doomed.intersection((*waiters, token or ""))
        self._doomed -= hit
        return bool(hit)

    def _seen(self, response_id: str, effects: Effects, *, beside: bool = False) -> Running:
        """The response of this id; it begins now if it was not seen before."""
        state = self._responses.get(response_id)
        if state is None:
            state = self._responses.begin(response_id, self.agent, beside=beside)
            if not beside:
                effects.append(ev.AgentStart(agent=state.agent, response_id=response_id))
        return state

    def _running_state(self) -> Running | None:
        running = self._gate.running
        return None if running is None else self._responses.get(running)

    def _on_response_done(self, event: ResponseDone, now: float) -> Sequence[Effect]:
        response = event.response
        if self._responses.has_ended(response.id):
            return ()
        effects: Effects = []
        beside = self._stands_beside(response, token_of(response))
        state = self._seen(response.id, effects, beside=beside)
        if not state.beside:
            self._take_missed_calls(response, state, effects)
        self._responses.end(response.id)
        if response.usage is not None:
            self.usage = self.usage.plus(response.usage)
        outcome = outcome_of(response, state)
        if state.beside:
            self._settle(state.wish.waiters if state.wish else (), outcome, effects)
        else:
            self._end_in_conversation(state, outcome, effects)
        self.playback.advance(now, self._responses.running)
        self._pump(effects)
        return effects

    def _end_in_conversation(
        self, state: Running, outcome: ResponseOutcome, effects: Effects
    ) -> None:
        wish = self._gate.done(state.id) or state.wish
        calls = self._ledger.calls_of(state.id)
        effects.append(
            ev.AgentEnd(
                agent=state.agent,
                response_id=state.id,
                status=outcome.status,
                reason=outcome.reason,
                message=outcome.message,
                output=outcome.text,
                tool_calls=calls,
                usage=outcome.usage,
            )
        )
        if outcome.status == "cancelled":
            self._cancel_calls(state.id, effects)
        waiters = wish.waiters if wish is not None else ()
        riding = tuple(w for w in waiters if calls and w in self._followers)
        self._settle(tuple(w for w in waiters if w not in riding), outcome, effects)
        if calls:
            self._round_outcomes[state.id] = outcome
            self._ledger.response_done(state.id, riding)
            self._close_rounds(effects)

    def _settle(self, waiters: tuple[str, ...], outcome: ResponseOutcome, effects: Effects) -> None:
        for waiter in waiters:
            self._followers.pop(waiter, None)
            self._doomed.discard(waiter)
            effects.append(Settle(token=waiter, outcome=outcome))

    # --- ... what responses say

    def _on_audio(self, event: ResponseOutputAudioDelta, now: float) -> Sequence[Effect]:
        state = self._responses.running.get(event.response_id)
        effects: Effects = []
        if state is None:
            if self._responses.has_ended(event.response_id):
                return ()
            state = self._seen(event.response_id, effects)
        if state.silenced:
            return effects
        if state.beside:
            state.audio.append(event.delta)
            return effects
        self.playback.receive(
            (event.item_id, event.content_index), event.response_id, len(event.delta), now
        )
        effects.append(
            ev.Audio(
                data=event.delta,
                response_id=event.response_id,
                item_id=event.item_id,
                content_index=event.content_index,
            )
        )
        return effects

    def _on_audio_done(self, event: ResponseOutputAudioDone, _now: float) -> Sequence[Effect]:
        state = self._responses.get(event.response_id)
        if state is None or state.beside or state.silenced:
            return ()
        return (
            ev.AudioEnd(
                response_id=event.response_id,
                item_id=event.item_id,
                content_index=event.content_index,
            ),
        )

    def _on_part_added(self, event: ResponseContentPartAdded, _now: float) -> Sequence[Effect]:
        kind = OutputText if event.part.type == "text" else OutputAudio
        self.history.open_part(event.item_id, event.content_index, kind)
        return ()

    def _on_text(
        self, event: ResponseOutputTextDelta | ResponseOutputAudioTranscriptDelta, _now: float
    ) -> Sequence[Effect]:
        effects: Effects = []
        if self._responses.has_ended(event.response_id):
            return ()
        state = self._seen(event.response_id, effects)
        state.add_text(event.item_id, event.content_index, event.delta)
        if state.beside:
            return effects
        is_text = type(event) is ResponseOutputTextDelta
        kind = OutputText if is_text else OutputAudio
        self.history.append_text(event.item_id, event.content_index, event.delta, kind)
        delta = ev.TextDelta if is_text else ev.TranscriptDelta
        effects.append(
            delta(
                delta=event.delta,
                response_id=event.response_id,
                item_id=event.item_id,
                content_index=event.content_index,
            )
        )
        return effects

    def _on_output_item_done(self, event: ResponseOutputItemDone, _now: float) -> Sequence[Effect]:
        if self._responses.has_ended(event.response_id):
            return ()
        effects: Effects = []
        state = self._seen(event.response_id, effects)
        if state.beside:
            return effects
        effects += self._record.finish_item(event.item)
        if isinstance(event.item, FunctionCallItem):
            self._take_call(event.item, state, effects)
        return effects

    # --- calls ------------------------------------------------------------------------------

    def _take_missed_calls(
        self, response: ResponseObject, state: Running, effects: Effects
    ) -> None:
        for item in response.output:
            if isinstance(item, FunctionCallItem):
                self._take_call(item, state, effects)

    def _take_call(self, item: FunctionCallItem, state: Running, effects: Effects) -> None:
        if item.status not in ("completed", None):
            return  # cut off: the arguments are a fragment
        if not item.call_id:
            problem = f"function call {item.name!r} has no call_id, so it cannot be answered"
            effects.append(ev.Error(error=ProtocolViolation(problem)))
            return
        if not self._ledger.begin(item.call_id, state.id):
            return
        call = Call(
            call_id=item.call_id,
            name=item.name,
            arguments=item.arguments,
            response_id=state.id,
            agent=state.agent,
        )
        if state.silenced:
            self._answer_unstarted(call, effects)
        else:
            effects.append(StartCall(call=call))

    def _answer_unstarted(self, call: Call, effects: Effects) -> None:
        """The response was interrupted before this call was complete: it does not run at all."""
        self._ledger.cancel(call.response_id)
        self._ledger.finished(call.call_id, wants_response=False)
        effects.append(self._answer(call.call_id, CANCELLED_OUTPUT))
        effects.append(
            ev.ToolCancelled(
                agent=call.agent,
                tool_name=call.name,
                call_id=call.call_id,
                arguments=call.arguments,
                output_text=CANCELLED_OUTPUT,
                response_id=call.response_id,
            )
        )

    def _answer(self, call_id: str, output: str) -> ClientEvent:
        return ConversationItemCreate(
            event_id=self._token("output"),
            item=FunctionCallOutputItem(call_id=call_id, output=output),
        )

    def _cancel_calls(self, response_id: str | None, effects: Effects) -> None:
        cancelled = self._ledger.cancel(response_id)
        if cancelled:
            effects.append(CancelCalls(call_ids=tuple(cancelled)))

    def _close_rounds(self, effects: Effects) -> None:
        for over in self._ledger.take_over():
            outcome = self._round_outcomes.pop(over.response_id)
            if over.wants_response:
                token = self._token("create")
                self._gate.wish(Wish(token=token, waiters=over.waiters))
            else:
                self._settle(over.waiters, _without_answer(outcome, over), effects)

    # --- interrupting -----------------------------------------------------------------------

    def _cancel(self, state: Running) -> Effects:
        effects = self._silence(state)
        if not state.cancel_sent:
            state.cancel_sent = True
            # By name, so that it can never hit the response that comes after this one.
            effects.append(ResponseCancel(event_id=self._token("cancel"), response_id=state.id))
        return effects

    def _silence(self, state: Running) -> Effects:
        state.silenced = True
        return []

    def _cut_playback(self, now: float, effects: Effects, only: str | None = None) -> None:
        positions = self.playback.cut(now, self._responses.running, only)
        for position in positions:
            effects.append(self._truncate(position))
        for position in positions:
            effects.append(
                ev.AudioInterrupted(
                    response_id=position.response_id,
                    item_id=position.item_id,
                    content_index=position.content_index,
                    played_ms=position.played_ms,
                )
            )

    def _truncate(self, position: Position) -> ClientEvent:
        return ConversationItemTruncate(
            event_id=self._token("truncate"),
            item_id=position.item_id,
            content_index=position.content_index,
            audio_end_ms=position.played_ms,
        )

    # --- sending ----------------------------------------------------------------------------

    def _pump(self, effects: Effects) -> None:
        """Send the next create if one may be sent."""
        if self._ledger.is_cancelling:
            return
        wish = self._gate.take()
        if wish is not None:
            effects.append(_create_event(wish))

    def _token(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def _make_handlers(self) -> dict[type[ServerEvent], Handler]:
        return {
            **NOTICES,
            **self._record.handlers,
            SessionCreated: self._on_session_created,
            SessionUpdated: self._on_session_updated,
            ErrorEvent: self._on_error,
            InputAudioBufferSpeechStarted: self._on_speech_started,
            ResponseCreated: self._on_response_created,
            ResponseDone: self._on_response_done,
            ResponseOutputItemDone: self._on_output_item_done,
            ResponseContentPartAdded: self._on_part_added,
            ResponseOutputTextDelta: self._on_text,
            ResponseOutputAudioTranscriptDelta: self._on_text,
            ResponseOutputAudioDelta: self._on_audio,
            ResponseOutputAudioDone: self._on_audio_done,
        }


# --- helpers without state ---------------------------------------------------------------------


def _create_event(wish: Wish) -> ResponseCreate:
    params = wish.params if wish.params is not None else ResponseParams()
    metadata = {**(params.metadata or {}), METADATA_KEY: wish.token}
    return ResponseCreate(event_id=wish.token, response=attrs.evolve(params, metadata=metadata))


def _concerns_create(details: ErrorDetails) -> bool:
    """Whether an error that names no event looks like one about a create."""
    return (
        details.code in (ACTIVE_RESPONSE, "bad_response_create")
        or "response.create" in details.message
    )


def _peer_error(details: ErrorDetails, kind: type[RequestRefused] = RequestRefused) -> PeerError:
    error = SessionExpired if details.code == "session_expired" else kind
    return error(
        details.message or "the service reported an error without a message",
        code=details.code,
        param=details.param,
    )


def _without_answer(outcome: ResponseOutcome, over: RoundOver) -> ResponseOutcome:
    """What waiters get whose response called functions and to which no answer will follow."""
    if outcome.status == "completed" and over.cancelled:
        return attrs.evolve(outcome, status="cancelled", reason="interrupted")
    return outcome
