"""What responses say: audio past the guardrails to the consumers, text to them and the history.

The only place on the way of an audio frame; it does as little as can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trio_realtime import events as ev
from trio_realtime.core.dispatch import Handlers
from trio_realtime.core.effects import Effect
from trio_realtime.core.history.items import History
from trio_realtime.core.history.updates import HistoryUpdater
from trio_realtime.core.replies import ReplyGuard
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
)

from .running import RunningResponse, RunningResponses


class OutputStream:
    """Takes the deltas. ``handlers`` are by the class of the server event.

    Args:
        begin: begins a response whose ``response.created`` was missed, adding to the effects.
        replies: where it goes past the guardrails.
    """

    def __init__(
        self,
        responses: RunningResponses,
        history: History,
        record: HistoryUpdater,
        replies: ReplyGuard,
        begin: Callable[[str, list[Effect]], RunningResponse],
    ) -> None:
        self._replies = replies
        self._responses = responses
        self._history = history
        self._record = record
        self._begin = begin
        self.handlers: Handlers = {
            ResponseContentPartAdded: self._on_part_added,
            ResponseOutputTextDelta: self._on_text,
            ResponseOutputAudioTranscriptDelta: self._on_text,
            ResponseOutputAudioDelta: self._on_audio,
            ResponseOutputAudioDone: self._on_audio_done,
            ResponseFunctionCallArgumentsDelta: self._on_arguments,
        }

    def _on_audio(self, event: ResponseOutputAudioDelta, now: float) -> Sequence[Effect]:
        state = self._responses.running.get(event.response_id)
        if state is None:
            return self._first_audio(event, now)
        if state.beside:
            state.audio.append(event.delta)
            return ()
        if state.silenced:
            return ()
        audio = ev.Audio(
            data=event.delta,
            response_id=event.response_id,
            item_id=event.item_id,
            content_index=event.content_index,
        )
        return self._replies.audio(audio, now)

    def _first_audio(self, event: ResponseOutputAudioDelta, now: float) -> Sequence[Effect]:
        """Audio of a response that has ended, or of which nothing was seen before."""
        effects: list[Effect] = []
        if self._state_of(event.response_id, effects) is None:
            return effects
        return [*effects, *self._on_audio(event, now)]

    def _on_audio_done(self, event: ResponseOutputAudioDone, now: float) -> Sequence[Effect]:
        state = self._responses.get(event.response_id)
        if state is None or state.beside or state.silenced:
            return ()
        end = ev.AudioEnd(
            response_id=event.response_id,
            item_id=event.item_id,
            content_index=event.content_index,
        )
        return self._replies.audio_end(end, now)

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

    def _state_of(self, response_id: str, effects: list[Effect]) -> RunningResponse | None:
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
        effects += self._replies.grow(event.response_id, state.agent, event.delta)
        return effects
