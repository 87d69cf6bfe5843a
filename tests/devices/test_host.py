"""How a device is chosen."""

from __future__ import annotations

import pytest

from support.audio_host import HEADSET, MICROPHONE, SPEAKER
from trio_realtime.devices import Device
from trio_realtime.devices.host import Direction, select_device
from trio_realtime.errors import DeviceError

ALL = (MICROPHONE, SPEAKER, HEADSET)
TWIN = Device(index=3, name="USB headset 2", inputs=1)


@pytest.mark.parametrize(
    ("wanted", "direction", "chosen"),
    [
        (None, "input", MICROPHONE),
        (None, "output", SPEAKER),
        (2, "input", HEADSET),
        ("usb", "output", HEADSET),
        ("Built-in", "input", MICROPHONE),
        ("Built-in", "output", SPEAKER),
    ],
)
def test_a_device_is_chosen_by_index_or_by_name(
    wanted: int | str | None, direction: Direction, chosen: Device
) -> None:
    assert select_device(ALL, wanted, direction) is chosen


def test_an_exact_name_wins() -> None:
    assert select_device((*ALL, TWIN), "USB headset", "input") is HEADSET


@pytest.mark.parametrize(
    ("devices", "wanted", "message"),
    [
        ((), None, "there is no microphone: connect one"),
        ((SPEAKER,), 1, "there is no microphone: connect one"),
        (ALL, 1, r"no microphone 1; choose one of 0 \(Built-in microphone\), 2 \(USB headset\)"),
        (ALL, "radio", "there is no microphone 'radio'; choose one of 0"),
        (
            (*ALL, TWIN),
            "usb",
            r"several microphones have 'usb' in their name; choose one of 2 \(USB headset\), 3",
        ),
        ((HEADSET,), None, r"no default microphone; choose one of 2 \(USB headset\)"),
    ],
    ids=["none", "only a speaker", "index", "name", "ambiguous", "no default"],
)
def test_what_cannot_be_chosen_is_explained(
    devices: tuple[Device, ...], wanted: int | str | None, message: str
) -> None:
    with pytest.raises(DeviceError, match=message):
        select_device(devices, wanted, "input")
