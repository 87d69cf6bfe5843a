"""Handoffs: the next agent's settings, the answer to the call, and failures."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.failures import UNUSUAL_EXCEPTIONS, name_in_messages
from support.service import accept_create, function_call_item, send_call, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_note_tool
from support.wire import CREATE, ITEM, last_settings_update, sent_outputs, sent_settings
from trio_realtime import (
    PCMU,
    AgentContext,
    RealtimeAgent,
    events,
    function_tool,
    handoff,
    open_realtime_session,
)
from trio_realtime.core.calls.function_calls import REPEATED_OUTPUT
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.testing import ScriptedPeer


@function_tool
async def refund() -> str:
    return "refunded"


BILLING = RealtimeAgent[None](name="Billing Team", instructions="Bill.", tools=[refund])


def triage_agent(*handoffs: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Triage", instructions="Ask.", handoffs=handoffs or (BILLING,))


# --- settings ----------------------------------------------------------------------------------


HELLO = '{"text": "hello"}'


async def test_settings_are_accepted_before_the_handoff_is_answered(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, agent=triage_agent(), output_format=PCMU, voice="echo"
    ) as session:
        peer.acknowledge = False
        with session.subscribe(events.Handoff) as handoffs:
            send_call(peer, "transfer_to_billing_team")
            await trio.sleep(1)
            assert peer.sent_types()[-1] == "session.update", (
                "no answer before the settings are accepted"
            )
            peer.send({"type": "session.updated", "session": peer.session})
            answer = await peer.expect("conversation.item.create")
            await peer.expect("response.create")
            event = await handoffs.receive()
        assert isinstance(event, events.Handoff)
        assert event.to_agent is BILLING
        assert session.current_agent is BILLING
    assert msgspec.json.decode(answer["item"]["output"]) == {"assistant": "Billing Team"}
    change = last_settings_update(peer)["session"]
    assert change["instructions"] == "Bill."
    assert [tool["name"] for tool in change["tools"]] == ["refund"]
    assert "audio" not in change, "formats and the configured voice do not change"


async def test_handoff_keeps_configured_voice_and_formats(
    autojump_clock: MockClock,
) -> None:
    billing = RealtimeAgent[None](name="Billing", instructions="Bill.", voice="echo")
    agent = RealtimeAgent[None](name="Triage", handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent, voice="marin", output_format=PCMU) as session:
        peer.acknowledge = False
        send_call(peer, "transfer_to_billing")
        await peer.expect_nothing()
        assert peer.sent_types()[-1] == "session.update"
        peer.send({"type": "session.updated", "session": peer.session})
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert session.current_agent is billing
    assert peer.sent_types() == ["session.update", "session.update", ITEM, CREATE]
    first, change = sent_settings(peer)
    assert first["audio"]["output"]["voice"] == "marin"
    assert (change["instructions"], "audio" in change) == ("Bill.", False)
    assert sent_outputs(peer) == [("call_1", '{"assistant":"Billing"}')]


async def test_agents_can_hand_off_to_each_other(autojump_clock: MockClock) -> None:
    first = RealtimeAgent[None](name="First", handoffs=lambda: [second])
    second = RealtimeAgent[None](name="Second", handoffs=lambda: [first])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=first) as session:
        send_call(peer, "transfer_to_second")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        assert session.current_agent is second
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "transfer_to_first")
        peer.end_response("resp_2")
        await peer.expect("conversation.item.create")
        assert session.current_agent is first


async def test_sibling_calls_belong_to_the_earlier_agent(
    autojump_clock: MockClock,
) -> None:
    """Their answers and that of the handoff are followed by one ``response.create``."""
    first, runs = make_note_tool()
    second, others = make_note_tool()
    billing = RealtimeAgent[None](name="Billing", tools=[second])
    agent = RealtimeAgent[None](name="Triage", tools=[first], handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "transfer_to_billing")
        await peer.expect(ITEM)
        assert session.current_agent is billing
        peer.call("resp_1", "item_2", "call_2", "note", HELLO)
        await peer.expect(ITEM)
        await peer.expect_nothing()
        peer.end_response("resp_1")
        await peer.expect(CREATE)
    assert (runs, others) == (["hello"], [])


@pytest.mark.parametrize("accepted", [True, False])
async def test_repeated_handoff_is_carried_out_once(
    accepted: bool, autojump_clock: MockClock
) -> None:
    begun: list[str] = []
    billing = RealtimeAgent[None](name="Billing", instructions="Bill.")

    def note_handoff(about: AgentContext[None]) -> None:
        begun.append(about.agent.name)

    offer = handoff(billing, on_handoff=note_handoff)
    agent = RealtimeAgent[None](name="Triage", handoffs=[offer])
    repeat = function_call_item("item_1", "call_1", "transfer_to_billing")
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        peer.acknowledge = accepted
        send_call(peer, "transfer_to_billing")
        await wait_all_tasks_blocked()
        peer.close_item("resp_1", repeat)
        if not accepted:
            peer.reject(peer.received[-1], "invalid_value")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.close_item("resp_2", repeat)
        peer.end_response("resp_2")
        assert (await peer.expect(ITEM))["item"]["output"] == REPEATED_OUTPUT
        await accept_create(peer, "resp_3")
        peer.end_response("resp_3")
        await peer.expect_nothing()
        assert session.current_agent is (billing if accepted else agent)
    assert (begun, len(sent_settings(peer)), len(sent_outputs(peer))) == (["Triage"], 2, 2)


# --- on_handoff --------------------------------------------------------------------------------


@attrs.frozen
class Reason:
    why: str
    urgent: bool = False


async def test_on_handoff_gets_the_typed_input(autojump_clock: MockClock) -> None:
    seen: list[Any] = []

    async def note(context: AgentContext[None], reason: Reason) -> None:
        seen.append((context.agent.name, reason))

    peer = ScriptedPeer()
    agent = triage_agent(handoff(BILLING, on_handoff=note, input_type=Reason))
    async with open_test_session(peer, agent=agent):
        offered = last_settings_update(peer)["session"]["tools"][0]["parameters"]
        assert offered["required"] == ["why"]
        send_call(peer, "transfer_to_billing_team", '{"why": "money", "urgent": true}')
        await peer.expect("conversation.item.create")
    assert seen == [("Triage", Reason("money", urgent=True))]


@pytest.mark.parametrize("arguments", ["{}", '{"why": 5}', "nonsense"])
async def test_invalid_input_prevents_the_handoff(
    arguments: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    agent = triage_agent(
        handoff(BILLING, on_handoff=lambda _context, _reason: None, input_type=Reason)
    )
    async with open_test_session(peer, agent=agent) as session:
        send_call(peer, "transfer_to_billing_team", arguments)
        answer = await peer.expect("conversation.item.create")
        assert "Invalid arguments" in answer["item"]["output"]
        assert session.current_agent is agent


async def test_failing_on_handoff_prevents_the_handoff_and_is_reported(
    autojump_clock: MockClock,
) -> None:
    def fail(_about: AgentContext[None]) -> None:
        raise LookupError("no target")

    peer = ScriptedPeer()
    other = RealtimeAgent[None](name="Other")
    agent = RealtimeAgent[None](name="A", handoffs=[handoff(other, on_handoff=fail)])
    async with open_test_session(peer, agent=agent) as session:
        await send_call_and_wait(peer, "transfer_to_other")
        await wait_all_tasks_blocked()
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, type(end.error)) == ("failed", LookupError)
        assert "no target" in end.output_text
        assert [output for _, output in sent_outputs(peer)] == [end.output_text]
        assert session.current_agent is agent


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_every_kind_of_exception_of_on_handoff_prevents_the_handoff(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    def fail(_about: AgentContext[None]) -> None:
        raise failure

    peer = ScriptedPeer()
    agent = triage_agent(handoff(BILLING, name="transfer", on_handoff=fail))
    async with open_test_session(peer, agent=agent) as session:
        send_call(peer, "transfer")
        await trio.sleep(1)
        ((_, output),) = sent_outputs(peer)
        assert output.startswith(f"The handoff failed: {name_in_messages(failure)}")
        assert session.current_agent is agent


# --- failures and interruptions ----------------------------------------------------------------


async def test_rejected_settings_prevent_the_handoff(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    agent = triage_agent()
    async with open_test_session(peer, agent=agent) as session:
        peer.acknowledge = False
        with session.subscribe(events.Handoff) as handoffs:
            send_call(peer, "transfer_to_billing_team")
            await trio.sleep(1)
            peer.reject(last_settings_update(peer), "invalid_value", "not these tools")
            answer = await peer.expect("conversation.item.create")
            assert "not these tools" in answer["item"]["output"]
            with pytest.raises(trio.WouldBlock):
                handoffs.receive_nowait()
        assert session.current_agent is agent


async def test_handoff_to_an_invalid_agent_is_answered_and_sends_no_settings(
    autojump_clock: MockClock,
) -> None:
    async def always(_: AgentContext[None]) -> bool:
        return True

    # Tools with conditions are not checked for duplicate names before they are needed.
    note, _ = make_note_tool(is_enabled=always)
    twin, _ = make_note_tool(is_enabled=always)
    broken = RealtimeAgent[None](name="Broken", tools=[note, twin])
    agent = RealtimeAgent[None](name="Triage", handoffs=[broken])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        await send_call_and_wait(peer, "transfer_to_broken")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        assert session.current_agent is agent
        assert not drain_events(session.events, events.Handoff)
    assert len(sent_settings(peer)) == 1
    ((_, output),) = sent_outputs(peer)
    assert "handoff failed" in output
    assert "note" in output


async def test_interrupt_stops_a_handoff_before_its_settings_are_sent(
    autojump_clock: MockClock,
) -> None:
    async def slow(_about: AgentContext[None]) -> str:
        await trio.sleep(5)
        return "Bill."

    peer = ScriptedPeer()
    agent = triage_agent(RealtimeAgent[None](name="Slow", instructions=slow))
    async with open_test_session(peer, agent=agent) as session:
        send_call(peer, "transfer_to_slow")
        await trio.sleep(1)
        await session.interrupt()
        await trio.sleep(10)
        assert session.current_agent is agent
        assert len([f for f in peer.received if f["type"] == "session.update"]) == 1
        ((_, output),) = sent_outputs(peer)
        assert "cancelled" in output


async def test_interrupted_handoff_answer_agrees_with_the_current_agent(
    autojump_clock: MockClock,
) -> None:
    """The settings were already sent when the interruption came."""
    billing = RealtimeAgent[None](name="Billing", instructions="Bill.")
    triage = RealtimeAgent[None](name="Triage", handoffs=[billing])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=triage) as session:
        peer.acknowledge = False
        await send_call_and_wait(peer, "transfer_to_billing")
        with trio.move_on_after(5):
            await session.interrupt()
        await wait_all_tasks_blocked()
        peer.send({"type": "session.updated", "session": peer.session})
        await peer.expect(ITEM)
        await peer.expect_nothing()
        ((_, output),) = sent_outputs(peer)
        assert ("cancelled" in output) == (session.current_agent is triage)


# --- voices that are locked ---------------------------------------------------------------------


@pytest.mark.parametrize("handoffs", [1, 2])
async def test_agents_with_voices_of_their_own_hand_over_after_speech(
    handoffs: int, autojump_clock: MockClock
) -> None:
    """The service changes no voice that was heard: the handoff happens, and the voice stays."""
    sales = RealtimeAgent[None](name="Sales", instructions="Sell.", voice="cedar")
    billing = RealtimeAgent[None](
        name="Billing", instructions="Bill.", voice="marin", tools=[refund], handoffs=[sales]
    )
    triage = RealtimeAgent[None](name="Triage", voice="ash", handoffs=[billing])
    script: list[Say | Call] = [Say("Hello"), Call("transfer_to_billing"), Say("This is billing.")]
    if handoffs == 2:
        script += [Call("transfer_to_sales"), Say("This is sales.")]
    service = local_connector(responder=ScriptedResponder(script))
    async with open_realtime_session(
        triage, endpoint=service.endpoint, transport=service
    ) as session:
        await session.ask("Hi")
        assert (await session.ask("A bill, please.")).text == "This is billing."
        if handoffs == 2:
            assert (await session.ask("I want more.")).text == "This is sales."
        assert session.current_agent is (sales if handoffs == 2 else billing)
        found = drain_channel(session.events)
        warnings = [event for event in found if isinstance(event, events.SessionWarning)]
        assert {(w.code, w.param) for w in warnings} == {("setting_locked", "audio.output.voice")}
        assert len(warnings) == handoffs
        assert [event for event in found if isinstance(event, events.Error)] == []
    (connection,) = service.connections
    effective = [f["session"] for f in connection.sent if f["type"] == "session.updated"][-1]
    assert effective["audio"]["output"]["voice"] == "ash"
    assert effective["instructions"] == ("Sell." if handoffs == 2 else "Bill.")
    rejected = [frame for frame in connection.sent if frame["type"] == "error"]
    assert len(rejected) == 1  # the second handoff knows it


async def test_a_handoff_before_speech_changes_the_voice(autojump_clock: MockClock) -> None:
    billing = RealtimeAgent[None](name="Billing", voice="marin")
    triage = RealtimeAgent[None](name="Triage", voice="ash", handoffs=[billing])
    script: list[Say | Call] = [Call("transfer_to_billing"), Say("This is billing.")]
    service = local_connector(responder=ScriptedResponder(script))
    async with open_realtime_session(
        triage, endpoint=service.endpoint, transport=service
    ) as session:
        await session.ask("A bill, please.")
    (connection,) = service.connections
    effective = [f["session"] for f in connection.sent if f["type"] == "session.updated"][-1]
    assert effective["audio"]["output"]["voice"] == "marin"
