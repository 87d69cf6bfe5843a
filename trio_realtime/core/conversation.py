"""The conversation: inputs in, effects out.

Synchronous and without a clock: the time is an argument, in seconds. The same inputs always give the
same effects. An input is accepted first, then state changes, then effects leave.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from trio_realtime.config import InterruptionPolicy
from trio_realtime.errors import PeerError
from trio_realtime.events import Audio
from trio_realtime.latency import LatencyStatistics
from trio_realtime.usage import Usage
from trio_realtime.wire import (
    ClientEvent,
    ConversationItemCreate,
    ResponseOutputAudioDelta,
    ServerEvent,
    Session,
)
from trio_realtime.wire.audio_delta import AudioDelta

from .audio.playback import Playback
from .audio.retention import RetainedAudio
from .audio.user_audio import UserAudio
from .barge_in import BargeIn
from .calls.function_calls import FunctionCalls
from .calls.hosted_mcp import HostedMcpCalls
from .calls.ledger import ToolLedger
from .connections import Connections
from .dispatch import Components, Handler, handlers_of
from .effects import Effect, ResponseOutcome
from .error_routing import ErrorRouter
from .guardrail_trips import GuardrailTrips
from .guardrails import InputGuard, ReplyGuard
from .history.edits import HistoryEdits, WaitingEdit
from .history.items import History
from .history.outgoing import OutgoingItems
from .history.replayed import replayed_items
from .history.updates import HistoryUpdater
from .inputs import AppendAudio, Input
from .interruption import Interruption
from .latency import LatencyMeter
from .limits import NO_LIMITS, LimitSettings, SessionLimits
from .link import Link
from .raw_events import RawEvents
from .replay import Replay
from .request_timer import RequestTimer
from .responses.attribution import ResponseAttribution
from .responses.lifecycle import ResponseLifecycle
from .responses.out_of_band_audio import OutOfBandAudio
from .responses.output import OutputStream
from .responses.queue import ResponseQueue, ResponseRequest
from .responses.reply_text import ReplyText
from .responses.requests import ResponseRequests, Turns
from .responses.running import RunningResponses
from .settings import SessionSettings
from .settings_state import SettingsState


class Conversation:
    """The state of one conversation, and everything that is decided about it.

    Args:
        agent: the current agent. The core only passes it on, and binds it to each response that begins.
        toolset: the tools that the service knows for that agent: an object whose ``tools`` maps names to
            tools with an ``on_interrupt`` policy, and whose ``hosted`` maps labels to hosted MCP servers;
            ``None`` for no tools.
        interruption: when the user's speech interrupts the agent; ``None`` for never.
        guardrail_debounce: characters between two checks of a reply; ``None`` for no checks.
        history_update_interval: seconds between two history events of a growing item.
        audio_gate: hold audio until the text that covers it was checked.
        max_history_audio: bytes of audio that the history retains.
        request_timeout: seconds that the service may take to answer a request.
        bytes_per_ms: bytes of one millisecond of output audio, until the service names a format.
        max_speech: seconds of the user's speech that are remembered for the next connection; 0 if there
            is none.
        max_audio_while_away: seconds of what the user says while there is no connection.
        is_guarded: returns whether the replies of an agent are checked.
        limits: time limits and budgets.
        max_audio: bytes of audio that the audio gate holds back, and of one out-of-band response.

    Attributes:
        link: which connection is used, and whether there is one.
        history: the items of the conversation.
        playback: the clock that knows what was heard.
        can_play: whether :meth:`play` may be called.
        can_append: whether :meth:`append_audio` may be called.
    """

    can_play: bool
    can_append: bool

    def __init__(
        self,
        agent: Any,
        toolset: Any = None,
        *,
        interruption: InterruptionPolicy | None = InterruptionPolicy(),
        guardrail_debounce: int | None = None,
        history_update_interval: float = 0.1,
        audio_gate: bool = False,
        max_history_audio: int = 0,
        request_timeout: float = math.inf,
        bytes_per_ms: float = 48,
        max_speech: float = 0.0,
        max_audio_while_away: float = 0.0,
        is_guarded: Callable[[Any], bool] = lambda _agent: True,
        limits: LimitSettings = NO_LIMITS,
        max_audio: int = sys.maxsize,
    ) -> None:
        self._numbers = count(1)
        self._interruption_policy = interruption
        token = self._new_token
        # What outlives a connection:
        self.link: Link = Link()
        self.history: History = History(self.link)
        self.playback: Playback = Playback(bytes_per_ms)
        self._timer = RequestTimer(request_timeout)
        self._settings_state = SettingsState(agent, toolset)
        self._ledger = ToolLedger()
        self._latency = LatencyMeter()
        self._guard = ReplyGuard(
            self.playback,
            guardrail_debounce,
            gated=audio_gate,
            is_guarded=is_guarded,
            max_gated=max_audio,
        )
        self._out_of_band_audio = OutOfBandAudio(max_audio)
        self._input_guard = InputGuard(enabled=guardrail_debounce is not None)
        self._updates = HistoryUpdater(self.history, history_update_interval)
        self._outgoing = OutgoingItems(self.history, self.link, self._timer, token)
        self._user_audio = UserAudio(
            self.link,
            self._settings_state,
            self._timer,
            max_speech=max_speech,
            max_away=max_audio_while_away,
        )
        self._retention = RetainedAudio(
            self.history, RunningResponses(), self.playback, token, max_history_audio
        )
        self._limits = SessionLimits(
            limits,
            self.playback,
            self._ledger,
            is_quiet=lambda: self.link.is_open and self.is_quiet,
            detects_speech=lambda: self._settings_state.detects_speech,
            usage=lambda: self.usage,
        )
        # Empty nearly always, and an empty deque takes 600 bytes.
        self._waiting_requests: list[ResponseRequest] = []
        self._waiting_out_of_band: list[ResponseRequest] = []
        self._open_turns: dict[str, tuple[Turns, ResponseOutcome]] = {}
        self._waiting_edits: list[WaitingEdit] = []
        # What belongs to one connection:
        self._connect(Usage(), interruptions=0)

    def _connect(self, usage: Usage, *, interruptions: int) -> None:
        """Make the components that belong to one connection."""
        token = self._new_token
        timer, link, history, ledger = self._timer, self.link, self.history, self._ledger
        self._responses = responses = RunningResponses()
        self._retention.connection_lost(responses)
        self._queue = queue = ResponseQueue(timer, self._waiting_requests)
        self._attribution = attribution = ResponseAttribution(queue, timer)
        self._settings = settings = SessionSettings(
            self._settings_state, link, self.playback, timer
        )
        edits = HistoryEdits(
            history, link, timer, token, self._waiting_edits, self._outgoing.edited
        )
        self._interruption = interruption = Interruption(
            responses,
            queue,
            history,
            self.playback,
            self._guard,
            ledger,
            edits,
            link,
            token,
            count=interruptions,
        )
        requests = ResponseRequests(
            responses,
            queue,
            attribution,
            ledger,
            self._outgoing,
            link,
            settings,
            interruption,
            self._input_guard,
            timer,
            self._limits,
            token,
            self._open_turns,
            self._waiting_out_of_band,
        )
        self._barge_in = barge_in = BargeIn(
            self._interruption_policy, interruption, requests, settings, self._is_active
        )
        calls = FunctionCalls(ledger, self._outgoing, requests, token)
        hosted = HostedMcpCalls(
            responses,
            queue,
            ledger,
            history,
            self._outgoing,
            settings,
            requests,
            token,
        )
        text = ReplyText(history, self._updates, self._guard)
        self._lifecycle = lifecycle = ResponseLifecycle(
            responses,
            queue,
            attribution,
            requests,
            ledger,
            calls,
            hosted,
            self._updates,
            text,
            self._guard,
            self.playback,
            settings,
            interruption,
            usage,
        )
        self._errors = ErrorRouter(
            settings,
            edits,
            self._retention,
            requests,
            responses,
            lifecycle,
            self._outgoing,
            self._user_audio,
        )
        self._components = Components(
            settings=settings,
            history=self._updates,
            outgoing=self._outgoing,
            user_audio=self._user_audio,
            edits=edits,
            playback=self.playback,
            retention=self._retention,
            interruption=interruption,
            barge_in=barge_in,
            requests=requests,
            lifecycle=lifecycle,
            output=OutputStream(
                responses,
                history,
                text,
                self._guard,
                lifecycle,
                self._out_of_band_audio,
                self.playback,
            ),
            calls=calls,
            hosted=hosted,
            trips=GuardrailTrips(
                responses,
                queue,
                self._guard,
                self._input_guard,
                settings,
                interruption,
                requests,
                token,
            ),
            errors=self._errors,
            raw=RawEvents(
                requests, interruption, settings, ledger, hosted, self._user_audio, link, token
            ),
            connections=Connections(
                link,
                timer,
                history,
                self._outgoing,
                self._user_audio,
                self._retention,
                settings,
                edits,
                responses,
                requests,
                interruption,
                barge_in,
                hosted,
                lifecycle,
                self._renew,
                self._drop_waiting,
            ),
            limits=self._limits,
        )
        # Of the kinds of inputs that there were.
        self._handlers: dict[type, tuple[Handler, ...]] = {}
        self._output = self._components.output
        # The fast paths are for audio that has one handler.
        self.can_play = (
            len(self._handlers_of(ResponseOutputAudioDelta)) == 1 and not self._guard.is_gated
        )
        self.can_append = len(self._handlers_of(AppendAudio)) == 1

    def _renew(self) -> None:
        self._connect(self.usage, interruptions=self.interruptions)

    def _drop_waiting(self) -> None:
        for waiting in (self._waiting_requests, self._waiting_out_of_band, self._waiting_edits):
            waiting.clear()
        self._settings_state.waiting.clear()

    def _new_token(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def handle(self, event: Input, now: float) -> Sequence[Effect]:
        """Take one input: a server event, a command of the user, or a result.

        Args:
            event: the input. Server events that concern nothing here, known or not, have no effects.
            now: the current time in seconds, of a clock that does not go back.

        Returns:
            The effects, to be carried out in this order.

        Raises:
            UsageError: a command cannot be carried out. Nothing has changed.
        """
        self._timer.now = now
        if isinstance(event, ServerEvent):
            self._timer.received += 1
        kind = type(event)
        handlers = self._handlers.get(kind)
        if handlers is None:
            handlers = self._handlers_of(kind)
        if len(handlers) == 1:
            return self._latency.observe(event, handlers[0](event, now), now)
        effects: list[Effect] = []
        for handler in handlers:
            effects += handler(event, now)
        return self._latency.observe(event, effects, now)

    def _handlers_of(self, kind: type) -> tuple[Handler, ...]:
        handlers = self._handlers[kind] = handlers_of(kind, self._components)
        return handlers

    def play(self, delta: AudioDelta, now: float) -> Audio | None:
        """Take an audio delta by the fast path: only consumers need it.

        Returns:
            The only effect; ``None`` if nothing has changed and :meth:`handle` must take the event.
        """
        audio = self._output.play(delta, now)
        if audio is not None:
            self._timer.now = now
            self._timer.received += 1
        return audio

    def append_audio(self, audio: bytes, now: float) -> bool:
        """Take the user's audio by the fast path. Returns whether to send it: there is a connection."""
        self._timer.now = now
        return self._user_audio.append(audio, now)

    def replay(self) -> Replay:
        """Return the replay that teaches a new connection the conversation so far."""
        return Replay(
            self._settings_state.accepted, self._items_to_replay(), self._new_token("replay")
        )

    def update_replay(self, replay: Replay) -> Sequence[ClientEvent]:
        """Return the events that bring a connection up to date, after its replay was complete.

        Returns:
            The events to send; none if the connection knows everything.
        """
        return replay.update(self._settings_state.accepted, self._items_to_replay())

    def _items_to_replay(self) -> list[ConversationItemCreate]:
        return replayed_items(
            self.history, self._outgoing.answered_calls, self._user_audio.clip, self._new_token
        )

    # --- state -----------------------------------------------------------------------------------

    @property
    def has_limits(self) -> bool:
        """Whether a limit may end the session."""
        return self._limits.enabled

    @property
    def agent(self) -> Any:
        """The agent that the next response begins with."""
        return self._settings_state.agent

    @property
    def session(self) -> Session | None:
        """The effective session, as the service last reported it."""
        return self._settings_state.session

    @property
    def usage(self) -> Usage:
        """The tokens of all responses so far."""
        return self._lifecycle.usage

    def latency_statistics(self) -> LatencyStatistics:
        """Return the percentiles of the latencies so far."""
        return self._latency.statistics()

    @property
    def last_error(self) -> PeerError | None:
        """The last error of the service that may explain why the connection ends."""
        return self._errors.last_error

    @property
    def gated_audio(self) -> int:
        """Bytes of audio that the audio gate holds back."""
        return self._guard.gated_audio

    @property
    def dropped_audio(self) -> int:
        """Bytes of the agent's audio that were dropped because too much of it waited in the core."""
        return self._guard.dropped_audio + self._out_of_band_audio.dropped

    @property
    def superseded_checks(self) -> int:
        """How many checks of replies did not run because a later check of the reply saw more text."""
        return self._guard.superseded

    @property
    def interruptions(self) -> int:
        """How often the agent was interrupted, by the user's speech or by a command."""
        return self._interruption.count

    @property
    def next_deadline(self) -> float:
        """When :class:`~.inputs.DeadlinePassed` is due, in seconds; ``math.inf`` if nothing waits."""
        return min(
            self._timer.next_deadline, self._limits.next_deadline, self._barge_in.next_deadline
        )

    @property
    def is_quiet(self) -> bool:
        """Whether nothing runs, waits or is to be answered. Audio may still be playing."""
        return (
            self._queue.is_idle
            and not self._guard.holding
            and not self._ledger.is_busy
            and not self._responses.running
        )

    def _is_active(self, now: float) -> bool:
        """Return whether the agent speaks or works."""
        return not self.is_quiet or self.playback.finishes_at(now) > now

    @property
    def unanswered_calls(self) -> tuple[str, ...]:
        """The ids of the calls that are not answered yet."""
        return self._ledger.open_ids

    def is_between_turns(self, now: float) -> bool:
        """Return whether nobody speaks, everything was heard, and the service owes nothing."""
        return (
            self.is_quiet
            and not self._timer.is_waiting
            and not self._user_audio.is_speaking
            and not self._attribution.is_response_expected
            and self.playback.finishes_at(now) <= now
        )

    @property
    def waiting_size(self) -> int:
        """Characters of the items that wait for a connection; 0 while there is one."""
        return 0 if self.link.is_open else self._outgoing.waiting_size

    def was_cancelled(self, call_id: str) -> bool:
        """Return whether an interruption hit this call, which is not answered yet."""
        return self._ledger.was_cancelled(call_id)
