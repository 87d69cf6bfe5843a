"""``send_raw`` and ``extra``: keys and events that the library does not know."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel
from support.hosted_mcp import (
    make_librarian,
    send_approval_request,
    sent_decisions,
    start_turn,
)
from support.service import accept_create, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_note_tool
from support.wire import CREATE, sent_creates, sent_frames, sent_outputs, sent_settings
from trio_realtime import SessionConfig, events
from trio_realtime.errors import ConfigurationError, UsageError
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import NoiseReduction


async def test_raw_events_are_sent_in_order(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.send_message("Hi", respond=False)
        await session.send_raw({"type": "session.avatar.connect", "sdp": "v=0"})
        await session.send_raw({"type": "input_audio_buffer.clear"})
        assert [frame["type"] for frame in await sent_frames(peer)] == [
            "conversation.item.create",
            "session.avatar.connect",
            "input_audio_buffer.clear",
        ]


async def test_a_raw_create_while_a_response_runs_waits(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        peer.begin_response("resp_1")
        await wait_all_tasks_blocked()
        await session.send_raw({"type": "response.create", "response": {"seed": 7}})
        await peer.expect_nothing()
        peer.end_response("resp_1")
        create = await peer.expect(CREATE)
        assert create["response"]["seed"] == 7


async def test_raw_audio_counts_as_audio_and_is_muted(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    audio = base64.b64encode(bytes(480)).decode()
    event = {"type": "input_audio_buffer.append", "audio": audio, "channel": 1}
    async with open_test_session(peer) as session:
        session.mute(True)
        await session.send_raw(event)
        session.mute(False)
        await session.send_raw(event)
        await wait_all_tasks_blocked()
        assert peer.received[1:] == [event]


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({}, "'type'"),
        (cast("Any", ["x"]), "must be a mapping"),
        ({"type": "x", "y": object()}, "object"),
        (
            {
                "type": "response.create",
                "response": {"metadata": dict.fromkeys("abcdefghijklmnop", "")},
            },
            "at most 16 pairs",
        ),
        ({"type": "response.create", "response": {"metadata": {"a": 5}}}, "expected a str"),
    ],
)
async def test_an_event_that_cannot_be_sent_is_refused(
    event: dict[str, Any], problem: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        with pytest.raises(UsageError, match=problem):
            await session.send_raw(event)
        await peer.expect_nothing()


async def test_a_tool_that_was_answered_by_hand_ends_with_its_event(
    autojump_clock: MockClock,
) -> None:
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        peer.begin_response("resp_1")
        item = {
            "id": "item_1",
            "type": "function_call",
            "status": "completed",
            "name": "note",
            "call_id": "call_1",
            "arguments": '{"text": "hello"}',
        }
        peer.close_item("resp_1", item)
        await wait_all_tasks_blocked()
        output = {"type": "function_call_output", "call_id": "call_1", "output": "by hand"}
        await session.send_raw({"type": "conversation.item.create", "item": output})
        await session.approve_tool_call("call_1")
        await wait_all_tasks_blocked()
        frames = [f for f in await sent_frames(peer) if f["type"] != CREATE]
        assert [frame["item"]["output"] for frame in frames] == ["by hand"]
        ends = [e for e in drain_channel(session.events) if isinstance(e, events.ToolEnd)]
        assert [end.outcome for end in ends] == ["completed"]
    assert runs == ["hello"]


async def test_call_is_not_answered_by_hand_after_its_tool(autojump_clock: MockClock) -> None:
    """The tool may end while ``send_raw`` waits for space."""
    note, _ = make_note_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", '{"text": "hello"}')
        output = {"type": "function_call_output", "call_id": "call_1", "output": "by hand"}
        with pytest.raises(UsageError, match="call 'call_1' was answered already"):
            await session.send_raw({"type": "conversation.item.create", "item": output})
        assert len(sent_outputs(peer)) == 1


async def test_hosted_call_is_not_decided_by_hand_after_its_decision(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=make_librarian()) as session:
        await start_turn(peer, session)
        send_approval_request(peer)
        await wait_all_tasks_blocked()
        await session.approve_tool_call("ask_1")
        await wait_all_tasks_blocked()
        answer = {"type": "mcp_approval_response", "approval_request_id": "ask_1", "approve": False}
        with pytest.raises(UsageError, match="call 'ask_1' was answered already"):
            await session.send_raw({"type": "conversation.item.create", "item": answer})
        assert len(await sent_decisions(peer)) == 1


# --- extra ----------------------------------------------------------------------------------------


async def test_extra_settings_are_merged_and_an_echo_without_them_is_no_refusal(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    extra = {"temperature": 0.7, "audio": {"output": {"style": "calm"}}}
    noise = NoiseReduction(type="far_field", strength=0.5)
    async with open_test_session(
        peer, extra=extra, voice="marin", noise_reduction=noise
    ) as session:
        (first,) = sent_settings(peer)
        assert first["temperature"] == 0.7
        assert first["audio"]["output"]["style"] == "calm"
        assert first["audio"]["output"]["voice"] == "marin"
        assert first["audio"]["input"]["noise_reduction"] == {"type": "far_field", "strength": 0.5}

        effective = await session.update_settings(extra={"temperature": 0.8})
        assert sent_settings(peer)[-1] == {"type": "realtime", "temperature": 0.8}
        assert not effective.extra


async def test_extra_keys_of_a_response(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer) as session:
        await session.create_response(instructions="x", extra={"audio": {"output": {"pitch": 2}}})
        await accept_create(peer, "resp_1")
        (create,) = sent_creates(peer)
        assert create["response"]["audio"] == {"output": {"pitch": 2}}
        with pytest.raises(UsageError, match="extra must be"):
            await session.create_response(extra={"x": object()})
        for key, value in {"conversation": "none", "metadata": None}.items():
            with pytest.raises(UsageError, match=f"use the argument {key}"):
                await session.create_response(extra={key: value})


@pytest.mark.parametrize("extra", [5, [("a", 1)], {"x": object()}])
def test_extra_settings_must_be_json(extra: Any) -> None:
    with pytest.raises(ConfigurationError, match="extra must be"):
        SessionConfig(extra=extra)


def test_extra_settings_are_copied() -> None:
    extra = {"a": {"b": 1}}
    config = SessionConfig(extra=extra)
    extra["a"]["b"] = 2
    assert config.extra == {"a": {"b": 1}}
