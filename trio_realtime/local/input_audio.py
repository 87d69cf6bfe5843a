"""The user's side of a turn: audio in, turns detected, items committed, idle users noticed."""

from __future__ import annotations

import math
from typing import Final, Protocol

import attrs

from . import errors
from .conversation import Item
from .errors import Refusal
from .responses import Response
from .session_state import State
from .transcription import Hearing, is_streaming_model
from .types import Json
from .vad import Detector, InputBuffer, SpeechStarted, SpeechStopped

__all__ = ["Listening"]

_LEAST_COMMIT_MS: Final = 100
_IDLE_PROMPT: Final = (
    "No user speech was detected for a while. Please review the recorded audio: If the user was "
    "speaking, respond naturally. If not, follow up on their last message to keep the conversation "
    "going or ask if they're still there."
)


class _Answerer(Protocol):
    """What listening needs of whoever answers."""

    @property
    def active(self) -> Response | None: ...
    def create(self, params: Json) -> None: ...
    def interrupt(self) -> None: ...


@attrs.frozen
class _Idle:
    """The user's silence is being timed: first until the answer has been played, then on."""

    due: float
    start_ms: int | None = None


class Listening:
    """Takes audio in, and makes user items and responses of it."""

    def __init__(self, state: State, answerer: _Answerer) -> None:
        self._state = state
        self._answerer = answerer
        self._buffer = InputBuffer(state.input_format)
        self._detector = _detector(state.turn_detection)
        self._speaking_id: str | None = None
        self._hearings: dict[str, Hearing] = {}
        self._idle: _Idle | None = None

    def deadline(self) -> float:
        """When something here is due."""
        dues = [hearing.due for hearing in self._hearings.values() if hearing.due is not None]
        if self._idle is not None:
            dues.append(self._idle.due)
        return min(dues, default=math.inf)

    def step(self, now: float) -> None:
        """Do what is due, one piece of each."""
        for hearing in list(self._hearings.values()):
            if hearing.due is not None and hearing.due <= now:
                self._transcribe(hearing, now)
        if self._idle is not None and self._idle.due <= now:
            self._idle_on(self._idle)

    def reconfigure(self) -> None:
        """The session changed."""
        self._buffer.change_format(self._state.input_format)
        detector = _detector(self._state.turn_detection)
        if detector is None:
            # Push-to-talk from now on: what was said stays in the buffer, as nobody's turn.
            self._forget_speech()
            self._detector = None
        elif self._detector is None:
            self._detector = detector
        else:
            self._detector.adjust(detector)
        if self._idle_timeout is None:
            self._idle = None

    # -- client events -------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Append audio, and act on the turns that begin and end in it."""
        self._buffer.write(data)
        if self._detector is None:
            self._buffer.skip_unheard()
            return
        for index, level in self._buffer.unheard():
            match self._detector.hear(index, level):
                case SpeechStarted() as started:
                    self._speech_started(started)
                case SpeechStopped() as stopped:
                    self._speech_stopped(stopped)
                case None:
                    pass
        if self._detector.start_ms is None:
            self._buffer.drop_stale()

    def commit(self) -> None:
        """Make an item of what is in the buffer. No response.

        Raises:
            Refusal: there is too little.
        """
        if self._buffer.held_ms < _LEAST_COMMIT_MS:
            raise errors.buffer_too_small(self._buffer.held_ms)
        start_ms = self._detector.start_ms if self._detector else None
        item_id = self._speaking_id or self._new_id()
        audio = self._buffer.take(start_ms or 0)
        self._speaking_id = None
        if self._detector is not None:
            self._detector.forget()
        self._commit(item_id, audio)

    def clear(self) -> None:
        """Throw away what is in the buffer."""
        self._forget_speech()
        self._buffer.clear()
        self._state.emit("input_audio_buffer.cleared")

    # -- turns ---------------------------------------------------------------------------------

    def _speech_started(self, started: SpeechStarted) -> None:
        self._idle = None
        self._speaking_id = item_id = self._new_id()
        self._state.emit(
            "input_audio_buffer.speech_started", audio_start_ms=started.start_ms, item_id=item_id
        )
        if is_streaming_model(self._state.input["transcription"]):
            self._listen_to(item_id)
        if self._wants("interrupt_response"):
            self._answerer.interrupt()

    def _speech_stopped(self, stopped: SpeechStopped) -> None:
        item_id = self._speaking_id or self._new_id()
        self._speaking_id = None
        self._state.emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=stopped.end_ms, item_id=item_id
        )
        self._commit(item_id, self._buffer.cut(stopped.start_ms, stopped.end_ms))
        if self._wants("create_response"):
            self._respond()

    def _respond(self) -> None:
        try:
            self._answerer.create({})
        except Refusal as refusal:
            # Nobody asked for it, so there is no event to name.
            self._state.emit("error", error=refusal.body())

    def _wants(self, what: str) -> bool:
        detection = self._state.turn_detection
        return bool(detection and not self._state.transcribes_only and detection[what])

    def _forget_speech(self) -> None:
        if self._speaking_id is not None:
            self._hearings.pop(self._speaking_id, None)
        self._speaking_id = None
        if self._detector is not None:
            self._detector.forget()

    # -- items ---------------------------------------------------------------------------------

    def _commit(self, item_id: str, audio: bytes, *, understood: bool = True) -> None:
        hearing = self._hearings.get(item_id) or self._listen_to(item_id, understood=understood)
        data: Json = {"id": item_id, "type": "message", "status": "completed", "role": "user"}
        data["content"] = [{"type": "input_audio", "transcript": None}]
        item = Item(data, self._buffer.form, {0: bytearray(audio)}, heard=hearing.words)
        self._idle = None
        self._state.emit(
            "input_audio_buffer.committed",
            previous_item_id=self._state.conversation.last_id,
            item_id=item_id,
        )
        self._add(item)
        hearing.commit(item.audio_ms, now=self._state.now)
        if hearing.due is None:
            del self._hearings[item_id]

    def _add(self, item: Item) -> None:
        previous = self._state.conversation.append(item)
        for kind in ("conversation.item.added", "conversation.item.done"):
            self._state.emit(kind, previous_item_id=previous, item=item.view())

    def _new_id(self) -> str:
        return self._state.stage.ids.new("item")

    def _listen_to(self, item_id: str, *, understood: bool = True) -> Hearing:
        heard = self._state.options.ears.hear() if understood else ""
        config = self._state.input["transcription"]
        hearing = Hearing(self._state.stage, item_id, config, heard, now=self._state.now)
        self._hearings[item_id] = hearing
        return hearing

    def _transcribe(self, hearing: Hearing, now: float) -> None:
        item = self._state.conversation.find(hearing.item_id)
        if item is None and hearing.item_id != self._speaking_id:
            del self._hearings[hearing.item_id]  # deleted meanwhile
            return
        ended = hearing.step(now)
        if hearing.is_over:
            del self._hearings[hearing.item_id]
        if ended and item is not None:
            item.data["content"][0]["transcript"] = hearing.transcript

    # -- idle users ----------------------------------------------------------------------------

    @property
    def _idle_timeout(self) -> float | None:
        milliseconds = (self._state.turn_detection or {}).get("idle_timeout_ms")
        return None if milliseconds is None else milliseconds / 1000

    def answered(self, response: Response) -> None:
        """A response is complete: begin to time the user's silence when it has been played."""
        if self._idle_timeout is not None and self._speaking_id is None:
            self._idle = _Idle(self._state.now + response.audio_ms / 1000)

    def disarm(self) -> None:
        """A response begins: the user is not idle."""
        self._idle = None

    def _idle_on(self, idle: _Idle) -> None:
        timeout = self._idle_timeout
        if idle.start_ms is None and timeout is not None:
            self._idle = _Idle(idle.due + timeout, self._buffer.heard_ms)
            return
        self._idle = None
        self._prompt_idle_user(idle.start_ms or 0)

    def _prompt_idle_user(self, start_ms: int) -> None:
        item_id, end_ms = self._new_id(), self._buffer.heard_ms
        self._state.emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=start_ms,
            audio_end_ms=end_ms,
            item_id=item_id,
        )
        data: Json = {"id": self._new_id(), "type": "message", "status": "completed"}
        data |= {"role": "system", "content": [{"type": "input_text", "text": _IDLE_PROMPT}]}
        self._add(Item(data))
        self._commit(item_id, self._buffer.cut(start_ms, end_ms), understood=False)
        self._respond()


def _detector(turn_detection: Json | None) -> Detector | None:
    return None if turn_detection is None else Detector.of(turn_detection)
