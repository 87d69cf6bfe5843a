"""A running session: the tasks around the core.

Wire, reader, core, :mod:`.runtime`; from there to the consumers, the tools, the send queue, the writer
and the wire. :mod:`.lifecycle` puts the parts together and takes them apart.
"""

from __future__ import annotations

from .consumers.channel import (
    ChannelStatistics as ChannelStatistics,
    EventChannel as EventChannel,
)
from .consumers.paced_audio import PacedAudio as PacedAudio
from .lifecycle import open_session as open_session
from .response_handle import Response as Response
from .session import (
    PlaybackTracker as PlaybackTracker,
    RealtimeSession as RealtimeSession,
    SessionStatistics as SessionStatistics,
)
