"""The conversation: server events, commands and results in, effects out.

Synchronous and without a clock: every input that can depend on time takes ``now`` in seconds. For
the same inputs the effects are the same. First an input is accepted, then state changes, then
effects leave.

Who decides what:

* ``history``   the items in the service's order
* ``gate``      when a ``response.create`` may be sent
* ``claims``    whose a response is that begins
* ``ledger``    which calls run, and when all of a response are answered
* ``hosted``    calls that the service makes itself
* ``playback``  how much of the audio was heard
* ``responses`` what belongs to which response
* ``record``    events about items and transcripts, into the history
* ``kept``      audio that stays in the history
* ``speech``    audio and text of responses
* ``interruption`` what an interrupt stops, and how
* ``turns``     which responses make one turn of the agent
* ``replies``   when a reply is to be checked, and whether its audio waits for that
* ``edits``     items that are to be deleted and created
* ``updates``   settings on their way, and who speaks
* ``notices``   events that are only told on

This module carries each event to the components that handle it; see ``_make_handlers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, TypeAlias

from trio_realtime import events as ev
from trio_realtime.errors import (
    PeerError,
    SettingsRejected,
)
from trio_realtime.events import GuardrailTrip
from trio_realtime.items import item_text
from trio_realtime.usage import Usage
from trio_realtime.wire import (
    ConversationItemCreate,
    ErrorDetails,
    ErrorEvent,
    FunctionCallItem,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    InputAudioTranscriptionCompleted,
    InputText,
    Item,
    MessageItem,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemDone,
    ResponseParams,
    ServerEvent,
    Session,
)

from .audio.playback import Playback
from .audio.retention import RetainedAudio
from .calls.function_calls import FunctionCalls
from .calls.hosted_mcp import HostedMcpCalls
from .calls.ledger import ToolLedger
from .dispatch import Handlers, merged
from .effects import Effect, ResolveRequest, ResponseOutcome
from .error_events import (
    ACTIVE_RESPONSE,
    GIVEN_UP,
    NOTHING_TO_CANCEL,
    active_response,
    concerns_create,
    peer_error,
    refused_outcome,
)
from .guardrails import CheckInput
from .history.edits import HistoryEdits
from .history.items import History
from .history.updates import HistoryUpdater
from .interruption import Interruption
from .notices import NOTICES
from .replies import ReplyGuard
from .responses.attribution import ResponseAttribution
from .responses.output import OutputStream
from .responses.queue import ResponseQueue, ResponseRequest
from .responses.running import (
    RunningResponse,
    RunningResponses,
    outcome_of,
    token_of,
)
from .responses.turns import Turn
from .shapes import create_event, response_end, said, without_answer
from .updates import SessionSettings

Effects: TypeAlias = list[Effect]
Told: TypeAlias = ResponseOutcome | PeerError
NO_TURN: tuple[tuple[Turn, ...], ResponseOutcome] = ((), GIVEN_UP)
"""Of a call that belongs to no response."""


class Conversation:
    """See the module.

    Args:
        agent: who speaks; opaque here, and bound to each response that begins.
        barge_in: whether the user's speech interrupts also where the service does not do so itself.
        guardrail_debounce: characters between two checks of a reply; ``None`` for no checks.
        audio_gate: hold audio until the text that covers it was checked.
        max_history_audio: bytes of audio that the history keeps.
        history_update_interval: seconds between two history events of an item that grows.
    """

    def __init__(
        self,
        agent: Any,
        *,
        barge_in: bool = True,
        guardrail_debounce: int | None = None,
        history_update_interval: float = 0.1,
        audio_gate: bool = False,
        max_history_audio: int = 0,
    ) -> None:
        self._numbers = count(1)
        self.history: History = History()
        self.playback: Playback = Playback()
        self._record = HistoryUpdater(self.history, history_update_interval)
        self._edits = HistoryEdits(self.history, self._token)
        self.usage: Usage = Usage()
        self.last_error: PeerError | None = None
        self._barge_in = barge_in
        self._replies = ReplyGuard(self.playback, guardrail_debounce, gated=audio_gate)
        self._gate = ResponseQueue()
        self._claims = ResponseAttribution(self._gate)
        self._ledger = ToolLedger()
        self._responses = RunningResponses()
        self._kept = RetainedAudio(
            self.history, self._responses, self.playback, self._token, max_history_audio
        )
        self._speech = OutputStream(
            self._responses, self.history, self._record, self._replies, self._seen
        )
        self._calls = FunctionCalls(self._ledger, self._token)
        self._stop = Interruption(
            self._responses, self.history, self.playback, self._replies, self._calls, self._token
        )
        self._hosted = HostedMcpCalls(
            self._responses, self._gate, self._ledger, self.history, self._token, lambda: self.agent
        )
        self._desk = SessionSettings(agent, self.playback, self._token)
        self._latest: str | None = None
        self._said = 0
        self._open_turns: dict[str, tuple[tuple[Turn, ...], ResponseOutcome]] = {}
        self._handlers = self._make_handlers(keeps_audio=max_history_audio > 0)

    # --- looking ----------------------------------------------------------------------------

    @property
    def is_quiet(self) -> bool:
        """Nothing runs, waits or is still to be answered. Audio may still be playing."""
        return (
            self._gate.is_idle
            and self._replies.is_quiet
            and not self._ledger.is_busy
            and not self._responses.running
        )

    @property
    def is_cancelling(self) -> bool:
        """Interrupted calls are still to be answered."""
        return self._ledger.is_cancelling

    def playback_ends_at(self, now: float) -> float:
        """When what was received will have been heard (seconds)."""
        return self.playback.ends_at(now)

    @property
    def agent(self) -> Any:
        """Who speaks: the agent that the next response begins with."""
        return self._desk.agent

    @property
    def session(self) -> Session | None:
        """The effective session, as the service last told it."""
        return self._desk.session

    # --- commands ---------------------------------------------------------------------------

    def update_settings(self, wanted: Session, agent: Any = None) -> tuple[str, Effects]:
        """Ask for settings, and for an agent that speaks once they hold; see ``updates``.

        Returns the token under which the answer is settled.
        """
        return self._desk.update(wanted, agent)

    def update_history(self, wanted: Sequence[Item]) -> tuple[str, Effects]:
        """Make the conversation this; see ``edits``. Returns the token under which it is settled.

        Raises:
            UsageError: an item would have to be created that cannot be. Nothing has changed.
        """
        return self._edits.update(wanted)

    def send_item(
        self,
        item: Item,
        *,
        respond: bool,
        previous_item_id: str | None = None,
        event_id: str | None = None,
    ) -> Effects:
        """Put an item into the conversation, and wish for a response to it if asked."""
        if isinstance(item, MessageItem):
            # The service does not echo an image's URL; an id of ours tells which item it belongs to.
            item = self.history.remember_images(item, lambda: self._token("item_image"))
        effects: Effects = [
            ConversationItemCreate(
                event_id=event_id or self._token("item"),
                previous_item_id=previous_item_id,
                item=item,
            )
        ]
        if respond:
            self._gate.wish(ResponseRequest(token=self._token("create")))
            self._pump(effects)
        return effects

    def create_response(
        self,
        params: ResponseParams | None,
        *,
        through_tools: bool = False,
        question: MessageItem | None = None,
        nested: bool = False,
    ) -> tuple[str, Effects]:
        """Wish for a response and wait for it. Returns the token under which it is settled.

        Args:
            params: overrides; with ``conversation="none"`` it is asked for at once.
            through_tools: settle with the answer that follows the function calls, if it makes any.
            question: joins the conversation just before, when the turn of this response has come.
            nested: the question is asked in the work on a turn, and does not wait for its end.
        """
        token = self._token("create")
        params = params if params is not None else ResponseParams()
        waiters = (token,)
        wish = ResponseRequest(
            token=token,
            params=params,
            waiters=() if through_tools else waiters,
            turn_waiters=waiters if through_tools else (),
            question=question,
            nested=nested,
        )
        effects: Effects = []
        if params.conversation == "none":
            self._claims.ask_beside(wish)
            effects.append(create_event(wish))
        else:
            self._gate.wish(wish)
            self._pump(effects)
        return token, effects

    def cancel_response(self, token: str, now: float) -> Effects:
        """Stop the response that was asked for under this token.

        One that runs is interrupted, one whose turn has not come is given up, and one that is on
        its way is cancelled when it begins.
        """
        for state in self._responses.running.values():
            if token in self._claims.waiters_of(state):
                return self.interrupt_response(state.id, now)
        effects: Effects = []
        wish = self._gate.withdraw(token)
        if wish is None:
            self._stop.doom(token)
        else:
            self._give_up(wish, GIVEN_UP, GIVEN_UP, effects)
        return effects

    def interrupt(self, now: float) -> Effects:
        """Stop speaking: cancel the running response and its calls, cut what plays.

        A response whose create is on its way is cancelled as soon as it begins. What waits its turn,
        and what is asked for after this, is not touched.
        """
        effects: Effects = []
        self._stop_speaking(now, effects, cancel=True)
        return effects

    def interrupt_response(self, response_id: str, now: float) -> Effects:
        """The same for one response only: nothing of another one is touched."""
        effects: Effects = []
        self._stop.stop(response_id, now, effects)
        return effects

    def report_played(self, item_id: str, content_index: int, ms: float, now: float) -> None:
        """The application tells how much of an item it has played."""
        self.playback.before_report(now)
        self.playback.report(item_id, content_index, ms)

    def stop_reports(self) -> None:
        """Whoever reported has stopped playing; from now on audio plays by the clock again."""
        self.playback.stop_reports()

    def call_finished(
        self, call_id: str, output: str, *, wants_response: bool, report: ev.SessionEvent | None
    ) -> Effects:
        """A call has its answer. ``report`` is emitted once the answer is on its way."""
        if not self._ledger.finished(call_id, wants_response=wants_response):
            return []
        effects: Effects = [self._calls.answer(call_id, output)]
        if report is not None:
            effects.append(report)
        self._close_rounds(effects)
        self._pump(effects)
        return effects

    def approval_decided(self, item_id: str, *, approve: bool, reason: str | None) -> Effects:
        """It was decided about a call that the service wants to make itself; see ``hosted``."""
        wants_response = not self._ledger.was_cancelled(item_id)
        effects = self._hosted.decided(
            item_id, approve=approve, reason=reason, wants_response=wants_response
        )
        return [*effects, *self._go_on()]

    def reply_checked(
        self, response_id: str, text: str, trips: Sequence[GuardrailTrip], now: float
    ) -> Effects:
        """A check of a reply is over; see ``guardrails`` for what a trip does."""
        first, passed = self._replies.checked(response_id, len(text), now, tripped=bool(trips))
        if not first:
            return [*passed]
        effects: Effects = [
            ev.GuardrailTripped(
                guardrail_results=tuple(trips), message=text, response_id=response_id
            )
        ]
        if self._is_past(response_id):
            self._stop.silence(response_id, now, effects)
            return effects
        effects += self.interrupt_response(response_id, now)
        names = ", ".join(trip.name for trip in trips)
        feedback = MessageItem(
            role="user", content=(InputText(text=f"guardrail triggered: {names}"),)
        )
        return effects + self.send_item(feedback, respond=True)

    def _is_past(self, response_id: str) -> bool:
        """Whether the conversation has gone on: another response has begun, or is about to."""
        ended = self._responses.get(response_id) is None
        return self._latest != response_id or (ended and self._gate.outstanding is not None)

    def input_checked(
        self, serial: int, text: str, trips: Sequence[GuardrailTrip], now: float
    ) -> Effects:
        """A check of what the user said is over: a trip stops the agent, unless the user went on."""
        if not trips:
            return []
        effects: Effects = [
            ev.GuardrailTripped(guardrail_results=tuple(trips), message=text, response_id=None)
        ]
        return effects + self.interrupt(now) if serial == self._said else effects

    def check_input(self, text: str) -> Effects:
        """The user has said this: have it checked."""
        self._said += 1
        if not self._replies.are_checked:
            return []
        return [CheckInput(serial=self._said, text=text, agent=self.agent)]

    def keep_call(self, call_id: str, *, insists: bool = False) -> None:
        """An interrupt is to leave this call alone; ``insists``: and its answer is to be spoken of."""
        self._ledger.keep(call_id, insists=insists)

    def was_cancelled(self, call_id: str) -> bool:
        """Whether an interrupt hit this call."""
        return self._ledger.was_cancelled(call_id)

    def disconnected(self) -> None:
        """The connection is gone: nothing that waited will be sent."""
        self._gate.drop_all()
        self._claims.forget_all()
        self._desk.disconnected()
        self._edits.disconnected()
        self._stop.forget_all()

    # --- server events ----------------------------------------------------------------------

    def receive(self, event: ServerEvent, now: float) -> Sequence[Effect]:
        """Take one server event. Events of no concern, known or not, have no effects."""
        handler = self._handlers.get(type(event))
        return handler(event, now) if handler is not None else ()

    # --- ... the session

    def _on_error(self, event: ErrorEvent, _now: float) -> Sequence[Effect]:
        details = event.error
        effects: Effects = []
        if not self._answer_refusal(details, effects):
            self.last_error = peer_error(details)
            effects.append(ev.Error(error=self.last_error))
        return effects

    def _answer_refusal(self, details: ErrorDetails, effects: Effects) -> bool:
        """Carry a refusal to its request. Returns whether nobody else need hear of it."""
        token = details.event_id
        refused = self._desk.refuse(token, details)
        if refused:
            self.last_error = peer_error(details, SettingsRejected)
            effects += refused
            return True
        edited = self._edits.refuse(details)
        if edited is not None:
            self.last_error = peer_error(details)
            effects += edited
            return True
        if details.code == NOTHING_TO_CANCEL:
            return True  # it had ended by itself
        if self._kept.refused(token):
            return True  # nobody else has asked for that
        outstanding = self._gate.outstanding
        if token is None and outstanding is not None and concerns_create(details):
            token = outstanding.token
        return token is not None and self._refuse_create(token, details, effects)

    def _refuse_create(self, token: str, details: ErrorDetails, effects: Effects) -> bool:
        guessed = self._gate.guess
        over = self._responses.has_ended(active_response(details))
        if details.code == ACTIVE_RESPONSE and self._gate.refused(token, over=over):
            if guessed is not None and guessed.token == token:
                self._correct_guess(effects)
            self._withdraw_if_doomed(token, effects)
            self._pump(effects)
            return True
        wish = self._claims.refused_beside(token) or self._gate.failed(token)
        if wish is None:
            return False
        self._stop.forget(token)
        error = peer_error(details)
        if not (wish.waiters or wish.turn_waiters):
            effects.append(ev.Error(error=error))
        self._give_up(wish, refused_outcome(details), error, effects)
        self._pump(effects)
        return True

    def _give_up(
        self, wish: ResponseRequest, outcome: ResponseOutcome, told: Told, effects: Effects
    ) -> None:
        """No response will come of this wish: its turns end here, and who waits is told so."""
        self._settle((*wish.waiters, *wish.turn_waiters), told, effects)
        for turn in wish.turns:
            effects.append(turn.end(outcome))
            self._settle(tuple(turn.waiters), told, effects)

    def _withdraw_if_doomed(self, token: str, effects: Effects) -> None:
        # An interrupted wish must not wait on: what is asked for after it would join it.
        wish = self._gate.withdraw(token) if self._stop.is_doomed(token) else None
        if wish is not None:
            self._stop.forget(token)
            self._give_up(wish, GIVEN_UP, GIVEN_UP, effects)

    def _correct_guess(self, effects: Effects) -> None:
        """The running response was taken for ours and is not: it is a turn of its own."""
        state = self._running_state()
        if state is not None:
            state.turns = ()
            self._begin_turn(state, effects)

    # --- ... the user's audio

    def _on_speech_started(
        self, event: InputAudioBufferSpeechStarted, now: float
    ) -> Sequence[Effect]:
        effects: Effects = [
            ev.SpeechStarted(item_id=event.item_id, audio_start_ms=event.audio_start_ms)
        ]
        served = self.session is not None and self.session.interrupts_response
        if served or self._barge_in:
            # A cancel on top of the service's own could hit the response after this one.
            self._stop_speaking(now, effects, cancel=not served)
        return effects

    def _on_turn_ended(
        self,
        _event: InputAudioBufferSpeechStopped | InputAudioBufferTimeoutTriggered,
        _now: float,
    ) -> Sequence[Effect]:
        # The service is about to answer by itself; that response is not one of ours.
        answered = self.session is not None and self.session.creates_response
        self._claims.turn_ended(answered=answered)
        return ()

    def _on_transcribed(
        self, event: InputAudioTranscriptionCompleted, _now: float
    ) -> Sequence[Effect]:
        return self.check_input(event.transcript)

    # --- ... responses

    def _on_response_created(self, event: ResponseCreated, _now: float) -> Sequence[Effect]:
        response = event.response
        known = self._responses.get(response.id)
        if self._responses.has_ended(response.id) or (known is not None and known.announced):
            return ()
        token = token_of(response)
        beside = self._claims.stands_beside(response, token)
        wish = self._claims.claim(response, token, beside=beside)
        effects: Effects = []
        state = self._seen(response.id, effects, beside=beside, wish=wish)
        state.announced = True
        if known is not None and wish is not None:
            self._continue_turns(state, wish)
        state.wish = wish if beside or self._gate.guess is None else None
        self._stop.cancel_if_doomed(state, self._claims.names_of(state, token), effects)
        return effects

    def _seen(
        self,
        response_id: str,
        effects: Effects,
        *,
        beside: bool = False,
        wish: ResponseRequest | None = None,
    ) -> RunningResponse:
        """The response of this id; it begins now if it was not seen before."""
        state = self._responses.get(response_id)
        if state is None:
            state = self._responses.begin(response_id, self.agent, beside=beside)
            if not beside:
                state.turns = wish.turns if wish is not None else ()
                self._latest = response_id
                self._begin_turn(state, effects)
                effects.append(ev.ResponseStart(agent=state.agent, response_id=response_id))
        return state

    def _continue_turns(self, state: RunningResponse, wish: ResponseRequest) -> None:
        """Its deltas came before its ``response.created``: it had been taken for a turn of its own."""
        if wish.turns:
            state.turns = (*wish.turns, *state.turns)

    def _begin_turn(self, state: RunningResponse, effects: Effects) -> None:
        if not state.turns:
            turn = Turn(state.id, state.agent)
            state.turns = (turn,)
            effects.append(turn.start())

    def _running_state(self) -> RunningResponse | None:
        running = self._gate.running
        return None if running is None else self._responses.get(running)

    def _on_response_done(self, event: ResponseDone, now: float) -> Sequence[Effect]:
        response = event.response
        if self._responses.has_ended(response.id):
            return ()
        known = self._responses.get(response.id)
        effects: Effects = []
        if self._gate.running is None and (known is None or not known.announced):
            # The service leaves out the beginning where an interruption came between.
            effects += self._on_response_created(ResponseCreated(response=response), now)
        beside = self._claims.stands_beside(response, token_of(response))
        state = self._seen(response.id, effects, beside=beside)
        if response.status == "cancelled":
            state.silenced = True
        if not state.beside:
            self._calls.take_missed(response, state, effects)
        self._responses.end(response.id)
        if response.usage is not None:
            self.usage = self.usage.plus(response.usage)
        outcome = outcome_of(response, state)
        if state.beside:
            self._gate.done_beside()
            self._settle(self._claims.waiters_of(state), outcome, effects)
        else:
            self._end_in_conversation(state, outcome, effects, now)
        self.playback.advance(now, self._stop.unfinished)
        self._pump(effects)
        return effects

    def _end_in_conversation(
        self, state: RunningResponse, outcome: ResponseOutcome, effects: Effects, now: float
    ) -> None:
        wish = self._gate.done(state.id) or state.wish
        calls = self._ledger.calls_of(state.id)
        effects += self._record.response_ended()
        effects.append(response_end(state, outcome, calls))
        effects += self._replies.end(state.id, state.agent, said(outcome), now)
        if wish is not None:
            self._stop.forget(wish.token)
            self._settle(wish.waiters, outcome, effects)
            state.turns[0].waiters += wish.turn_waiters
        for turn in state.turns:
            turn.add(outcome, calls, state.agent)
        self._hosted.response_ended(state.id, completed=outcome.status == "completed")
        if outcome.status == "cancelled":
            self._calls.cancel(state.id, effects)
        if not calls:
            self._end_turns(state.turns, outcome, effects)
        else:
            self._open_turns[state.id] = (state.turns, outcome)
            self._ledger.response_done(state.id)
            self._close_rounds(effects)

    def _end_turns(
        self, turns: tuple[Turn, ...], outcome: ResponseOutcome, effects: Effects
    ) -> None:
        for turn in turns:
            effects.append(turn.end(outcome))
            self._settle(tuple(turn.waiters), outcome, effects)

    def _settle(self, waiters: tuple[str, ...], outcome: Told, effects: Effects) -> None:
        for waiter in waiters:
            self._stop.forget(waiter)
            effects.append(ResolveRequest(token=waiter, outcome=outcome))

    # --- ... what responses do

    def _on_output_item_done(self, event: ResponseOutputItemDone, _now: float) -> Sequence[Effect]:
        if self._responses.has_ended(event.response_id):
            return ()
        effects: Effects = []
        state = self._seen(event.response_id, effects)
        if state.beside:
            return effects
        effects += self._record.finish_item(event.item)
        effects += self._hosted.item_done(event.item)
        if isinstance(event.item, FunctionCallItem):
            self._calls.take(event.item, state, effects)
        return effects

    # --- rounds ----------------------------------------------------------------------------

    def _close_rounds(self, effects: Effects) -> None:
        for over in self._ledger.take_over():
            turns, outcome = self._open_turns.pop(over.response_id, NO_TURN)
            if over.wants_response:
                self._gate.wish(ResponseRequest(token=self._token("create"), turns=turns))
            else:
                self._end_turns(turns, without_answer(outcome, over), effects)

    # --- interrupting -----------------------------------------------------------------------

    def _stop_speaking(self, now: float, effects: Effects, *, cancel: bool) -> None:
        """Silence all that speaks, or is about to, and stop its calls; see ``interruption``."""
        if self._gate.outstanding is not None:
            self._stop.doom(self._gate.outstanding.token)
        self._stop.stop_all(now, effects, cancel=cancel)

    # --- sending ----------------------------------------------------------------------------

    def _pump(self, effects: Effects) -> None:
        """Send the next create if one may be sent."""
        if self._ledger.is_cancelling:
            return
        waited_for = any(t.waiters for turns, _ in self._open_turns.values() for t in turns)
        wish = self._gate.take(questions_wait=waited_for)
        if wish is None:
            return
        self._claims.create_sent()
        if wish.question is not None:
            effects += self.send_item(wish.question, respond=False)
            effects += self.check_input(item_text(wish.question))
            self._gate.asked()
        effects.append(create_event(wish))

    def _token(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def _go_on(self, _event: Any = None, _now: float = 0.0) -> Sequence[Effect]:
        """What follows where the last open call of a response is done."""
        effects: Effects = []
        self._close_rounds(effects)
        self._pump(effects)
        return effects

    def _make_handlers(self, *, keeps_audio: bool) -> Handlers:
        return merged(
            NOTICES,
            self._record.handlers,
            self._edits.handlers,
            self._hosted.handlers,
            dict.fromkeys(self._hosted.handlers, self._go_on),
            self._speech.handlers,
            self._desk.handlers,
            {
                InputAudioTranscriptionCompleted: self._on_transcribed,
                ErrorEvent: self._on_error,
                InputAudioBufferSpeechStarted: self._on_speech_started,
                InputAudioBufferSpeechStopped: self._on_turn_ended,
                InputAudioBufferTimeoutTriggered: self._on_turn_ended,
                ResponseCreated: self._on_response_created,
                ResponseDone: self._on_response_done,
                ResponseOutputItemDone: self._on_output_item_done,
            },
            self._kept.handlers if keeps_audio else {},
        )
