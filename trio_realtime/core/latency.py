"""Measure how fast the session answers, at named points of the conversation.

The meter watches what enters the conversation and what leaves it; no component knows of it. It is given each
input with its effects, after they were decided.

====================  ================================================  =======================================
point                 reached with                                      what is measured there
====================  ================================================  =======================================
``speech_started``    the report of the service, or an ``Interrupt``
``speech_stopped``    the report of the service, or a ``CommitAudio``
``requested``         a ``ResponseCreate`` that is sent
``turn_started``      ``AgentStart``
``response_started``  ``ResponseStart``
``first_text``        the first text or transcript of a turn            ``request_to_text``
``first_audio``       the first ``AudioStart`` of a turn                ``speech_to_audio``,
                                                                        ``request_to_audio``
``interrupted``       ``AudioInterrupted``                              ``interruption_to_silence``
``tool_ended``        ``ToolEnd``                                       ``tool_time``
``turn_ended``        ``AgentEnd``, which gets the latencies
====================  ================================================  =======================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from trio_realtime import events as ev, wire as w
from trio_realtime.latency import LatencyStatistics, TurnLatency, percentiles_of

from . import inputs as i
from .effects import Effect

MAX_VALUES: Final = 1000
"""How many values of each kind the percentiles are made of."""

MAX_RESPONSES: Final = 256
"""The number of responses that are remembered. With the audio gate, audio may follow the end of a turn."""


class _Samples:
    """The latest values of one kind."""

    __slots__ = ("count", "values")

    def __init__(self) -> None:
        self.count = 0
        self.values: deque[float] = deque(maxlen=MAX_VALUES)

    def add(self, value: float) -> None:
        self.count += 1
        self.values.append(value)


class _TurnTimes:
    """When a turn was requested and the user's speech before it had ended, and what was measured."""

    __slots__ = ("measured", "requested_at", "speech_stopped_at")

    def __init__(self, requested_at: float, speech_stopped_at: float | None) -> None:
        self.requested_at = requested_at
        self.speech_stopped_at = speech_stopped_at
        self.measured: dict[str, float] = {}


