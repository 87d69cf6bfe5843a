"""Recordings of calls: two tracks on one clock, written in segments that survive a crash.

:func:`open_recorder` records a call: what the user said, and what the user heard of the agent.
:func:`sweep` makes the recordings of calls whose process was killed. :func:`encode_opus` makes a recording small.
"""

from __future__ import annotations

from .errors import RecordingFailed as RecordingFailed
from .opus import encode_opus as encode_opus
from .recorder import (
    CallRecorder as CallRecorder,
    RecorderStatistics as RecorderStatistics,
    open_recorder as open_recorder,
)
from .render import Recording as Recording, RecordingFile as RecordingFile
from .segments import AudioChunk as AudioChunk
from .sweeper import sweep as sweep
from .timeline import (
    AgentTrack as AgentTrack,
    CallTimeline as CallTimeline,
    PlacedAudio as PlacedAudio,
    SilencedRange as SilencedRange,
)
from .tracks import Track as Track
