"""The shell round the core: one connection, its reader and writer, the tools, the consumers.

Wire -> ``reader`` -> core -> ``shell`` -> ``hub`` (consumers), ``tools``, ``outbox`` -> ``writer`` -> wire.
``opening`` puts them together and takes them apart.
"""

from __future__ import annotations

from .consumers.bus import ChannelStatistics as ChannelStatistics, EventChannel as EventChannel
from .consumers.paced_audio import PacedAudio as PacedAudio
from .lifecycle import open_session as open_session
from .response_handle import Response as Response
from .session import (
    PlaybackTracker as PlaybackTracker,
    RealtimeSession as RealtimeSession,
    SessionStatistics as SessionStatistics,
)
