"""The settings of agents, and switching from one agent to another."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_events
from support.hosted_mcp import make_librarian
from support.service import reject_next_update, send_call_and_wait
from support.sessions import open_test_session
from support.tools import wait
from support.wire import last_settings_update, sent_settings
from trio_realtime import (
    PCMU,
    AgentContext,
    Endpoint,
    RealtimeAgent,
    ServerVad,
    SessionConfig,
    errors,
    events,
    function_tool,
    handoff,
    open_realtime_session,
)
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer

# --- the first settings ------------------------------------------------------------------------


@function_tool
async def refund() -> str:
    return "refunded"


BILLING = RealtimeAgent[None](name="Billing Team", instructions="Bill.", tools=[refund])


def triage_agent(*handoffs: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Triage", instructions="Ask.", handoffs=handoffs or (BILLING,))


async def test_handoffs_are_declared_as_functions(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=triage_agent(BILLING, handoff(BILLING, name="to_billing"))
    ):
        offered = last_settings_update(peer)["session"]["tools"]
    assert [tool["name"] for tool in offered] == ["transfer_to_billing_team", "to_billing"]
    assert offered[0]["parameters"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("endpoint", "formats"),
    [
        (TEST_ENDPOINT, [{"type": "audio/pcmu"}, {"type": "audio/pcm", "rate": 24000}]),
        (TEST_ENDPOINT.attach("rtc_1"), [None, None]),
    ],
    ids=["own audio", "call"],
)
async def test_audio_formats_are_sent_except_to_a_call(
    endpoint: Endpoint, formats: list[object], autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    config = SessionConfig(input_format=PCMU, turn_detection=ServerVad(), voice="ash")
    async with open_realtime_session(
        BILLING, endpoint=endpoint, transport=peer.connect, config=config
    ):
        audio = last_settings_update(peer)["session"]["audio"]
    assert [audio[side].get("format") for side in ("input", "output")] == formats
    assert audio["input"]["turn_detection"] == {"type": "server_vad"}
    assert audio["output"]["voice"] == "ash"


async def test_instructions_may_be_a_function(autojump_clock: MockClock) -> None:
    async def write(about: AgentContext[str]) -> str:
        return f"Speak with {about.context} as {about.agent.name}."

    agent = RealtimeAgent[str](name="A", instructions=write)
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent, context="Bo", endpoint=TEST_ENDPOINT, transport=peer.connect
    ):
        assert last_settings_update(peer)["session"]["instructions"] == "Speak with Bo as A."


async def test_url_of_a_hosted_server_stays_out_of_settings_events(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=make_librarian(url="https://example.com/mcp?key=very-secret")
    ) as session:
        assert "very-secret" not in repr(await session.update_settings(speed=1.2))
        assert "very-secret" not in repr(drain_events(session.events, events.SettingsUpdated))


# --- update_agent ------------------------------------------------------------------------------


@function_tool
async def one() -> str:
    return "1"


FIRST = RealtimeAgent[None](name="First", instructions="Be first.", tools=[one])

SECOND = RealtimeAgent[None](name="Second", instructions="Be second.", voice="marin")


async def test_update_agent_sends_instructions_tools_and_voice(
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
        assert sent_settings(peer)[-1] == {
            "type": "realtime",
            "instructions": "Be second.",
            "tools": [],
            "audio": {"output": {"voice": "marin"}},
        }
        await session.update_agent(FIRST)
        assert "audio" not in sent_settings(peer)[-1], "formats and other settings do not change"


async def test_update_agent_does_not_change_a_configured_voice(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST, voice="echo") as session:
        await session.update_agent(SECOND)
        assert "audio" not in sent_settings(peer)[-1]


async def test_rejected_agent_leaves_the_current_one(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reject_next_update, peer)
            with pytest.raises(errors.SettingsRejected):
                await session.update_agent(SECOND)
        assert session.current_agent is FIRST


async def test_response_started_before_the_switch_belongs_to_the_earlier_agent(
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


@pytest.mark.parametrize("by_the_model", [True, False])
async def test_agent_without_tools_removes_the_tools_of_the_earlier_agent(
    by_the_model: bool, autojump_clock: MockClock
) -> None:
    plain = RealtimeAgent[None](name="Plain", instructions="Just talk.")
    agent = RealtimeAgent[None](name="A", tools=[wait], handoffs=[plain])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        if by_the_model:
            await send_call_and_wait(peer, "transfer_to_plain")
        else:
            await session.update_agent(plain)
        assert session.current_agent is plain
    assert sent_settings(peer)[-1]["tools"] == []


async def test_only_changed_settings_are_sent(autojump_clock: MockClock) -> None:
    """Services reject an unchanged voice once they have spoken with it."""
    peer = ScriptedPeer()
    first = RealtimeAgent[None](name="A", instructions="One.", voice="marin", tools=[wait])
    second = RealtimeAgent[None](name="B", instructions="Two.", voice="marin", tools=[wait])
    async with open_test_session(peer, agent=first) as session:
        await session.update_settings(max_output_tokens=100)
        await session.update_agent(second)
    beginning, change, takeover = sent_settings(peer)
    assert beginning["audio"]["output"]["voice"] == "marin"
    assert "speed" not in beginning["audio"]["output"]
    assert "noise_reduction" not in beginning["audio"].get("input", {})
    assert change == {"type": "realtime", "max_output_tokens": 100}
    assert takeover == {"type": "realtime", "instructions": "Two."}


# --- prompts -----------------------------------------------------------------------------------

ignore_end_of_prompts = pytest.mark.filterwarnings(
    "ignore:the API of stored prompts:trio_realtime.ModelEndDateWarning"
)

PLAIN = RealtimeAgent[None](name="Plain")
PROMPT = {"id": "pmpt_1", "version": "2", "variables": {"city": "Oslo"}}
PROMPTED = RealtimeAgent[None](name="Prompted", prompt=PROMPT)


def sent_prompts(peer: ScriptedPeer) -> list[Any]:
    """Return the prompt of each update of the settings; ``"-"`` where it is not named."""
    return [settings.get("prompt", "-") for settings in sent_settings(peer)]


@ignore_end_of_prompts
async def test_prompt_of_an_agent_ends_with_the_agent(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=PROMPTED) as session:
        await session.update_agent(PLAIN)
        await session.update_agent(FIRST)
        await session.update_agent(PROMPTED)
        await session.update_agent(PROMPTED)
    assert sent_prompts(peer) == [PROMPT, None, "-", PROMPT]


async def test_agents_without_prompts_send_none(autojump_clock: MockClock) -> None:
    """The service may be another one, which knows no prompts."""
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        await session.update_agent(SECOND)
    assert sent_prompts(peer) == ["-", "-"]


@ignore_end_of_prompts
async def test_prompt_of_an_agent_replaces_that_of_the_configuration(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST, prompt={"id": "pmpt_all"}) as session:
        await session.update_agent(SECOND)
        await session.update_agent(PROMPTED)
        await session.update_agent(FIRST)
    assert sent_prompts(peer) == [{"id": "pmpt_all"}, "-", PROMPT, {"id": "pmpt_all"}]


@ignore_end_of_prompts
async def test_prompt_is_cleared_after_a_switch_whose_answer_nobody_awaited(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=FIRST) as session:
        peer.acknowledge = False
        with trio.move_on_after(1):
            await session.update_agent(PROMPTED)
        peer.acknowledge = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update_agent, SECOND)
            await wait_all_tasks_blocked()
            peer.send({"type": "session.updated", "session": peer.session})
    assert sent_prompts(peer) == ["-", PROMPT, None]


@ignore_end_of_prompts
async def test_prompt_may_be_a_function(autojump_clock: MockClock) -> None:
    async def choose(about: AgentContext[str]) -> dict[str, Any] | None:
        return {"id": "pmpt_1", "variables": {"name": about.context}} if about.context else None

    agent = RealtimeAgent[str](name="A", prompt=choose)
    for name, expected in (("Bo", {"id": "pmpt_1", "variables": {"name": "Bo"}}), ("", "-")):
        peer = ScriptedPeer()
        async with open_realtime_session(
            agent, context=name, endpoint=TEST_ENDPOINT, transport=peer.connect
        ):
            assert sent_prompts(peer) == [expected]


@ignore_end_of_prompts
async def test_function_that_returns_no_prompt_is_a_configuration_error(
    autojump_clock: MockClock,
) -> None:
    wrong: Any = "pmpt_1"
    agent = RealtimeAgent[None](name="A", prompt=lambda _about: wrong)
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match="prompt of agent 'A'"):
        async with open_test_session(peer, agent=agent):
            pytest.fail("the block must not run")
    assert peer.received == []