class LatencyMeter:
    """Measures the latencies of the turns of a session."""

    def __init__(self) -> None:
        self._samples: dict[str, _Samples] = {}
        self._turns: dict[str, _TurnTimes] = {}
        self._turns_of: dict[str, tuple[_TurnTimes, ...]] = {}
        self._requested_at: float | None = None
        self._speech_stopped_at: float | None = None
        self._interruption_began_at: float | None = None

    def observe(self, event: i.Input, effects: Sequence[Effect], now: float) -> Sequence[Effect]:
        """Take an input and its effects. Returns the effects, with latencies in the ends of turns."""
        reach = _INPUTS.get(type(event))
        if reach is not None:
            reach(self, event, now)
        ends_turn = False
        for effect in effects:
            reach = _EFFECTS.get(type(effect))
            if reach is not None:
                reach(self, effect, now)
            elif type(effect) is ev.AgentEnd:
                ends_turn = True
        return [self._turn_ended(effect) for effect in effects] if ends_turn else effects

    def statistics(self) -> LatencyStatistics:
        """Return the percentiles so far."""
        return LatencyStatistics(
            **{
                name: percentiles_of(samples.values, samples.count)
                for name, samples in self._samples.items()
            }
        )

    # --- points of inputs

    def speech_started(self, _event: Any, now: float) -> None:
        """Begin to measure an interruption."""
        self._interruption_began_at = now

    def speech_stopped(self, _event: Any, now: float) -> None:
        """Begin to measure the answer to what the user has said."""
        self._speech_stopped_at = now

    def item_sent(self, event: i.SendItem, _now: float) -> None:
        """Forget the user's speech if the user has written something since."""
        if event.user_text is not None:
            self._speech_stopped_at = None

    def prompt_sent(self, event: i.CreateResponse, _now: float) -> None:
        """Forget the user's speech if the response answers a prompt."""
        if event.prompt is not None:
            self._speech_stopped_at = None

    def tool_ended(self, event: i.CallFinished, _now: float) -> None:
        """Add how long a tool ran."""
        report = event.report
        if isinstance(report, ev.ToolEnd) and report.duration is not None:
            self._add("tool_time", report.duration)
            for turn in self._turns_of.get(report.response_id, ()):
                measured = turn.measured
                measured["tool_time"] = measured.get("tool_time", 0.0) + report.duration

    # --- points of effects

    def requested(self, _create: w.ResponseCreate, now: float) -> None:
        """Note when a response was requested."""
        self._requested_at = now

    def turn_started(self, event: ev.AgentStart, now: float) -> None:
        """Begin to measure a turn, which answers the latest request or speech."""
        requested = [at for at in (self._requested_at, self._speech_stopped_at) if at is not None]
        self._turns[event.turn_id] = _TurnTimes(
            max(requested, default=now), self._speech_stopped_at
        )
        self._requested_at = self._speech_stopped_at = None

    def response_started(self, event: ev.ResponseStart, _now: float) -> None:
        """Note which turns a response belongs to."""
        turns = (self._turns.get(turn_id) for turn_id in event.turn_ids)
        self._turns_of[event.response_id] = tuple(turn for turn in turns if turn is not None)
        if len(self._turns_of) > MAX_RESPONSES:
            del self._turns_of[next(iter(self._turns_of))]

    def first_text(self, event: ev.TextDelta | ev.TranscriptDelta, now: float) -> None:
        """Measure the first text of a turn."""
        for turn in self._turns_of.get(event.response_id, ()):
            if "request_to_text" not in turn.measured:
                self._measure(turn, "request_to_text", now - turn.requested_at)

    def first_audio(self, event: ev.AudioStart, now: float) -> None:
        """Measure the first audio of a turn."""
        for turn in self._turns_of.get(event.response_id, ()):
            if "request_to_audio" in turn.measured:
                continue
            self._measure(turn, "request_to_audio", now - turn.requested_at)
            if turn.speech_stopped_at is not None:
                self._measure(turn, "speech_to_audio", now - turn.speech_stopped_at)

    def interrupted(self, event: ev.AudioInterrupted, now: float) -> None:
        """Measure an interruption."""
        began_at = self._interruption_began_at
        if began_at is None:
            return
        for turn in self._turns_of.get(event.response_id, ()):
            if "interruption_to_silence" not in turn.measured:
                self._measure(turn, "interruption_to_silence", now - began_at)

    def _turn_ended(self, effect: Effect) -> Effect:
        if not isinstance(effect, ev.AgentEnd):
            return effect
        turn = self._turns.pop(effect.turn_id, None)
        return (
            effect if turn is None else attrs.evolve(effect, latency=TurnLatency(**turn.measured))
        )

    def _measure(self, turn: _TurnTimes, name: str, seconds: float) -> None:
        turn.measured[name] = seconds
        self._add(name, seconds)

    def _add(self, name: str, seconds: float) -> None:
        samples = self._samples.get(name)
        if samples is None:
            samples = self._samples[name] = _Samples()
        samples.add(seconds)


_Reach = Callable[[LatencyMeter, Any, float], None]

_INPUTS: Final[Mapping[type, _Reach]] = {
    w.InputAudioBufferSpeechStarted: LatencyMeter.speech_started,
    i.Interrupt: LatencyMeter.speech_started,
    w.InputAudioBufferSpeechStopped: LatencyMeter.speech_stopped,
    i.CommitAudio: LatencyMeter.speech_stopped,
    i.SendItem: LatencyMeter.item_sent,
    i.CreateResponse: LatencyMeter.prompt_sent,
    i.CallFinished: LatencyMeter.tool_ended,
}

_EFFECTS: Final[Mapping[type, _Reach]] = {
    w.ResponseCreate: LatencyMeter.requested,
    ev.AgentStart: LatencyMeter.turn_started,
    ev.ResponseStart: LatencyMeter.response_started,
    ev.TextDelta: LatencyMeter.first_text,
    ev.TranscriptDelta: LatencyMeter.first_text,
    ev.AudioStart: LatencyMeter.first_audio,
    ev.AudioInterrupted: LatencyMeter.interrupted,
}
