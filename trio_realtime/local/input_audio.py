"""Input audio: turn detection, user items, their transcription, and idle users."""

from __future__ import annotations

import math
from itertools import islice
from typing import Final, Protocol

import attrs

from . import errors
from .conversation import Item
from .errors import ProtocolError
from .responses import ResponseGenerator
from .session_state import SessionState
from .transcriber import (
    ScriptedTranscriber,
    TranscriptionRequest,
    TranscriptionResult,
    UserAudio,
)
from .transcription import ItemTranscription, is_streaming_model
from .types import Json
from .vad import (
    FRAME_MS,
    MAX_BUFFER_BYTES,
    InputAudioBuffer,
    SpeechDetector,
    SpeechStarted,
    SpeechStopped,
)

__all__ = ["InputAudioProcessor"]

_MIN_COMMIT_MS: Final = 100
#: Audio of 2 s. Detecting speech in it blocks the event loop for a few milliseconds.
_FRAMES_PER_SLICE: Final = 2_000 // FRAME_MS
_IDLE_PROMPT: Final = (
    "No user speech was detected for a while. Please review the recorded audio: If the user was "
    "speaking, respond naturally. If not, follow up on their last message to keep the conversation "
    "going or ask if they're still there."
)


class _Scheduler(Protocol):
    """The part of :class:`ResponseScheduler` that input audio uses."""

    def create(self, params: Json) -> None: ...
    def interrupt(self) -> None: ...
    def start_ready(self) -> None: ...


@attrs.frozen
class _IdleTimer:
    """Timer of the user's silence after a response.

    It first runs until the response was played, with ``start_ms`` None. Then it runs for the idle
    timeout, and ``start_ms`` is where the silence started.
    """

    due: float
    start_ms: int | None = None


