"""PortAudio, by the package sounddevice, which is imported when it is used.

PortAudio calls from a thread of its own. Its functions block, so they run in worker threads.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import attrs
import trio

from trio_realtime.errors import DeviceError

from .host import CLOSE_TIMEOUT, AudioHost, AudioStream, Device, FillOutput, TakeInput

T = TypeVar("T")

OUTPUT_LATENCY: Final = 0.1
"""Seconds of audio that the device is given ahead. With less, a busy computer plays gaps."""


async def list_devices(*, host: AudioHost | None = None) -> Sequence[Device]:
    """Return the sound devices of this computer.

    Args:
        host: the audio system; PortAudio by default.

    Raises:
        DeviceError: the extra ``devices`` or PortAudio is not installed.
    """
    return await (host or PortAudioHost()).devices()


class PortAudioHost:
    """The :class:`AudioHost` of this computer."""

    async def devices(self) -> Sequence[Device]:
        """Return all devices."""
        return await trio.to_thread.run_sync(_query_devices)

    async def open_input(
        self,
        device: Device,
        *,
        rate: int,
        frame_size: int,
        take: TakeInput,
        on_end: Callable[[], None],
    ) -> AudioStream:
        """Open a microphone and start it."""

        def callback(data: Any, _frames: int, _time: Any, status: Any) -> None:
            take(bytes(data), bool(status.input_overflow))

        options = {"callback": callback, "finished_callback": on_end, "latency": "high"}
        return await _open("RawInputStream", device, rate, frame_size, options)

    async def open_output(
        self,
        device: Device,
        *,
        rate: int,
        frame_size: int,
        fill: FillOutput,
        on_end: Callable[[], None],
    ) -> AudioStream:
        """Open a speaker and start it."""
        latency = 0.0

        def callback(data: Any, _frames: int, time: Any, status: Any) -> None:
            # Some drivers do not know when the samples are heard.
            delay = time.outputBufferDacTime - time.currentTime
            data[:] = fill(
                len(data), delay if delay > 0 else latency, bool(status.output_underflow)
            )

        options = {"callback": callback, "finished_callback": on_end, "latency": OUTPUT_LATENCY}
        stream = await _open("RawOutputStream", device, rate, frame_size, options)
        latency = float(stream.stream.latency)
        return stream


@attrs.define(eq=False)
class _Stream:
    """An open stream of sounddevice."""

    stream: Any

    async def aclose(self) -> None:
        """Close the device; see :class:`AudioStream`."""
        await trio.to_thread.run_sync(self._close, abandon_on_cancel=True)

    def _close(self) -> None:
        # Not stop(), which waits until the queued audio has played.
        self.stream.abort(ignore_errors=True)
        self.stream.close(ignore_errors=True)


async def _open(
    kind: str, device: Device, rate: int, frame_size: int, options: dict[str, Any]
) -> _Stream:
    def open_stream() -> Any:
        sounddevice = _sounddevice()
        try:
            stream = getattr(sounddevice, kind)(
                device=device.index,
                samplerate=rate,
                blocksize=frame_size,
                channels=1,
                dtype="int16",
                **options,
            )
            stream.start()
        except sounddevice.PortAudioError as exc:
            raise DeviceError(
                f"cannot open the device {device.index} ({device.name}) at {rate} Hz: {exc}; choose "
                "another one, such as the system's mixer, or close the program that uses it"
            ) from exc
        return stream

    # A cancelled thread would open a device that nobody closes, so this waits for it.
    stream = _Stream(await trio.to_thread.run_sync(open_stream))
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
    except trio.Cancelled:
        with trio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await stream.aclose()
        raise
    return stream


def _query_devices() -> Sequence[Device]:
    sounddevice = _sounddevice()
    try:
        devices = sounddevice.query_devices()
    except sounddevice.PortAudioError as exc:
        raise DeviceError(f"PortAudio cannot list the sound devices: {exc}") from exc
    defaults = {kind: _default_index(sounddevice, kind) for kind in ("input", "output")}
    return [
        Device(
            index=info["index"],
            name=info["name"],
            inputs=info["max_input_channels"],
            outputs=info["max_output_channels"],
            is_default_input=info["index"] == defaults["input"],
            is_default_output=info["index"] == defaults["output"],
        )
        for info in devices
    ]


def _default_index(sounddevice: Any, kind: str) -> int | None:
    try:
        return int(sounddevice.query_devices(kind=kind)["index"])
    except (ValueError, sounddevice.PortAudioError):  # there is none
        return None


def _sounddevice() -> Any:
    """Import sounddevice, which loads and starts PortAudio."""
    try:
        return importlib.import_module("sounddevice")
    except ModuleNotFoundError as exc:
        raise DeviceError(
            "microphones and speakers need sounddevice: pip install 'trio-realtime[devices]'"
        ) from exc
    except OSError as exc:
        raise DeviceError(
            "PortAudio is not installed; on Debian and Ubuntu: apt-get install libportaudio2"
        ) from exc
    except Exception as exc:
        # Its class is in the module that could not be imported.
        raise DeviceError(f"PortAudio does not start: {exc}") from exc
