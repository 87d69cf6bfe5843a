"""What a session holds at one moment, in numbers."""

from __future__ import annotations

import attrs

from .consumers.channel import ChannelStatistics


@attrs.frozen(kw_only=True)
class SessionStatistics:
    """What a session holds at one moment.

    Attributes:
        events: the buffer of the main channel.
        outgoing_frames: frames that wait to be sent.
        sent_frames: frames that were sent.
        running_tools: calls that have not ended, including those that wait.
        waiting_tools: calls that wait because ``max_concurrent_calls`` others are carried out.
        history_items: items of the conversation.
    """

    events: ChannelStatistics
    outgoing_frames: int
    sent_frames: int
    running_tools: int
    waiting_tools: int
    history_items: int
