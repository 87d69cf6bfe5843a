"""What a session adds to its usage, besides responses: transcriptions of the user's audio."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.sessions import open_test_session
from trio_realtime import Usage, events
from trio_realtime.testing import ScriptedPeer


def send_transcript(peer: ScriptedPeer, **fields: Any) -> None:
    peer.send(
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "item_u",
            "content_index": 0,
            "transcript": "Hello",
            **fields,
        }
    )


async def test_transcriptions_are_reported_and_added(autojump_clock: MockClock) -> None:
    tokens = {
        "type": "tokens",
        "total_tokens": 14,
        "input_tokens": 12,
        "output_tokens": 2,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 12},
    }
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_transcript(peer, usage={"type": "duration", "seconds": 3})
        send_transcript(peer, usage=tokens)
        await wait_all_tasks_blocked()
        first, second = drain_events(session.events, events.UserTranscript)
        assert session.usage == Usage(
            transcriptions=2,
            transcription_seconds=3.0,
            transcription_input_tokens=12,
            transcription_output_tokens=2,
        )
    assert first.usage is not None
    assert first.usage.seconds == 3
    assert second.usage is not None
    assert second.usage.input_token_details.audio_tokens == 12


@pytest.mark.parametrize("usage", [None, "free", [], {"type": 5, "seconds": "many"}])
async def test_usage_that_makes_no_sense_costs_nothing(
    usage: Any, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        send_transcript(peer, usage=usage)
        await wait_all_tasks_blocked()
        (event,) = drain_events(session.events, events.UserTranscript)
        assert event.transcript == "Hello"
        assert session.usage.transcription_seconds == 0
