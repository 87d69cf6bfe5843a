"""What responses say: audio and texts, past the guardrails, to the consumers and the history.

The audio path is as short as it can be: one lookup, one event, one update of the playback clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from trio_realtime import events as ev
from trio_realtime.core.audio.playback import Playback
from trio_realtime.core.effects import Effect
from trio_realtime.core.guardrails import ReplyGuard
from trio_realtime.core.history.items import History
from trio_realtime.wire import (
    FunctionCallItem,
    OutputAudio,
    OutputText,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from trio_realtime.wire.audio_delta import AudioDelta

from .lifecycle import ResponseLifecycle
from .out_of_band_audio import OutOfBandAudio
from .reply_text import ReplyText
from .running import PartKind, RunningResponse, RunningResponses

_new_audio: Final = partial(object.__new__, ev.Audio)
_set_data, _set_response_id, _set_item_id, _set_content_index = (
    vars(ev.Audio)[name].__set__ for name in ("data", "response_id", "item_id", "content_index")
)


def _audio(data: bytes, response_id: str, item_id: str, content_index: int) -> ev.Audio:
    """Create the event. The ``__init__`` of a frozen class takes twice as long."""
    audio = _new_audio()
    _set_data(audio, data)
    _set_response_id(audio, response_id)
    _set_item_id(audio, item_id)
    _set_content_index(audio, content_index)
    return audio


class OutputStream:
    """Takes the audio and the texts of responses.

    Args:
        responses: the responses that run.
        history: learns the kinds of parts.
        text: delivers texts and arguments.
        guard: delivers audio.
        lifecycle: begins a response whose ``response.created`` did not arrive.
        out_of_band_audio: collects the audio of out-of-band responses.
        playback: the clock of the audio.
    """

    def __init__(
        self,
        responses: RunningResponses,
        history: History,
        text: ReplyText,
        guard: ReplyGuard,
        lifecycle: ResponseLifecycle,
        out_of_band_audio: OutOfBandAudio,
        playback: Playback,
    ) -> None:
        self._responses = responses
        self._history = history
        self._text = text
        self._guard = guard
        self._lifecycle = lifecycle
        self._out_of_band_audio = out_of_band_audio
        self._playback = playback

    def play(self, delta: AudioDelta, now: float) -> ev.Audio | None:
        """Take audio by the fast path: the next audio of an item that plays.

        Returns:
            The only effect; ``None`` if :meth:`on_audio_delta` must take the event.
        """
        response_id, item_id, content_index, data = delta
        response = self._responses.running.get(response_id)
        if response is None or response.out_of_band or response.audio_suppressed:
            return None
        if not self._playback.extend((item_id, content_index), len(data), now):
            return None
        return _audio(data, response_id, item_id, content_index)

    def on_audio_delta(self, event: ResponseOutputAudioDelta, now: float) -> Sequence[Effect]:
        """Deliver audio, or keep it for the outcome of an out-of-band response."""
        response = self._responses.running.get(event.response_id)
        if response is None:
            return self._first_audio(event, now)
        if response.out_of_band:
            self._out_of_band_audio.add(response, event.delta)
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
        response, effects = self._response_of(event.response_id, now)
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

    def on_item_added(self, event: ResponseOutputItemAdded, _now: float) -> Sequence[Effect]:
        """Note the name of a call, which later events may leave out."""
        response = self._responses.get(event.response_id)
        if response is not None and isinstance(event.item, FunctionCallItem):
            response.note_call(event.item)
        return ()

    def on_arguments_delta(
        self, event: ResponseFunctionCallArgumentsDelta, now: float
    ) -> Sequence[Effect]:
        """Add to the arguments of a call that the model is writing."""
        response, effects = self._response_of(event.response_id, now)
        if response is None or response.out_of_band:
            return effects
        return [
            *effects,
            *self._text.add_arguments(response, event.item_id, event.call_id, event.delta, now),
        ]

    def on_arguments_done(
        self, event: ResponseFunctionCallArgumentsDone, now: float
    ) -> Sequence[Effect]:
        """Take the complete arguments of a call, which its item may leave out."""
        response, effects = self._response_of(event.response_id, now)
        if response is None or response.out_of_band:
            return effects
        response.note_call(
            FunctionCallItem(
                id=event.item_id or None,
                status="completed",
                call_id=event.call_id or None,
                name=event.name,
                arguments=event.arguments,
            )
        )
        return [
            *effects,
            *self._text.complete_arguments(
                response, event.item_id, event.call_id, event.arguments, now
            ),
        ]

    def on_text_delta(
        self, event: ResponseOutputTextDelta | ResponseOutputAudioTranscriptDelta, now: float
    ) -> Sequence[Effect]:
        """Add to the text or transcript of a message."""
        response, effects = self._response_of(event.response_id, now)
        if response is None:
            return ()
        kind = OutputText if type(event) is ResponseOutputTextDelta else OutputAudio
        added = self._text.add(response, event.item_id, event.content_index, event.delta, kind, now)
        return [*effects, *added]

    def on_text_done(self, event: ResponseOutputTextDone, now: float) -> Sequence[Effect]:
        """Take the complete text of a part."""
        return self._complete(event, event.text, OutputText, now)

    def on_transcript_done(
        self, event: ResponseOutputAudioTranscriptDone, now: float
    ) -> Sequence[Effect]:
        """Take the complete transcript of a part."""
        return self._complete(event, event.transcript, OutputAudio, now)

    def on_part_done(self, event: ResponseContentPartDone, now: float) -> Sequence[Effect]:
        """Take the complete text or transcript of a part."""
        if event.part.type == "text":
            return self._complete(event, event.part.text, OutputText, now)
        return self._complete(event, event.part.transcript, OutputAudio, now)

    def _complete(
        self,
        event: ResponseOutputTextDone | ResponseOutputAudioTranscriptDone | ResponseContentPartDone,
        text: str | None,
        kind: PartKind,
        now: float,
    ) -> Sequence[Effect]:
        response, effects = self._response_of(event.response_id, now)
        if response is None:
            return ()
        index = event.content_index
        rest = self._text.complete_part(response, event.item_id, index, text, kind, now)
        return [*effects, *rest]

    def _response_of(
        self, response_id: str, now: float
    ) -> tuple[RunningResponse | None, list[Effect]]:
        """Return the response that a delta belongs to; ``None`` if it has ended."""
        if self._responses.has_ended(response_id):
            return None, []
        return self._lifecycle.ensure_response(response_id, now)
