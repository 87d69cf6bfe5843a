"""The ``talk`` command without a file, with an audio system of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import trio

from support.audio_host import HEADSET, MICROPHONE, SPEAKER, FakeHost
from trio_realtime import LocalServerWarning, ServerVad, SessionConfig, Transcription
from trio_realtime.cli import talk_live as module
from trio_realtime.cli.assistant import default_agent
from trio_realtime.cli.endpoints import EndpointOptions
from trio_realtime.cli.exit import OK
from trio_realtime.cli.talk_live import DeviceOptions, print_devices, talk_live
from trio_realtime.devices import Device, list_devices, open_devices
from trio_realtime.errors import DeviceError

CONFIG = SessionConfig(turn_detection=ServerVad(), transcription=Transcription(model="local"))


@pytest.fixture
def use_host(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*devices: Device) -> FakeHost:
        host = FakeHost(*devices)
        monkeypatch.setattr(module, "list_devices", partial(list_devices, host=host))
        monkeypatch.setattr(module, "open_devices", partial(open_devices, host=host))
        return host

    return use


@pytest.fixture
def no_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connect sessions to the local server in memory, which works with virtual time."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")):
            monkeypatch.delenv(name)
    with pytest.warns(LocalServerWarning):
        yield


@pytest.mark.usefixtures("no_service")
async def test_a_conversation_is_shown_until_it_is_cancelled(
    autojump_clock: object, use_host: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    host: FakeHost = use_host(MICROPHONE, SPEAKER, HEADSET)
    options = DeviceOptions(input_device="usb", output_device="1", half_duplex=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk_live, default_agent(), EndpointOptions(), CONFIG, options)
        await host.wait_open(2)
        start = trio.current_time()
        for number in range(300):
            await trio.sleep_until(start + number * 0.02)
            host.microphone.record(b"\x00\x20" * 480 if number < 50 else bytes(960))
            host.speaker.play()
        nursery.cancel_scope.cancel()
    assert host.microphone.device == HEADSET
    assert host.speaker.device == SPEAKER
    assert all(stream.closed for stream in host.streams)
    output = capsys.readouterr()
    you, agent = output.out.splitlines()
    assert you.startswith("you: ")
    assert agent.startswith("Assistant: I heard 1.")
    assert output.err == "trio-realtime: listening to USB headset; Ctrl-C ends the conversation\n"


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ((SPEAKER,), "no microphone; connect one, or send a recording: trio-realtime talk FILE"),
        ((MICROPHONE,), "no speaker; connect one"),
        (
            (Device(index=0, name="none"),),
            "no microphone and no speaker; connect",
        ),
    ],
    ids=["microphone", "speaker", "both"],
)
async def test_a_missing_device_is_named_before_the_session_opens(
    use_host: Any, devices: tuple[Device, ...], message: str
) -> None:
    use_host(*devices)
    no_service = EndpointOptions(url="ws://127.0.0.1:1")
    with pytest.raises(DeviceError, match=message):
        await talk_live(default_agent(), no_service, CONFIG, DeviceOptions())


async def test_devices_are_printed_one_on_a_line(
    use_host: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    use_host(MICROPHONE, SPEAKER, HEADSET)
    assert await print_devices() == OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["0", "microphone", "*", "Built-in", "microphone"],
        ["1", "speaker", "*", "Built-in", "speaker"],
        ["2", "microphone,", "speaker", "USB", "headset"],
    ]


async def test_without_devices_the_list_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def no_devices() -> list[Device]:
        await trio.lowlevel.checkpoint()
        return []

    monkeypatch.setattr(module, "list_devices", no_devices)
    with pytest.raises(DeviceError, match="there is no sound device"):
        await print_devices()
