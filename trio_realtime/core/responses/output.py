"""What responses say: audio and text deltas, past the guardrails, to the consumers and the history.

The audio path is as short as it can be: one lookup, one event, one update of the playback clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_realtime import events as ev
from trio_realtime.core.effects import Effect
from trio_realtime.core.guardrails import ReplyGuard
from trio_realtime.core.history.items import History
from trio_realtime.core.history.updates import HistoryUpdater
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

from .lifecycle import ResponseLifecycle
from .running import RunningResponse, RunningResponses


class OutputStream:
    """Takes the deltas of responses.

    Args:
        responses: the responses that run.
        history: gets text and arguments.
        updates: reports the growth of items.
        guard: delivers audio, and requests checks of text.
        lifecycle: begins a response whose ``response.created`` did not arrive.
    """

    def __init__(
        self,
        responses: RunningResponses,
        history: History,
        updates: HistoryUpdater,
        guard: ReplyGuard,
        lifecycle: ResponseLifecycle,
    ) -> None:
        self._responses = responses
        self._history = history
        self._updates = updates
        self._guard = guard
        self._lifecycle = lifecycle

    def on_audio_delta(self, event: ResponseOutputAudioDelta, now: float) -> Sequence[Effect]:
        """Deliver audio, or keep it for the outcome of an out-of-band response."""
        response = self._responses.running.get(event.response_id)
        if response is None:
            return self._first_audio(event, now)
        if response.out_of_band:
            response.audio.append(event.delta)
            return ()
        if response.audio_suppressed:
            return ()
        audio = ev.Audio(
            data=event.delta,
            response_id=event.response_id,
            item_id=event.item_id,
            content_index=event.content_index,
        )
        return self._guard.audio(audio, now)

    def _first_audio(self, event: ResponseOutputAudioDelta, now: float) -> Sequence[Effect]:
        """Begin the response first, unless it has ended."""
        response, effects = self._response_of(event.response_id)
        if response is None:
            return ()
        return [*effects, *self.on_audio_delta(event, now)]

    def on_audio_done(self, event: ResponseOutputAudioDone, now: float) -> Sequence[Effect]:
        """Report that all audio of an item has arrived."""
        response = self._responses.get(event.response_id)
        if response is None or response.out_of_band or response.audio_suppressed:
            return ()
        end = ev.AudioEnd(
            response_id=event.response_id,
            item_id=event.item_id,
            content_index=event.content_index,
        )
        return self._guard.audio_end(end, now)

    def on_part_added(self, event: ResponseContentPartAdded, _now: float) -> Sequence[Effect]:
        """Note the kind of a part before its first delta."""
        kind = OutputText if event.part.type == "text" else OutputAudio
        self._history.open_part(event.item_id, event.content_index, kind)
        return ()

    def on_arguments_delta(
        self, event: ResponseFunctionCallArgumentsDelta, now: float
    ) -> Sequence[Effect]:
        """Add to the arguments of a call that the model is writing."""
        response, effects = self._response_of(event.response_id)
        if response is None or response.out_of_band:
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
        return [*effects, *self._updates.note_growth(event.item_id, now)]

    def on_text_delta(
        self, event: ResponseOutputTextDelta | ResponseOutputAudioTranscriptDelta, now: float
    ) -> Sequence[Effect]:
        """Add to the text or transcript of a message."""
        response, effects = self._response_of(event.response_id)
        if response is None:
            return ()
        key = (event.item_id, event.content_index)
        response.texts.setdefault(key, []).append(event.delta)
        if response.out_of_band:
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
        effects += self._updates.note_growth(event.item_id, now)
        effects += self._guard.text(event.response_id, response.agent, event.delta)
        return effects

    def _response_of(self, response_id: str) -> tuple[RunningResponse | None, list[Effect]]:
        """Return the response that a delta belongs to; ``None`` if it has ended."""
        if self._responses.has_ended(response_id):
            return None, []
        return self._lifecycle.ensure_response(response_id)
