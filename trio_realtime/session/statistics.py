"""What a session holds at one moment, and how fast it has been, in numbers."""

from __future__ import annotations

import attrs

from trio_realtime.latency import LatencyStatistics

from .consumers.channel import ChannelStatistics


@attrs.frozen(kw_only=True)
class SessionStatistics:
    """What a session holds at one moment, and how fast it has been.

    Attributes:
        events: the buffer of the main channel.
        outgoing_frames: frames that wait to be sent.
        outgoing_audio: bytes of audio in them.
        outgoing_text: bytes of all other frames in them. ``max_outgoing_text`` bounds what methods send; what
            the session sends by itself, such as the outputs of tools, is not bounded but counts here.
        sent_frames: frames that were sent.
        dropped_outgoing_audio: bytes of the user's audio that were dropped because they had waited for more
            than ``max_audio_latency``.
        running_tools: calls that have not ended, including those that wait.
        waiting_tools: calls that wait because ``max_concurrent_calls`` others are carried out.
        gated_audio: bytes of audio that wait for guardrails (``guardrail_audio_gate``).
        dropped_audio: bytes of the agent's audio that were dropped above ``max_buffered_audio``, because they
            waited for guardrails or belonged to an out-of-band response.
        running_checks: checks of guardrails that run, of replies and of the user's input.
        superseded_checks: checks of replies that did not run, because a later check of the same reply saw
            more text.
        history_items: items of the conversation.
        latency: how fast the turns of the session were.
    """

    events: ChannelStatistics
    outgoing_frames: int
    outgoing_audio: int
    outgoing_text: int
    sent_frames: int
    dropped_outgoing_audio: int
    running_tools: int
    waiting_tools: int
    gated_audio: int
    dropped_audio: int
    running_checks: int
    superseded_checks: int
    history_items: int
    latency: LatencyStatistics
