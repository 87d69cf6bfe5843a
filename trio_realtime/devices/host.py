"""What a microphone and a speaker need from the audio system, and how a device is chosen.

The protocol is small, so that tests and other audio systems can implement it. PortAudio does so in
:mod:`.portaudio`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import attrs

from trio_realtime.errors import DeviceError

Direction: TypeAlias = Literal["input", "output"]

TakeInput: TypeAlias = Callable[[bytes, bool], None]
"""Takes a frame of PCM16 mono, and whether the device lost audio before it. Called in any thread."""

FillOutput: TypeAlias = Callable[[int, float, bool], bytes]
"""Returns that many bytes of PCM16 mono to play. Called in any thread.

The second argument is the delay: the seconds until the first of these samples is heard. The third is
whether the device ran out of audio before.
"""


@attrs.frozen(kw_only=True)
class Device:
    """A sound device.

    Attributes:
        index: its number, which may change when a device is connected or removed.
        name: its name.
        inputs, outputs: the numbers of its channels; 0 if it is not a microphone, or not a speaker.
        is_default_input, is_default_output: whether it is used when no device is chosen.
    """

    index: int
    name: str
    inputs: int = 0
    outputs: int = 0
    is_default_input: bool = False
    is_default_output: bool = False


CLOSE_TIMEOUT: Final = 1.0
"""Seconds that a driver has to close a device. Then it is abandoned."""


class AudioStream(Protocol):
    """An open device, which runs until it is closed."""

    async def aclose(self) -> None:
        """Stop at once, and close the device. No callback is called after this.

        It is cancelled after a second.
        """
        ...


class AudioHost(Protocol):
    """An audio system. Its methods raise :class:`~trio_realtime.errors.DeviceError`."""

    async def devices(self) -> Sequence[Device]:
        """Return all devices."""
        ...

    async def open_input(
        self,
        device: Device,
        *,
        rate: int,
        frame_size: int,
        take: TakeInput,
        on_end: Callable[[], None],
    ) -> AudioStream:
        """Open a microphone and start it. Cancelling leaves it closed.

        Args:
            device: the device.
            rate: samples per second.
            frame_size: samples in a frame.
            take: called with each frame, in any thread.
            on_end: called in any thread when the device has stopped by itself.
        """
        ...

    async def open_output(
        self,
        device: Device,
        *,
        rate: int,
        frame_size: int,
        fill: FillOutput,
        on_end: Callable[[], None],
    ) -> AudioStream:
        """Open a speaker and start it, like :meth:`open_input`. ``fill`` is called for each frame."""
        ...


_WORDS = {"input": "microphone", "output": "speaker"}


def select_device(
    devices: Sequence[Device], wanted: int | str | None, direction: Direction
) -> Device:
    """Return the device that the user wants.

    Args:
        devices: all devices.
        wanted: an index, a name or a part of one in any case, or ``None`` for the default.
        direction: whether a microphone or a speaker is wanted.

    Raises:
        DeviceError: there is no such device, or the name fits several.
    """
    word = _WORDS[direction]
    usable = [d for d in devices if (d.inputs if direction == "input" else d.outputs)]
    if not usable:
        raise DeviceError(
            f"there is no {word}: connect one, and check that the system's audio service is running"
        )
    found = _matching(usable, wanted, direction)
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{d.index} ({d.name})" for d in found or usable)
    if found:
        raise DeviceError(f"several {word}s have {wanted!r} in their name; choose one of {names}")
    if wanted is None:
        raise DeviceError(f"the system has no default {word}; choose one of {names}")
    raise DeviceError(f"there is no {word} {wanted!r}; choose one of {names}")


def _matching(
    devices: Sequence[Device], wanted: int | str | None, direction: Direction
) -> Sequence[Device]:
    if wanted is None:
        return [d for d in devices if getattr(d, f"is_default_{direction}")]
    if isinstance(wanted, int):
        return [d for d in devices if d.index == wanted]
    exact = [d for d in devices if d.name == wanted]
    return exact or [d for d in devices if wanted.lower() in d.name.lower()]
