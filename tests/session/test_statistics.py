"""What a session counts: what goes on in it, and tokens."""

from __future__ import annotations

from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_test_session
from trio_realtime.testing import ScriptedPeer, message


async def test_statistics_count_what_goes_on(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.add_item(message("item_1", "Hi"))
        await session.send_audio(b"\0\0")
        await wait_all_tasks_blocked()
        statistics = session.statistics()
        assert statistics.history_items == 1
        assert statistics.sent_frames == 2
        assert statistics.outgoing_frames == 0
        assert statistics.running_tools == 0
        assert statistics.events.buffered_events > 0


async def test_usage_adds_up_all_responses_also_cancelled_ones(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    usage = {
        "total_tokens": 30,
        "input_tokens": 10,
        "output_tokens": 20,
        "input_token_details": {"text_tokens": 4, "audio_tokens": 6, "cached_tokens": 3},
        "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
    }
    async with open_test_session(peer) as session:
        for number, status in enumerate(("completed", "cancelled", "failed")):
            peer.begin_response(f"resp_{number}")
            peer.end_response(f"resp_{number}", status, usage=usage)
        peer.begin_response("resp_untold")
        peer.end_response("resp_untold")
        await wait_all_tasks_blocked()
        total = session.usage
    assert (total.responses, total.total_tokens) == (3, 90)
    assert (total.input_tokens, total.output_tokens) == (30, 60)
    assert (total.input_audio_tokens, total.output_audio_tokens) == (18, 45)
    assert total.cached_tokens == 9
