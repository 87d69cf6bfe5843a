"""The ``talk`` command without a file: a conversation with the microphone and the speaker."""

from __future__ import annotations

import attrs

from trio_realtime import RealtimeAgent, SessionConfig, events
from trio_realtime.devices import Device, list_devices, open_devices
from trio_realtime.errors import DeviceError

from .console import Terminal
from .endpoints import EndpointOptions, open_session
from .exit import OK, UserFacingError, print_message
from .spoken import SpokenTerminal


@attrs.frozen(kw_only=True)
class DeviceOptions:
    """The devices of a conversation.

    Args:
        input_device, output_device: index or name of a device; the default of the system without one.
        half_duplex: send silence while the agent is heard.
    """

    input_device: str | None = None
    output_device: str | None = None
    half_duplex: bool = False


async def talk_live(
    agent: RealtimeAgent[None],
    service: EndpointOptions,
    config: SessionConfig,
    options: DeviceOptions,
) -> int:
    """Talk with the agent until the command is cancelled.

    Raises:
        UserFacingError: there is no device, or the service ended the session.
        RealtimeError: the session could not be opened, or it failed.
    """
    await _check_devices()
    terminal = SpokenTerminal(
        Terminal(agent.name, prompt=False), transcribes=bool(config.transcription)
    )
    try:
        async with (
            open_session(agent, service, config) as session,
            open_devices(
                session,
                input_device=_device(options.input_device),
                output_device=_device(options.output_device),
                half_duplex=options.half_duplex,
            ) as devices,
        ):
            print_message(f"listening to {devices.microphone.name}; Ctrl-C ends the conversation")
            if not options.half_duplex:
                print_message(
                    "use headphones, or --half-duplex, so that the agent does not hear itself"
                )
            async for event in session:
                terminal.show(event)
                if isinstance(event, events.AudioInterrupted):
                    terminal.finish()
    finally:
        terminal.finish()
    raise UserFacingError("the service ended the session; run the command again to start a new one")


async def _check_devices() -> None:
    """Fail before the session opens, which may cost something."""
    devices = await list_devices()
    missing = [
        word
        for word, found in (
            ("microphone", any(d.inputs for d in devices)),
            ("speaker", any(d.outputs for d in devices)),
        )
        if not found
    ]
    if missing:
        raise DeviceError(
            f"this computer has no {' and no '.join(missing)}; connect one, or send a recording: "
            "trio-realtime talk FILE"
        )


def _device(wanted: str | None) -> int | str | None:
    return int(wanted) if wanted is not None and wanted.isdecimal() else wanted


async def print_devices() -> int:
    """Print the sound devices, one on a line."""
    devices = await list_devices()
    if not devices:
        raise DeviceError(
            "there is no sound device: connect one, or start the system's audio service"
        )
    for device in devices:
        print(f"{device.index:3}  {_kinds(device):27}  {device.name}")
    return OK


def _kinds(device: Device) -> str:
    kinds = {
        "microphone": (device.inputs, device.is_default_input),
        "speaker": (device.outputs, device.is_default_output),
    }
    return ", ".join(
        f"{kind}{' *' if is_default else ''}"
        for kind, (count, is_default) in kinds.items()
        if count
    )
