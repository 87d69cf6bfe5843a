"""Recorded frames as test data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trio.testing import MockClock

from trio_realtime import RealtimeAgent, errors, function_tool
from trio_realtime.testing import RecordedPeer, collect_turn, replay_recording


@function_tool
async def get_weather(city: str = "", location: str = "") -> str:
    """Weather."""
    return "Sunny"


agent = RealtimeAgent[None](name="Assistant", tools=[get_weather])


async def test_a_recorded_turn_with_a_tool_is_replayed(
    data_dir: Path, autojump_clock: MockClock
) -> None:
    path = data_dir / "live_frames" / "openai_tool_call_round.jsonl"
    async with replay_recording(path, agent) as (session, peer):
        assert peer.waiting_for == "conversation.item.create"
        turn = await collect_turn(session, "What is the weather in London?")
        assert turn.assert_called("get_weather", city="London").output == "Sunny"
        turn.assert_said("It is foggy")
        assert turn.usage.responses == 2
        assert peer.remaining == 0
        output = next(
            frame["item"]
            for frame in peer.received
            if frame["type"] == "conversation.item.create"
            and frame["item"]["type"] == "function_call_output"
        )
        assert output["output"] == "Sunny"


async def test_a_recorded_spoken_turn_waits_for_audio(
    data_dir: Path, autojump_clock: MockClock
) -> None:
    path = data_dir / "live_frames" / "openai_server_vad_turn.jsonl"
    async with replay_recording(path, agent) as (session, peer):
        assert peer.waiting_for == "input_audio_buffer.append"
        await session.send_audio(bytes(4800))
        turn = await collect_turn(session)
        turn.assert_completed()
        assert turn.transcript
        assert peer.remaining == 0


async def test_an_answer_waits_for_its_request(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / "silent.jsonl"
    lines = [
        {"direction": "received", "data": {"type": "session.created", "session": {}}},
        {"direction": "sent", "data": {"type": "session.update"}},
        {"direction": "received", "data": {"type": "session.updated", "session": {}}},
        {"direction": "sent", "data": json.dumps({"type": "response.create"})},
        {"direction": "received", "data": {"type": "response.created", "response": {"id": "r"}}},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    async with replay_recording(path, agent) as (session, peer):
        with pytest.raises(AssertionError, match="did not end within 1 s"):
            await collect_turn(session, timeout=1)
        assert (peer.remaining, peer.waiting_for) == (1, "response.create")


@pytest.mark.parametrize(
    "line",
    [
        "not JSON",
        '{"direction": "up", "data": {"type": "x"}}',
        '{"direction": "sent"}',
        '{"direction": "sent", "data": {}}',
        '{"direction": "sent", "data": "no JSON"}',
    ],
)
def test_a_line_that_is_no_frame_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"direction": "sent", "data": {"type": "session.update"}}\n' + line)
    with pytest.raises(errors.ConfigurationError, match=r"bad\.jsonl:2: expected a recorded frame"):
        RecordedPeer(path)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"cannot read .*none\.jsonl"):
        RecordedPeer(tmp_path / "none.jsonl")
