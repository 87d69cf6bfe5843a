"""An audio system without devices, which a test drives frame by frame, in any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from trio_realtime.devices import Device, FillOutput, TakeInput
from trio_realtime.errors import DeviceError

MICROPHONE = Device(index=0, name="Built-in microphone", inputs=2, is_default_input=True)
SPEAKER = Device(index=1, name="Built-in speaker", outputs=2, is_default_output=True)
HEADSET = Device(index=2, name="USB headset", inputs=1, outputs=2)


@attrs.define(eq=False)
class FakeStream:
    """An open device. A frame is ``frame_size`` samples of PCM16."""

    device: Device
    rate: int
    frame_size: int
    on_end: Callable[[], None]
    take: TakeInput | None = None
    fill: FillOutput | None = None
    closed: bool = False

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True

    def record(self, frame: bytes, *, lost: bool = False) -> None:
        """Call as the thread of a microphone does."""
        assert self.take is not None
        self.take(frame, lost)

    def play(self, delay: float = 0.0, *, underflow: bool = False) -> bytes:
        """Call as the thread of a speaker does, and return the frame."""
        assert self.fill is not None
        frame = self.fill(self.frame_size * 2, delay, underflow)
        assert len(frame) == self.frame_size * 2
        return frame


class FakeHost:
    """An :class:`~trio_realtime.devices.AudioHost`."""

    def __init__(self, *devices: Device, refuses: str = "") -> None:
        self._devices = devices or (MICROPHONE, SPEAKER, HEADSET)
        self._refuses = refuses
        self.streams: list[FakeStream] = []
        self._opened = trio.lowlevel.ParkingLot()

    async def devices(self) -> Sequence[Device]:
        await trio.lowlevel.checkpoint()
        return self._devices

    async def open_input(
        self,
        device: Device,
        *,
        rate: int,
        frame_size: int,
        take: TakeInput,
        on_end: Callable[[], None],
    ) -> FakeStream:
        return await self._open(FakeStream(device, rate, frame_size, on_end, take=take))

    async def open_output(
        self,
        device: Device,
        *,
        rate: int,
        frame_size: int,
        fill: FillOutput,
        on_end: Callable[[], None],
    ) -> FakeStream:
        return await self._open(FakeStream(device, rate, frame_size, on_end, fill=fill))

    async def _open(self, stream: FakeStream) -> FakeStream:
        await trio.lowlevel.checkpoint()
        if stream.device.name == self._refuses:
            raise DeviceError(f"cannot open {stream.device.name}")
        self.streams.append(stream)
        self._opened.unpark_all()
        return stream

    async def wait_open(self, count: int) -> None:
        """Wait until so many devices were opened."""
        while len(self.streams) < count:
            await self._opened.park()

    @property
    def microphone(self) -> FakeStream:
        return next(stream for stream in self.streams if stream.take is not None)

    @property
    def speaker(self) -> FakeStream:
        return next(stream for stream in self.streams if stream.fill is not None)
