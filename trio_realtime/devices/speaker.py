"""A speaker: a queue of audio that the thread of the audio system empties."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from copy import copy
from typing import Final, final

import attrs
import trio

from trio_realtime.audio import frame_size
from trio_realtime.errors import DeviceError, UsageError
from trio_realtime.wire import AudioFormat

from .host import CLOSE_TIMEOUT, AudioHost, select_device
from .playback_buffer import PlaybackBuffer
from .portaudio import PortAudioHost
from .signal import ThreadSignal

_AHEAD_MS: Final = 1000
"""``play`` waits while more than this is queued."""


@attrs.frozen(kw_only=True)
class SpeakerStatistics:
    """What became of the audio of a speaker.

    Attributes:
        buffered_ms: milliseconds that were not handed to the device.
        underruns: how often the device had to play silence because audio came too late.
    """

    buffered_ms: float
    underruns: int


@final
class Speaker:
    """An open speaker. :func:`open_speaker` makes it.

    Attributes:
        name: the name of the device.
        rate: samples per second.
        buffer: the audio by items, for :func:`open_devices`.
    """

    def __init__(self, name: str, rate: int) -> None:
        self.name: str = name
        self.rate: int = rate
        self.buffer: PlaybackBuffer = PlaybackBuffer(rate)
        self._end: Exception | None = None
        self._signal = ThreadSignal()

    def statistics(self) -> SpeakerStatistics:
        """Return what became of the audio."""
        return SpeakerStatistics(
            buffered_ms=self.buffer.queued * 500 / self.rate, underruns=self.buffer.underruns
        )

    @property
    def is_audible(self) -> bool:
        """Whether audio is queued, or was handed to the device and not heard to its end."""
        return self.buffer.is_audible

    async def play(self, pcm: bytes) -> None:
        """Queue PCM16 mono. Waits while more than a second is queued; cancelling that queues nothing.

        Raises:
            UsageError: the audio ends within a sample.
            DeviceError: the device has stopped; perhaps it was disconnected.
            trio.ClosedResourceError: the block of :func:`open_speaker` was left.
        """
        if len(pcm) % 2:
            raise UsageError(f"16-bit samples have an even number of bytes, got {len(pcm)}")
        await trio.lowlevel.checkpoint()
        self._check()
        while self.statistics().buffered_ms > _AHEAD_MS:
            await self.wait_progress()
        self.buffer.put(None, pcm)

    def discard(self) -> None:
        """Drop the audio that was not handed to the device, so that silence follows soon."""
        self.buffer.discard()

    async def wait_silent(self) -> None:
        """Wait until everything that is queued was heard.

        Raises:
            DeviceError: the device has stopped; perhaps it was disconnected.
            trio.ClosedResourceError: the block of :func:`open_speaker` was left.
        """
        await trio.lowlevel.checkpoint()
        self._check()
        while self.is_audible:
            await self.wait_progress()

    async def wait_progress(self) -> None:
        """Wait until the device has taken a frame.

        Raises:
            DeviceError: the device has stopped; perhaps it was disconnected.
            trio.ClosedResourceError: the block of :func:`open_speaker` was left.
        """
        self._check()
        await self._signal.wait()
        self._check()

    def _check(self) -> None:
        if self._end is not None:
            raise copy(self._end)

    def close(self) -> None:
        """Drop all audio, and take no more."""
        self._end = trio.ClosedResourceError("this speaker was closed")
        self.buffer.discard()
        self._signal.notify()

    # --- called in the thread of the audio system

    def fill(self, size: int, delay: float, underflow: bool) -> bytes:  # noqa: FBT001 - see FillOutput
        """Return the audio to play next."""
        block = self.buffer.fill(size, delay, underflow)
        self._signal.notify()
        return block

    def stopped(self) -> None:
        """Note that the device has stopped."""
        if self._end is None:
            self._end = DeviceError(
                f"the speaker {self.name} has stopped; check that it is connected"
            )
        self._signal.notify()


@asynccontextmanager
async def open_speaker(
    device: int | str | None = None,
    *,
    rate: int = 24_000,
    frame_ms: float = 20,
    host: AudioHost | None = None,
) -> AsyncGenerator[Speaker]:
    """Open a speaker for the duration of a block. Leaving the block stops it at once.

    For example::

        async with open_speaker(rate=audio.rate) as speaker:
            await speaker.play(audio.data)
            await speaker.wait_silent()

    Args:
        device: the index of a device, or its name or a part of it; the system's speaker by default.
        rate: samples per second. Not every device supports every rate.
        frame_ms: milliseconds of audio that the device takes at once.
        host: the audio system; PortAudio by default.

    Raises:
        DeviceError: there is no such device, it cannot be opened, or the extra ``devices`` or PortAudio
            is not installed. The message says what to do.
        UsageError: ``frame_ms`` is not positive.
    """
    samples = frame_size(AudioFormat(rate=rate), frame_ms) // 2
    host = host or PortAudioHost()
    chosen = select_device(await host.devices(), device, "output")
    speaker = Speaker(chosen.name, rate)
    stream = await host.open_output(
        chosen, rate=rate, frame_size=samples, fill=speaker.fill, on_end=speaker.stopped
    )
    try:
        yield speaker
    finally:
        speaker.close()
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await stream.aclose()
