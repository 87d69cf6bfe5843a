"""The events that end turns, and those that only inform."""

from __future__ import annotations

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.guardrails import begin_reply
from support.sessions import open_test_session
from trio_realtime import events
from trio_realtime.testing import ScriptedPeer


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("completed", None),
        ("cancelled", "turn_detected"),
        ("incomplete", "max_output_tokens"),
        ("failed", "server_error"),
    ],
)
async def test_end_of_a_turn_has_status_and_reason(
    status: str, reason: str | None, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        begin_reply(peer, "Once upon")
        peer.end_response("resp_1", status, reason=reason)
        await wait_all_tasks_blocked()
        seen = drain_channel(session.events)
    (end,) = [event for event in seen if isinstance(event, events.AgentEnd)]
    assert (end.status, end.reason, end.output) == (status, reason, "Once upon")
    (response,) = [event for event in seen if isinstance(event, events.ResponseEnd)]
    assert (response.status, response.reason) == (status, reason)


async def test_failed_transcription_and_rate_limits_are_reported(
    autojump_clock: MockClock,
) -> None:
    limit = {"name": "tokens", "limit": 100, "remaining": 7, "reset_seconds": 60}
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        drain_channel(session.events)
        peer.send(
            {
                "type": "conversation.item.input_audio_transcription.failed",
                "item_id": "item_u",
                "content_index": 0,
                "error": {"type": "transcription_error", "code": "unclear", "message": "noise"},
            },
            {"type": "rate_limits.updated", "rate_limits": [limit]},
        )
        await wait_all_tasks_blocked()
        failed, limits = drain_channel(session.events)
    assert isinstance(failed, events.UserTranscriptFailed)
    assert (failed.item_id, failed.code, failed.message) == ("item_u", "unclear", "noise")
    assert isinstance(limits, events.RateLimitsUpdated)
    assert limits.rate_limits[0].remaining == 7
