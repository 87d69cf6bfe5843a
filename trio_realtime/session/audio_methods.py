"""What a session does with audio: the methods that send the user's, and the formats of both sides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trio_realtime.config import SessionConfig
from trio_realtime.core import ClearAudio, CommitAudio
from trio_realtime.errors import UsageError
from trio_realtime.wire import (
    UNSET,
    AudioFormat,
    InputAudioBufferClear,
    InputAudioBufferCommit,
)
from trio_realtime.wire.client import check_append

from .arguments import audio_bytes
from .audio_file import AudioSource, check_pace, read_audio, send_paced, silence_that_ends_turn
from .end_call import ShutDown
from .ending_methods import EndingMethods
from .runtime import SessionRuntime


class AudioMethods(EndingMethods):
    """The part of a session that sends the user's audio and knows the formats.

    Args:
        runtime: the session's runtime.
        shut_down: closes the session.
        config: the settings that the session began with.
    """

    def __init__(self, runtime: SessionRuntime, shut_down: ShutDown, config: SessionConfig) -> None:
        super().__init__(runtime, shut_down)
        self._config = config
        self._muted = False
        self._input_observer: Callable[[bytes], object] | None = None

    async def send_audio(
        self, pcm: bytes | bytearray | memoryview, *, commit: bool = False
    ) -> None:
        """Send audio of the user.

        Waits while too many bytes of audio are queued (``max_outgoing_audio``). Cancelling that wait
        sends nothing.

        Args:
            pcm: raw bytes in the input format (PCM16, mono, 24 kHz by default), of any length; 20 to
                100 ms are usual.
            commit: end the user's turn, for push-to-talk.

        Raises:
            UsageError: it is neither bytes nor an array of 16-bit integers, or is larger than the service
                accepts at once (15 MiB).
        """
        audio = audio_bytes(pcm)
        try:
            check_append(audio)
        except ValueError as exc:
            raise UsageError(str(exc)) from None
        self._runtime.guard.check()
        await self._runtime.send_queue.wait_for_audio_space()
        if audio and not self._muted:
            self._runtime.send_audio(audio)
            if self._input_observer is not None:
                self._input_observer(audio)
        if commit:
            self._runtime.feed(CommitAudio(InputAudioBufferCommit()))

    async def send_file(
        self,
        source: AudioSource,
        *,
        realtime: bool = True,
        frame_ms: float = 20,
        silence_ms: float | None = None,
    ) -> None:
        """Send a recording of the user's speech, as a microphone would.

        It is read in a thread and converted to the input format. Returns when the last frame is queued.
        Cancelling it leaves the audio that was sent in the service's input buffer; :meth:`clear_audio`
        drops it. While the session is muted, time passes and nothing is sent.

        Args:
            source: a WAV file, as its path or as a binary file, or a :class:`~trio_realtime.audio.PcmAudio`.
            realtime: send each frame when it is due, on trio's clock; otherwise as fast as the connection
                takes it.
            frame_ms: milliseconds of audio in a frame.
            silence_ms: milliseconds of silence to send after the recording, so that the service detects
                the end of the turn. By default, as much as the turn detection needs, and none for
                push-to-talk.

        Raises:
            UsageError: the file is no WAV file that can be read or has no audio, or ``frame_ms`` or
                ``silence_ms`` is out of range.
            ConfigurationError: the rate must be converted, and the extra ``audio`` is not installed.
            OSError: the file cannot be read.
        """
        self._runtime.guard.check()
        check_pace(frame_ms, silence_ms)
        audio_format = self.input_format
        audio = await read_audio(source, audio_format)
        if silence_ms is None:
            silence_ms = silence_that_ends_turn(self._turn_detection())
        await send_paced(
            self.send_audio,
            audio,
            audio_format,
            realtime=realtime,
            frame_ms=frame_ms,
            silence_ms=silence_ms,
        )

    async def commit_audio(self) -> None:
        """End the user's turn, for push-to-talk. This does not request a response."""
        await self._ready()
        self._runtime.feed(CommitAudio(InputAudioBufferCommit()))

    async def clear_audio(self) -> None:
        """Drop the audio in the service's input buffer that is not part of a turn yet."""
        await self._ready()
        self._runtime.feed(ClearAudio(InputAudioBufferClear()))

    def observe_input_audio(self, observer: Callable[[bytes], object] | None) -> None:
        """Call a function with each piece of the user's audio, for example to record it.

        It is called when the audio is queued to be sent, in the input format. Muted audio and that of
        ``send_raw`` are not included.

        Args:
            observer: the function, which must not block or raise; ``None`` to call none any more. It
                replaces an earlier one.
        """
        self._input_observer = observer

    def mute(self, muted: bool) -> None:  # noqa: FBT001 - the one thing it says
        """Stop sending the user's audio, or send it again. Muted audio is dropped."""
        self._muted = muted

    @property
    def is_muted(self) -> bool:
        """Whether the user's audio is dropped."""
        return self._muted

    @property
    def input_format(self) -> AudioFormat:
        """The format of the user's audio: as the service reported it, or else as it was requested."""
        session = self._runtime.core.session
        effective = session.input_format if session is not None else None
        return effective if effective is not None else self._config.input_format

    @property
    def output_format(self) -> AudioFormat:
        """The format of the agent's audio: as the service reported it, or else as it was requested."""
        session = self._runtime.core.session
        effective = session.output_format if session is not None else None
        return effective if effective is not None else self._config.output_format

    def _turn_detection(self) -> Any:
        session = self._runtime.core.session
        if session is None or not session.audio or not session.audio.input:
            return self._config.turn_detection
        effective = session.audio.input.turn_detection
        return self._config.turn_detection if effective is UNSET else effective
