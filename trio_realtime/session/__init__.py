"""A running session: the tasks around the core.

The reader feeds frames from the wire to the core. :mod:`.runtime` carries out the core's effects:
events go to the consumers, calls to the tools, and frames through the send queue and the writer
to the wire. :mod:`.lifecycle` starts and stops the parts.
"""

from __future__ import annotations

from trio_realtime.core import PlaybackPosition as PlaybackPosition

from .consumers.channel import (
    ChannelStatistics as ChannelStatistics,
    EventChannel as EventChannel,
)
from .consumers.paced_audio import (
    PacedAudio as PacedAudio,
    PacedAudioStatistics as PacedAudioStatistics,
)
from .lifecycle import open_session as open_session
from .playback_tracker import PlaybackTracker as PlaybackTracker
from .response_handle import Response as Response
from .session import RealtimeSession as RealtimeSession
from .statistics import SessionStatistics as SessionStatistics
