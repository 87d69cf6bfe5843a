"""Changing settings and agents while a session runs: what is sent, when it holds, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.sessions import open_test_session
from trio_realtime import (
    PCMU,
    RealtimeAgent,
    ServerVad,
    SessionConfig,
    errors,
    events,
    function_tool,
)
from trio_realtime.testing import ScriptedPeer
from trio_realtime.wire import FunctionToolSpec


@function_tool
async def one() -> str:
    return "1"


FIRST = RealtimeAgent[None](name="First", instructions="Be first.", tools=[one])
SECOND = RealtimeAgent[None](name="Second", instructions="Be second.", voice="marin")


def updates(peer: ScriptedPeer) -> list[dict[str, Any]]:
    return [frame["session"] for frame in peer.received if frame["type"] == "session.update"]


async def test_only_what_differs_is_sent_and_the_call_returns_when_it_holds(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST, voice="alloy") as session:
        effective = await session.update_settings(voice="alloy", speed=1.2)
        assert updates(peer)[1:] == [{"type": "realtime", "audio": {"output": {"speed": 1.2}}}]
        assert effective.audio
        await session.update_settings(speed=1.2)
        assert len(updates(peer)) == 2, "what holds already is not sent again"
        await session.update_settings(turn_detection=None)
        assert updates(peer)[-1]["audio"] == {"input": {"turn_detection": None}}


async def test_a_refused_setting_raises_at_the_call_and_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_refuse_next, peer)
            with pytest.raises(errors.SettingsRejected, match="no such voice") as caught:
                await session.update_settings(voice="nobody")
        assert caught.value.code == "invalid_value"
        peer.acknowledge = True
        await session.update_settings(speed=1.1)
        assert updates(peer)[-1]["audio"] == {"output": {"speed": 1.1}}


async def _refuse_next(peer: ScriptedPeer) -> None:
    await wait_all_tasks_blocked()
    frame = [f for f in peer.received if f["type"] == "session.update"][-1]
    peer.reject(frame, "invalid_value", "no such voice")


async def test_updates_go_one_at_a_time_and_each_caller_gets_its_own_answer(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        outcomes: dict[str, str] = {}

        async def change(name: str, **changes: Any) -> None:
            try:
                await session.update_settings(**changes)
            except errors.SettingsRejected:
                outcomes[name] = "refused"
            else:
                outcomes[name] = "accepted"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: change("voice", voice="nobody"))
            await trio.sleep(0.1)
            nursery.start_soon(lambda: change("speed", speed=0.9))
            await trio.sleep(0.1)
            assert len(updates(peer)) == 2, "the second waits for the answer to the first"
            frame = [f for f in peer.received if f["type"] == "session.update"][-1]
            peer.reject(frame, "invalid_value")
            await trio.sleep(0.1)
            assert len(updates(peer)) == 3
            peer.send({"type": "session.updated", "session": peer.session})
        assert outcomes == {"voice": "refused", "speed": "accepted"}


@pytest.mark.parametrize("changes", [{"speed": 9}, {"output_modalities": ("audio", "text")}])
async def test_what_cannot_be_is_refused_before_anything_is_sent(
    changes: dict[str, Any], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        with pytest.raises(errors.UsageError):
            await session.update_settings(**changes)
        with pytest.raises(errors.UsageError, match="nonsense"):
            await session.update_settings(nonsense=1)  # type: ignore[call-arg]
        assert len(updates(peer)) == 1


async def test_another_agent_takes_over_with_its_own_words_tools_and_voice(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    settings = {"output_format": PCMU, "turn_detection": ServerVad(threshold=0.4)}
    async with open_test_session(peer, agent=FIRST, **settings) as session:
        with session.subscribe(events.Handoff) as handoffs:
            await session.update_agent(SECOND)
            event = await handoffs.receive()
        assert isinstance(event, events.Handoff)
        assert (event.from_agent, event.to_agent) == (FIRST, SECOND)
        assert session.current_agent is SECOND
        assert updates(peer)[-1] == {
            "type": "realtime",
            "instructions": "Be second.",
            "tools": [],
            "audio": {"output": {"voice": "marin"}},
        }
        await session.update_agent(FIRST)
        assert "audio" not in updates(peer)[-1], "formats and the rest stay as they are"


async def test_the_configured_voice_is_no_agents_to_change(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST, voice="echo") as session:
        await session.update_agent(SECOND)
        assert "audio" not in updates(peer)[-1]


async def test_a_refused_agent_leaves_the_one_before(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_refuse_next, peer)
            with pytest.raises(errors.SettingsRejected):
                await session.update_agent(SECOND)
        assert session.current_agent is FIRST


async def test_a_response_that_began_before_belongs_to_the_agent_before(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        with session.subscribe(events.AgentStart, events.Handoff, events.ToolStart) as channel:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.update_agent, SECOND)
                await trio.sleep(0.1)
                peer.begin_response("resp_1")
                peer.send({"type": "session.updated", "session": peer.session})
            peer.call("resp_1", "item_1", "call_1", "one")
            await wait_all_tasks_blocked()
            peer.end_response("resp_1")
            peer.begin_response("resp_2")
            peer.end_response("resp_2")
            peer.begin_response("resp_3")
            started = await channel.receive()
            assert isinstance(started, events.AgentStart)
            assert started.agent is FIRST
            assert isinstance(await channel.receive(), events.Handoff)
            tool = await channel.receive()
            assert isinstance(tool, events.ToolStart)
            assert tool.agent is FIRST
            later = await channel.receive()
            assert isinstance(later, events.AgentStart)
            assert later.agent is SECOND


async def test_muted_audio_is_dropped(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        session.mute(True)
        assert session.is_muted
        await session.send_audio(bytes(480))
        session.mute(False)
        await session.send_audio(bytes(960))
        await wait_all_tasks_blocked()
    sizes = [len(f["audio"]) for f in peer.received if f["type"] == "input_audio_buffer.append"]
    assert sizes == [960 * 4 // 3]


def test_the_first_settings_name_the_tools_even_if_there_are_none() -> None:
    settings = SessionConfig().session_settings(instructions="", tools=())
    assert settings.tools == ()
    assert settings.instructions == ""
    with_tool = SessionConfig().session_settings(
        instructions="x", tools=(FunctionToolSpec(name="one"),), voice="marin"
    )
    assert with_tool.audio
    assert with_tool.audio.output
    assert with_tool.audio.output.voice == "marin"
