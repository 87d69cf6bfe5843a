"""A microphone: frames of audio from the thread of the audio system, in a bounded queue."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from copy import copy
from threading import Lock
from typing import final

import attrs
import trio

from trio_realtime.audio import frame_size
from trio_realtime.errors import DeviceError, UsageError
from trio_realtime.wire import AudioFormat

from .host import CLOSE_TIMEOUT, AudioHost, select_device
from .portaudio import PortAudioHost
from .signal import ThreadSignal


@attrs.frozen(kw_only=True)
class MicrophoneStatistics:
    """What became of the microphone's audio.

    Attributes:
        buffered_ms: milliseconds that were not received yet.
        dropped_ms: milliseconds that were dropped, because they were not received in time.
        overruns: how often the device reported that it lost audio itself.
    """

    buffered_ms: float
    dropped_ms: float
    overruns: int


@final
class Microphone(trio.abc.ReceiveChannel[bytes]):
    """An open microphone. Iterate it for frames of PCM16 mono; :func:`open_microphone` makes it.

    Attributes:
        name: the name of the device.
        rate: samples per second.
    """

    def __init__(self, name: str, rate: int, frame_ms: float, max_frames: float) -> None:
        self.name: str = name
        self.rate: int = rate
        self._frame_ms = frame_ms
        self._max_frames = max_frames
        self._frames: deque[bytes] = deque()
        self._dropped = 0
        self._overruns = 0
        self._end: Exception | None = None
        self._lock = Lock()
        self._signal = ThreadSignal()

    def statistics(self) -> MicrophoneStatistics:
        """Return what became of the microphone's audio."""
        return MicrophoneStatistics(
            buffered_ms=len(self._frames) * self._frame_ms,
            dropped_ms=self._dropped * self._frame_ms,
            overruns=self._overruns,
        )

    async def receive(self) -> bytes:
        """Return the next frame. Cancelling the wait loses no audio.

        Raises:
            DeviceError: the device has stopped; perhaps it was disconnected. All frames were received.
            trio.ClosedResourceError: the block of :func:`open_microphone` was left.
        """
        await trio.lowlevel.checkpoint()
        while True:
            with self._lock:
                if self._frames:
                    return self._frames.popleft()
            if self._end is not None:
                raise copy(self._end)
            await self._signal.wait()

    async def aclose(self) -> None:
        """Drop what was not received, and receive no more."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Drop what was not received, and receive no more."""
        with self._lock:
            self._end = trio.ClosedResourceError("this microphone was closed")
            self._frames.clear()
        self._signal.notify()

    # --- called in the thread of the audio system

    def take(self, frame: bytes, lost: bool) -> None:  # noqa: FBT001 - see TakeInput
        """Add a frame. If too many wait, drop the oldest one."""
        with self._lock:
            if self._end is not None:
                return
            self._overruns += lost
            if len(self._frames) + 1 > self._max_frames:
                self._frames.popleft()
                self._dropped += 1
            self._frames.append(frame)
        self._signal.notify()

    def stopped(self) -> None:
        """Note that the device has stopped."""
        with self._lock:
            if self._end is None:
                self._end = DeviceError(
                    f"the microphone {self.name} has stopped; check that it is connected"
                )
        self._signal.notify()


@asynccontextmanager
async def open_microphone(
    device: int | str | None = None,
    *,
    rate: int = 24_000,
    frame_ms: float = 20,
    max_buffered_ms: float = 1000,
    host: AudioHost | None = None,
) -> AsyncGenerator[Microphone]:
    """Open a microphone for the duration of a block.

    For example::

        async with open_microphone() as microphone:
            async for frame in microphone:
                await session.send_audio(frame)

    Args:
        device: the index of a device, or its name or a part of it; the system's microphone by default.
        rate: samples per second. Not every device supports every rate.
        frame_ms: milliseconds of audio in a frame.
        max_buffered_ms: milliseconds of audio that may wait to be received. Above it, the oldest is
            dropped and counted, so that what is received is never old.
        host: the audio system; PortAudio by default.

    Raises:
        DeviceError: there is no such device, it cannot be opened, or the extra ``devices`` or PortAudio
            is not installed. The message says what to do.
        UsageError: ``frame_ms`` is not positive, or ``max_buffered_ms`` is less than a frame.
    """
    samples = frame_size(AudioFormat(rate=rate), frame_ms) // 2
    if not max_buffered_ms >= frame_ms:
        raise UsageError(f"max_buffered_ms must be at least frame_ms, got {max_buffered_ms}")
    host = host or PortAudioHost()
    chosen = select_device(await host.devices(), device, "input")
    microphone = Microphone(chosen.name, rate, frame_ms, max_buffered_ms / frame_ms)
    stream = await host.open_input(
        chosen, rate=rate, frame_size=samples, take=microphone.take, on_end=microphone.stopped
    )
    try:
        yield microphone
    finally:
        microphone.close()
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await stream.aclose()
