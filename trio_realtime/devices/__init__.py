"""A microphone and a speaker for a session, with PortAudio. They need the extra ``devices``.

:func:`open_devices` joins both with a session. :func:`open_microphone` and :func:`open_speaker` open them
by themselves. What has no device, no PortAudio or no extra raises
:class:`~trio_realtime.errors.DeviceError`, which says what to do.
"""

from __future__ import annotations

from .conversation import Devices as Devices, open_devices as open_devices
from .host import (
    AudioHost as AudioHost,
    AudioStream as AudioStream,
    Device as Device,
    FillOutput as FillOutput,
    TakeInput as TakeInput,
)
from .microphone import (
    Microphone as Microphone,
    MicrophoneStatistics as MicrophoneStatistics,
    open_microphone as open_microphone,
)
from .portaudio import list_devices as list_devices
from .speaker import (
    Speaker as Speaker,
    SpeakerStatistics as SpeakerStatistics,
    open_speaker as open_speaker,
)
