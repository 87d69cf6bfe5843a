"""What responses say: audio to the consumers and the playback clock, text to them and the history.

The only place on the way of an audio frame; it does as little as can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trio_realtime import events as ev
from trio_realtime.wire import (
    OutputAudio,
    OutputText,
    ResponseContentPartAdded,
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
        playback: Playback,
        begin: Callable[[str, list[Effect]], Running],
        windows: GuardrailWindows | None,
    ) -> None:
        self._windows = windows
        self._responses = responses
        self._history = history
        self._playback = playback
        self._begin = begin
        self.handlers: dict[type[ServerEvent], Callable[[Any, float], Sequence[Effect]]] = {
            ResponseContentPartAdded: self._on_part_added,
            ResponseOutputTextDelta: self._on_text,
            ResponseOutputAudioTranscriptDelta: self._on_text,
            ResponseOutputAudioDelta: self._on_audio,
            ResponseOutputAudioDone: self._on_audio_done,
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

    def _on_text(
        self, event: ResponseOutputTextDelta | ResponseOutputAudioTranscriptDelta, _now: float
    ) -> Sequence[Effect]:
        effects: list[Effect] = []
        if self._responses.has_ended(event.response_id):
            return effects
        state = self._responses.get(event.response_id)
        if state is None:
            state = self._begin(event.response_id, effects)
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
        if self._windows is not None:
            check = self._windows.grow(event.response_id, state.agent, event.delta)
            if check is not None:
                effects.append(check)
        return effects
