"""PortAudio: how sounddevice is called, its errors, and a real device if there is one."""

from __future__ import annotations

import importlib
import math
import struct
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from trio_realtime.audio import rms_dbfs
from trio_realtime.devices import Device, list_devices, open_microphone, open_speaker
from trio_realtime.errors import DeviceError

NO_STATUS = SimpleNamespace(input_overflow=False, output_underflow=False)


class PortAudioError(Exception):
    pass


class FakeStream:
    latency = 0.05

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def abort(self, *, ignore_errors: bool) -> None:
        assert ignore_errors
        self.calls.append("abort")

    def close(self, *, ignore_errors: bool) -> None:
        assert ignore_errors
        self.calls.append("close")


class FakeSounddevice:
    """The part of the module that is used."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        self.streams: list[FakeStream] = []
        self.infos = [
            {"index": 0, "name": "mic", "max_input_channels": 1, "max_output_channels": 0},
            {"index": 1, "name": "out", "max_input_channels": 0, "max_output_channels": 2},
        ]
        self.failure: Exception | None = None

    def query_devices(self, kind: str | None = None) -> Any:
        if kind is None:
            return self.infos
        for info in self.infos:
            if info[f"max_{kind}_channels"]:
                return info
        raise ValueError("no device")

    def _open(self, **options: Any) -> FakeStream:
        if self.failure is not None:
            raise self.failure
        self.streams.append(FakeStream(options))
        return self.streams[-1]

    RawInputStream = RawOutputStream = _open


@pytest.fixture
def sounddevice(monkeypatch: pytest.MonkeyPatch) -> FakeSounddevice:
    module = FakeSounddevice()
    monkeypatch.setattr(importlib, "import_module", lambda _name: module)
    return module


@pytest.mark.usefixtures("sounddevice")
async def test_devices_are_listed() -> None:
    assert await list_devices() == [
        Device(index=0, name="mic", inputs=1, is_default_input=True),
        Device(index=1, name="out", outputs=2, is_default_output=True),
    ]


async def test_a_microphone_is_opened_as_16_bit_mono_and_closed(
    sounddevice: FakeSounddevice,
) -> None:
    async with open_microphone(rate=16_000, frame_ms=30) as microphone:
        (stream,) = sounddevice.streams
        options = stream.options
        assert (options["device"], options["samplerate"], options["blocksize"]) == (0, 16_000, 480)
        assert (options["channels"], options["dtype"]) == (1, "int16")
        options["callback"](memoryview(b"\1\2"), 1, None, SimpleNamespace(input_overflow=True))
        assert await microphone.receive() == b"\1\2"
        assert microphone.statistics().overruns == 1
        options["finished_callback"]()
        with pytest.raises(DeviceError, match="mic has stopped"):
            await microphone.receive()
    assert stream.calls == ["start", "abort", "close"]


@pytest.mark.parametrize(
    ("dac", "frames"),
    # A driver that does not know the time of a sample: the latency of the stream, 50 ms, counts.
    [(100.02, 2), (100.0, 4), (0.0, 4)],
    ids=["known", "zero", "unknown"],
)
async def test_a_speaker_is_told_the_delay_of_the_device(
    sounddevice: FakeSounddevice, dac: float, frames: int
) -> None:
    async with open_speaker() as speaker:
        (stream,) = sounddevice.streams
        await speaker.play(bytes(960))
        time = SimpleNamespace(outputBufferDacTime=dac, currentTime=100.0)
        calls = 0
        while speaker.is_audible:
            stream.options["callback"](memoryview(bytearray(960)), 480, time, NO_STATUS)
            calls += 1
        assert calls == 1 + frames
    assert stream.calls == ["start", "abort", "close"]


async def test_a_device_that_cannot_be_opened_is_named(sounddevice: FakeSounddevice) -> None:
    sounddevice.failure = PortAudioError("Invalid sample rate [PaErrorCode -9997]")
    with pytest.raises(DeviceError, match=r"cannot open the device 1 \(out\) at 11025 Hz: Invalid"):
        async with open_speaker(rate=11_025):
            pass


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ModuleNotFoundError("sounddevice"), r"pip install 'trio-realtime\[devices\]'"),
        (OSError("PortAudio library not found"), "apt-get install libportaudio2"),
        (PortAudioError("Host error"), "PortAudio does not start: Host error"),
    ],
    ids=["no extra", "no PortAudio", "no sound system"],
)
async def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, message: str
) -> None:
    def import_module(_name: str) -> Any:
        raise failure

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(DeviceError, match=message):
        await list_devices()


async def test_without_devices_the_error_says_so(sounddevice: FakeSounddevice) -> None:
    sounddevice.infos = []
    with pytest.raises(DeviceError, match="there is no microphone"):
        async with open_microphone():
            pass
    with pytest.raises(DeviceError, match="there is no speaker"):
        async with open_speaker():
            pass


async def test_cancelling_while_a_device_opens_leaves_it_closed(
    sounddevice: FakeSounddevice,
) -> None:
    async def open_and_sleep() -> None:
        async with open_microphone():
            await trio.sleep_forever()

    with trio.CancelScope() as scope:
        original = FakeSounddevice._open

        def opened(**options: Any) -> FakeStream:
            trio.from_thread.run_sync(scope.cancel)
            return original(sounddevice, **options)

        sounddevice.RawInputStream = opened  # type: ignore[method-assign]
        await open_and_sleep()
    assert sounddevice.streams[0].calls == ["start", "abort", "close"]


async def play_and_record(pcm: bytes) -> bytes | str:
    """Return what the default microphone records meanwhile, or why that is not possible."""
    try:
        with trio.fail_after(20):
            async with open_microphone() as microphone, open_speaker() as speaker:
                await speaker.play(pcm)
                recorded = [await microphone.receive() for _ in range(75)]
                await speaker.wait_silent()
                assert speaker.statistics().buffered_ms == 0
    except DeviceError as exc:
        return str(exc)
    return b"".join(recorded)


@pytest.mark.slow
def test_a_tone_through_real_devices_is_recorded() -> None:
    """The microphone must hear the speaker: for example, the monitor of a null sink of PulseAudio."""
    numbers = (round(8000 * math.sin(2 * math.pi * 440 * n / 24_000)) for n in range(24_000))
    recorded = trio.run(play_and_record, b"".join(struct.pack("<h", number) for number in numbers))
    if isinstance(recorded, str):
        pytest.skip(recorded)
    if rms_dbfs(recorded) < -60:
        pytest.skip("the microphone does not hear the speaker")
    assert rms_dbfs(recorded) > -30
