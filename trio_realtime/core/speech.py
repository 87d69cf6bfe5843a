"""What responses say: audio to the consumers and the playback clock, text to them and the history.

The only place on the way of an audio frame; it does as little as can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trio_realtime import events as ev
from trio_realtime.items import FunctionCallItem
from trio_realtime.wire import (
    OutputAudio,
    OutputText,
    ResponseContentPartAdded,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ServerEvent,
)

from .effects import Effect
from .guardrails import GuardrailWindows
from .history import History
from .playback import Playback
from .record import Record
from .responses import Responses, Running


class Speech:
    """Takes the deltas. ``handlers`` are by the class of the server event.

    Args:
        begin: begins a response whose ``response.created`` was missed, adding to the effects.
        windows: says when a reply is to be checked; ``None`` if replies are not.
    """

    def __init__(
        self,
        responses: Responses,
        history: History,
        record: Record,
        playback: Playback,
        begin: Callable[[str, list[Effect]], Running],
        windows: GuardrailWindows | None,
    ) -> None:
        self._windows = windows
        self._responses = responses
        self._history = history
        self._record = record
        self._playback = playback
        self._begin = begin
        self.handlers: dict[type[ServerEvent], Callable[[Any, float], Sequence[Effect]]] = {
            ResponseContentPartAdded: self._on_part_added,
            ResponseOutputTextDelta: self._on_text,
            ResponseOutputAudioTranscriptDelta: self._on_text,
            ResponseOutputAudioDelta: self._on_audio,
            ResponseOutputAudioDone: self._on_audio_done,
            ResponseFunctionCallArgumentsDelta: self._on_arguments,
        }

    def _on_audio(self, event: ResponseOutputAudioDelta, now: float) -> Sequence[Effect]:
        response_id, item_id, index = event.response_id, event.item_id, event.content_index
        state = self._responses.running.get(response_id)
        effects: list[Effect] = []
        if state is None:
            if self._responses.has_ended(response_id):
                return effects
            state = self._begin(response_id, effects)
        if state.beside:
            state.audio.append(event.delta)
        elif not state.silenced:
            self._playback.receive((item_id, index), response_id, len(event.delta), now)
            effects.append(
                ev.Audio(
                    data=event.delta, response_id=response_id, item_id=item_id, content_index=index
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
        self._history.open_part(event.item_id, event.content_index, kind)
        return ()

    def _on_arguments(
        self, event: ResponseFunctionCallArgumentsDelta, now: float
    ) -> Sequence[Effect]:
        effects: list[Effect] = []
        state = self._state_of(event.response_id, effects)
        if state is None or state.beside:
            return effects
        self._history.append_arguments(event.item_id, event.delta)
        item = self._history.get(event.item_id)
        effects.append(
            ev.ToolArgumentsDelta(
                delta=event.delta,
                tool_name=item.name if isinstance(item, FunctionCallItem) else "",
                call_id=event.call_id,
                response_id=event.response_id,
                item_id=event.item_id,
            )
        )
        return [*effects, *self._record.grew(event.item_id, now)]

    def _state_of(self, response_id: str, effects: list[Effect]) -> Running | None:
        """The response that a delta is of; ``None`` for one that has ended."""
        if self._responses.has_ended(response_id):
            return None
        return self._responses.get(response_id) or self._begin(response_id, effects)

    def _on_text(
        self, event: ResponseOutputTextDelta | ResponseOutputAudioTranscriptDelta, now: float
    ) -> Sequence[Effect]:
        effects: list[Effect] = []
        state = self._state_of(event.response_id, effects)
        if state is None:
            return effects
        state.add_text(event.item_id, event.content_index, event.delta)
        if state.beside:
            return effects
        is_text = type(event) is ResponseOutputTextDelta
        kind = OutputText if is_text else OutputAudio
        self._history.append_text(event.item_id, event.content_index, event.delta, kind)
        delta = ev.TextDelta if is_text else ev.TranscriptDelta
        effects.append(
            delta(
                delta=event.delta,
                response_id=event.response_id,
                item_id=event.item_id,
                content_index=event.content_index,
            )
        )
        effects += self._record.grew(event.item_id, now)
        if self._windows is not None:
            check = self._windows.grow(event.response_id, state.agent, event.delta)
            if check is not None:
                effects.append(check)
        return effects