class InputAudioProcessor:
    """Turns input audio into user items, and starts responses as turn detection asks for them."""

    def __init__(self, state: SessionState, scheduler: _Scheduler) -> None:
        self._state = state
        self._scheduler = scheduler
        self._buffer = InputAudioBuffer(state.input_format)
        self._detector = _make_detector(state.turn_detection)
        self._speech_item_id: str | None = None
        self._transcriptions: dict[str, ItemTranscription] = {}
        self._awaiting_transcript: dict[str, Item] = {}
        self._idle_timer: _IdleTimer | None = None
        self._is_behind = False

    def next_deadline(self) -> float:
        """Return when to call :meth:`step` next; ``math.inf`` if nothing is scheduled."""
        if self._is_behind:
            return self._state.now
        deadlines = [item.due for item in self._transcriptions.values() if item.due is not None]
        if self._idle_timer is not None:
            deadlines.append(self._idle_timer.due)
        return min(deadlines, default=math.inf)

    def step(self, now: float) -> None:
        """Advance what is due: appended audio, each transcription by one event, the idle timer."""
        if self._is_behind:
            self._process_slice()
        for transcription in list(self._transcriptions.values()):
            if transcription.due is not None and transcription.due <= now:
                self._step_transcription(transcription, now)
        if self._idle_timer is not None and self._idle_timer.due <= now:
            self._idle_timer_fired(self._idle_timer)

    def reconfigure(self) -> None:
        """Apply the new session settings."""
        self._buffer.change_format(self._state.input_format)
        detector = _make_detector(self._state.turn_detection)
        if detector is None:
            # Push-to-talk: the detected speech stays in the buffer, but is no longer a turn.
            self._discard_speech()
            self._detector = None
        elif self._detector is None:
            self._detector = detector
        else:
            self._detector.reconfigure(detector)
        if self._idle_timeout is None:
            self._idle_timer = None

    # -- client events ---------------------------------------------------------------------------

    def append(self, data: bytes) -> None:
        """Append audio, and handle the turns that start and end in it.

        Long audio is handled in slices: :meth:`step` continues while :attr:`is_behind`.

        Raises:
            ProtocolError: without turn detection, the buffer has no space for the audio.
        """
        if self._detector is None and not self._buffer.has_space(len(data)):
            raise errors.buffer_full(MAX_BUFFER_BYTES)
        self._buffer.append(data)
        self._process_slice()

    @property
    def is_behind(self) -> bool:
        """Whether appended audio has yet to be handled. No other event may be handled before."""
        return self._is_behind

    def catch_up(self) -> None:
        """Handle all audio that was appended."""
        while self._is_behind:
            self._process_slice()

    def _process_slice(self) -> None:
        self._is_behind = False
        if self._detector is None:
            self._buffer.skip_new_frames()
            return
        count = 0
        for index, level in islice(self._buffer.new_frames(), _FRAMES_PER_SLICE):
            count += 1
            match self._detector.process_frame(index, level):
                case SpeechStarted() as started:
                    self._speech_started(started)
                case SpeechStopped() as stopped:
                    self._speech_stopped(stopped)
                case None:
                    pass
        self._is_behind = count == _FRAMES_PER_SLICE
        if self._detector.start_ms is None:
            self._buffer.drop_stale()
        elif not self._is_behind:
            self._buffer.drop_excess()

    def commit(self) -> None:
        """Create a user item from the buffer, without a response.

        Raises:
            ProtocolError: the buffer has less than 100 ms of audio.
        """
        if self._buffer.buffered_ms < _MIN_COMMIT_MS:
            raise errors.buffer_too_small(self._buffer.buffered_ms)
        start_ms = self._detector.start_ms if self._detector else None
        item_id = self._speech_item_id or self._new_id()
        audio = self._buffer.take_from(start_ms or 0)
        self._speech_item_id = None
        if self._detector is not None:
            self._detector.reset()
        self._commit(item_id, audio)

    def clear(self) -> None:
        """Discard the buffer."""
        self._discard_speech()
        self._buffer.clear()
        self._state.emit("input_audio_buffer.cleared")

    # -- turns -----------------------------------------------------------------------------------

    def _speech_started(self, started: SpeechStarted) -> None:
        self._idle_timer = None
        self._speech_item_id = item_id = self._new_id()
        self._state.emit(
            "input_audio_buffer.speech_started", audio_start_ms=started.start_ms, item_id=item_id
        )
        self._transcribe_early(item_id)
        if self._is_enabled("interrupt_response"):
            self._scheduler.interrupt()

    def _speech_stopped(self, stopped: SpeechStopped) -> None:
        item_id = self._speech_item_id or self._new_id()
        self._speech_item_id = None
        self._state.emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=stopped.end_ms, item_id=item_id
        )
        self._commit(item_id, self._buffer.take_turn(stopped.start_ms, stopped.end_ms))
        if self._is_enabled("create_response"):
            self._create_response()

    def _create_response(self) -> None:
        try:
            self._scheduler.create({})
        except ProtocolError as error:
            # No client event caused this response, so the error names no event id.
            self._state.emit("error", error=error.body())

    def _is_enabled(self, option: str) -> bool:
        detection = self._state.turn_detection
        return bool(detection and not self._state.is_transcription and detection[option])

    def _discard_speech(self) -> None:
        if self._speech_item_id is not None:
            self._transcriptions.pop(self._speech_item_id, None)
        self._speech_item_id = None
        if self._detector is not None:
            self._detector.reset()

    # -- items -----------------------------------------------------------------------------------

    def _commit(self, item_id: str, audio: bytes, *, is_silence: bool = False) -> None:
        data: Json = {"id": item_id, "type": "message", "status": "completed", "role": "user"}
        data["content"] = [{"type": "input_audio", "transcript": None}]
        item = Item(data, self._buffer.audio_format, {0: bytearray(audio)})
        self._idle_timer = None
        self._state.emit(
            "input_audio_buffer.committed",
            previous_item_id=self._state.conversation.last_id,
            item_id=item_id,
        )
        self._add(item)
        transcription = self._open_transcription(item_id)
        if transcription is not None:
            transcription.commit(item.audio_ms, now=self._state.now)
        early = None if transcription is None else transcription.result
        if is_silence or early is not None:
            self._set_transcript(item, "" if is_silence else early)
        else:
            self._transcribe(item, audio)

    def _add(self, item: Item) -> None:
        previous = self._state.conversation.append(item)
        for kind in ("conversation.item.added", "conversation.item.done"):
            self._state.emit(kind, previous_item_id=previous, item=item.view())

    def _new_id(self) -> str:
        return self._state.environment.ids.new("item")

    # -- transcription ---------------------------------------------------------------------------

    @property
    def _script(self) -> ScriptedTranscriber | None:
        transcriber = self._state.config.transcriber
        return transcriber if isinstance(transcriber, ScriptedTranscriber) else None

    def _open_transcription(self, item_id: str) -> ItemTranscription | None:
        """Return the transcription of an item; None if the session has no transcription."""
        config = self._state.input["transcription"]
        if item_id not in self._transcriptions and config is not None:
            transcription = ItemTranscription(self._state.environment, item_id, config)
            self._transcriptions[item_id] = transcription
        return self._transcriptions.get(item_id)

    def _transcribe_early(self, item_id: str) -> None:
        """Start a transcription with the speech, if the model does so and the words are known."""
        if self._script is not None and is_streaming_model(self._state.input["transcription"]):
            transcription = self._open_transcription(item_id)
            result = self._script.next_transcript()
            if transcription is not None and result is not None:
                transcription.set_result(result, now=self._state.now)

    def _transcribe(self, item: Item, audio: bytes) -> None:
        if self._script is not None:
            self._set_transcript(item, self._script.next_transcript())
            return
        item.awaits_transcript = True
        self._awaiting_transcript[item.id] = item
        audio_format = self._buffer.audio_format
        user_audio = UserAudio(audio, audio_format.name, audio_format.sample_rate)
        self._state.request_transcription(TranscriptionRequest(item.id, user_audio))

    def transcribed(self, item_id: str, result: TranscriptionResult) -> None:
        """Handle the result of a requested transcription.

        Raises:
            LookupError: no transcription of this item was requested, or it has a result already.
        """
        item = self._awaiting_transcript.pop(item_id)
        item.awaits_transcript = False
        self._set_transcript(item, result)
        self._scheduler.start_ready()

    def _set_transcript(self, item: Item, result: TranscriptionResult) -> None:
        item.transcribed_text = result if isinstance(result, str) else ""
        transcription = self._transcriptions.get(item.id)
        if transcription is not None:
            transcription.set_result(result, now=self._state.now)

    def _step_transcription(self, transcription: ItemTranscription, now: float) -> None:
        item = self._state.conversation.find(transcription.item_id)
        if item is None and transcription.item_id != self._speech_item_id:
            del self._transcriptions[transcription.item_id]  # the item was deleted
            return
        is_completed = transcription.step(now)
        if transcription.is_done:
            del self._transcriptions[transcription.item_id]
        if is_completed and item is not None:
            item.data["content"][0]["transcript"] = transcription.transcript
            self._state.conversation.measure(item)

    # -- idle users ------------------------------------------------------------------------------

    @property
    def _idle_timeout(self) -> float | None:
        milliseconds = (self._state.turn_detection or {}).get("idle_timeout_ms")
        return None if milliseconds is None else milliseconds / 1000

    def response_completed(self, response: ResponseGenerator) -> None:
        """Start the idle timer, which counts from the end of the response's playback."""
        if self._idle_timeout is not None and self._speech_item_id is None:
            self._idle_timer = _IdleTimer(self._state.now + response.audio_ms / 1000)

    def cancel_idle_timer(self) -> None:
        """Cancel the idle timer, because a response starts."""
        self._idle_timer = None

    def _idle_timer_fired(self, timer: _IdleTimer) -> None:
        timeout = self._idle_timeout
        if timer.start_ms is None and timeout is not None:
            self._idle_timer = _IdleTimer(timer.due + timeout, self._buffer.processed_ms)
            return
        self._idle_timer = None
        self._prompt_idle_user(timer.start_ms or 0)

    def _prompt_idle_user(self, start_ms: int) -> None:
        item_id, end_ms = self._new_id(), self._buffer.processed_ms
        self._state.emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=start_ms,
            audio_end_ms=end_ms,
            item_id=item_id,
        )
        data: Json = {"id": self._new_id(), "type": "message", "status": "completed"}
        data |= {"role": "system", "content": [{"type": "input_text", "text": _IDLE_PROMPT}]}
        self._add(Item(data))
        self._commit(item_id, self._buffer.take_turn(start_ms, end_ms), is_silence=True)
        self._create_response()


def _make_detector(turn_detection: Json | None) -> SpeechDetector | None:
    return None if turn_detection is None else SpeechDetector.from_settings(turn_detection)
