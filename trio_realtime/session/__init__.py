"""The shell round the core: one connection, its reader and writer, the tools, the consumers.

Wire -> ``reader`` -> core -> ``shell`` -> ``hub`` (consumers), ``tools``, ``outbox`` -> ``writer`` -> wire.
``opening`` puts them together and takes them apart.
"""

from __future__ import annotations

from .hub import ChannelStatistics as ChannelStatistics, EventChannel as EventChannel
from .opening import open_session as open_session
from .paced import PacedAudio as PacedAudio
from .response import Response as Response
from .session import (
    PlaybackReport as PlaybackReport,
    RealtimeSession as RealtimeSession,
    SessionStatistics as SessionStatistics,
)
