"""One agent hands the conversation to another: what goes over the wire, and what does not happen."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
import trio
from trio.testing import MockClock

from support.failures import UNUSUAL_EXCEPTIONS
from support.sessions import open_test_session
from support.wire import sent_outputs
from trio_realtime import (
    PCMU,
    AgentContext,
    RealtimeAgent,
    errors,
    events,
    function_tool,
    handoff,
    open_realtime_session,
)
from trio_realtime.agents import AgentHandoff
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer


@function_tool
async def refund() -> str:
    return "refunded"


BILLING = RealtimeAgent[None](name="Billing Desk", instructions="Bill.", tools=[refund])


def triage(*handoffs: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="Triage", instructions="Ask.", handoffs=handoffs or (BILLING,))


def hand_over(peer: ScriptedPeer, name: str, arguments: str = "{}", number: int = 1) -> None:
    peer.begin_response(f"resp_{number}")
    peer.call(f"resp_{number}", f"item_{number}", f"call_{number}", name, arguments)
    peer.end_response(f"resp_{number}")


def last_update(peer: ScriptedPeer) -> dict[str, Any]:
    found: dict[str, Any] = [f for f in peer.received if f["type"] == "session.update"][-1]
    return found


async def test_the_model_is_offered_agents_as_functions(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=triage(BILLING, handoff(BILLING, name="to_billing"))):
        offered = last_update(peer)["session"]["tools"]
    assert [tool["name"] for tool in offered] == ["transfer_to_billing_desk", "to_billing"]
    assert offered[0]["parameters"]["additionalProperties"] is False


async def test_the_settings_of_the_next_agent_go_strictly_before_the_answer(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=triage(), output_format=PCMU, voice="echo") as session:
        peer.acknowledge = False
        with session.subscribe(events.Handoff) as handoffs:
            hand_over(peer, "transfer_to_billing_desk")
            await trio.sleep(1)
            assert peer.sent_types()[-1] == "session.update", "no answer before it holds"
            peer.send({"type": "session.updated", "session": peer.session})
            answer = await peer.expect("conversation.item.create")
            await peer.expect("response.create")
            event = await handoffs.receive()
        assert isinstance(event, events.Handoff)
        assert event.to_agent is BILLING
        assert session.current_agent is BILLING
    assert msgspec.json.decode(answer["item"]["output"]) == {"assistant": "Billing Desk"}
    change = last_update(peer)["session"]
    assert change["instructions"] == "Bill."
    assert [tool["name"] for tool in change["tools"]] == ["refund"]
    assert "audio" not in change, "formats and the configured voice survive"


async def test_a_refused_handoff_leaves_everything_as_it_was(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    agent = triage()
    async with open_test_session(peer, agent=agent) as session:
        peer.acknowledge = False
        with session.subscribe(events.Handoff) as handoffs:
            hand_over(peer, "transfer_to_billing_desk")
            await trio.sleep(1)
            peer.reject(last_update(peer), "invalid_value", "not these tools")
            answer = await peer.expect("conversation.item.create")
            assert "not these tools" in answer["item"]["output"]
            with pytest.raises(trio.WouldBlock):
                handoffs.receive_nowait()
        assert session.current_agent is agent


@attrs.frozen
class Reason:
    why: str
    urgent: bool = False


async def test_on_handoff_gets_the_typed_input(autojump_clock: MockClock) -> None:
    seen: list[Any] = []

    async def note(context: AgentContext[None], reason: Reason) -> None:
        seen.append((context.agent.name, reason))

    peer = ScriptedPeer()
    agent = triage(handoff(BILLING, on_handoff=note, input_type=Reason))
    async with open_test_session(peer, agent=agent):
        offered = last_update(peer)["session"]["tools"][0]["parameters"]
        assert offered["required"] == ["why"]
        hand_over(peer, "transfer_to_billing_desk", '{"why": "money", "urgent": true}')
        await peer.expect("conversation.item.create")
    assert seen == [("Triage", Reason("money", urgent=True))]


@pytest.mark.parametrize("arguments", ["{}", '{"why": 5}', "nonsense"])
async def test_input_that_does_not_fit_hands_over_to_nobody(
    arguments: str, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    agent = triage(handoff(BILLING, on_handoff=lambda _context, _reason: None, input_type=Reason))
    async with open_test_session(peer, agent=agent) as session:
        hand_over(peer, "transfer_to_billing_desk", arguments)
        answer = await peer.expect("conversation.item.create")
        assert "Invalid arguments" in answer["item"]["output"]
        assert session.current_agent is agent


async def test_what_on_handoff_raises_means_that_there_is_no_handoff(
    autojump_clock: MockClock,
) -> None:
    def refuse(_context: AgentContext[None]) -> None:
        raise LookupError("nobody is there")

    peer = ScriptedPeer()
    agent = triage(handoff(BILLING, on_handoff=refuse))
    async with open_test_session(peer, agent=agent) as session:
        hand_over(peer, "transfer_to_billing_desk")
        answer = await peer.expect("conversation.item.create")
        assert "nobody is there" in answer["item"]["output"]
        assert session.current_agent is agent


async def test_sibling_calls_of_the_response_are_still_the_agent_befores(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def refund() -> str:
        return "triage does not refund"

    agent = RealtimeAgent[None](name="Triage", tools=[refund], handoffs=[BILLING])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent):
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "transfer_to_billing_desk")
        await peer.expect("conversation.item.create")
        peer.call("resp_1", "item_2", "call_2", "refund")
        peer.end_response("resp_1")
        answer = await peer.expect("conversation.item.create")
    assert answer["item"]["output"] == "triage does not refund"


async def test_agents_can_hand_over_to_each_other(autojump_clock: MockClock) -> None:
    first = RealtimeAgent[None](name="First", handoffs=lambda: [second])
    second = RealtimeAgent[None](name="Second", handoffs=lambda: [first])
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=first) as session:
        hand_over(peer, "transfer_to_second")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        assert session.current_agent is second
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "transfer_to_first")
        peer.end_response("resp_2")
        await peer.expect("conversation.item.create")
        assert session.current_agent is first


async def test_disabled_offers_are_not_made_and_not_taken(autojump_clock: MockClock) -> None:
    enabled = {"refund": True}

    @function_tool(is_enabled=lambda _context: enabled["refund"])
    async def refund() -> str:
        return "refunded"

    async def never(_context: AgentContext[None]) -> bool:
        return False

    agent = RealtimeAgent[None](
        name="A", tools=[refund], handoffs=[handoff(BILLING, is_enabled=never)]
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, agent=agent) as session:
        assert [tool["name"] for tool in last_update(peer)["session"]["tools"]] == ["refund"]
        enabled["refund"] = False
        hand_over(peer, "refund")
        assert (await peer.expect("conversation.item.create"))["item"]["output"] == (
            "Tool refund not found."
        )
        create = await peer.expect("response.create")
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "transfer_to_billing_desk")
        peer.end_response("resp_2")
        await peer.expect("conversation.item.create")
        assert session.current_agent is agent


async def test_instructions_may_be_asked_for(autojump_clock: MockClock) -> None:
    async def write(about: AgentContext[str]) -> str:
        return f"Speak with {about.context} as {about.agent.name}."

    agent = RealtimeAgent[str](name="A", instructions=write)
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent, context="Bo", endpoint=TEST_ENDPOINT, transport=peer.connect
    ):
        assert last_update(peer)["session"]["instructions"] == "Speak with Bo as A."


async def test_an_interrupt_stops_a_handoff_whose_agent_is_still_being_described(
    autojump_clock: MockClock,
) -> None:
    async def slow(_about: AgentContext[None]) -> str:
        await trio.sleep(5)
        return "Bill."

    peer = ScriptedPeer()
    agent = triage(RealtimeAgent[None](name="Slow", instructions=slow))
    async with open_test_session(peer, agent=agent) as session:
        hand_over(peer, "transfer_to_slow")
        await trio.sleep(1)
        await session.interrupt()
        await trio.sleep(10)
        assert session.current_agent is agent
        assert len([f for f in peer.received if f["type"] == "session.update"]) == 1
        ((_, output),) = sent_outputs(peer)
        assert "cancelled" in output


async def test_names_that_clash_are_refused_before_anything_is_dialled() -> None:
    agent = RealtimeAgent[None](name="A", handoffs=[BILLING, BILLING])
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match="transfer_to_billing_desk"):
        async with open_realtime_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect):
            raise AssertionError("it opened")
    assert not peer.connections


async def test_names_that_clash_in_an_agent_further_on_are_refused_as_early() -> None:
    """The session would begin well, and its third agent could not take over."""
    clash = handoff(BILLING, name="refund")
    third = RealtimeAgent[None](name="Third", tools=[refund], handoffs=[clash])
    second = RealtimeAgent[None](name="Second", handoffs=lambda: [first, third])
    first = RealtimeAgent[None](name="First", handoffs=[second])
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match=r"'Third' has more than one .* refund"):
        async with open_realtime_session(first, endpoint=TEST_ENDPOINT, transport=peer.connect):
            raise AssertionError("it opened")
    assert not peer.connections


async def test_agents_that_are_made_anew_each_time_do_not_keep_a_session_from_beginning(
    autojump_clock: MockClock,
) -> None:
    def another() -> RealtimeAgent[None]:
        return RealtimeAgent(name="Another", handoffs=lambda: [another()])

    async with open_test_session(ScriptedPeer(), agent=another()):
        pass


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"on_handoff": lambda: None}, "1 argument"),
        ({"on_handoff": lambda _c: None, "input_type": Reason}, "2 arguments"),
        ({"input_type": Reason}, "requires an on_handoff"),
    ],
)
def test_a_handoff_that_cannot_work_is_refused(arguments: dict[str, Any], wrong: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=wrong):
        handoff(BILLING, **arguments)


@pytest.mark.parametrize("failure", UNUSUAL_EXCEPTIONS.values(), ids=UNUSUAL_EXCEPTIONS)
async def test_whatever_on_handoff_raises_there_is_no_handoff_and_the_model_is_told(
    failure: BaseException, autojump_clock: MockClock
) -> None:
    def refuse(_about: AgentContext[None]) -> None:
        raise failure

    peer = ScriptedPeer()
    agent = triage(handoff(BILLING, name="transfer", on_handoff=refuse))
    async with open_test_session(peer, agent=agent) as session:
        hand_over(peer, "transfer")
        await trio.sleep(1)
        ((_, output),) = sent_outputs(peer)
        assert output.startswith(f"The handoff failed: {type(failure).__name__}")
        assert session.current_agent is agent


async def take(_context: Any, _given: Any) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ({"name": "to the desk!"}, "letters"),
        ({"name": "x" * 65}, "64"),
        ({"on_handoff": take, "input_type": int}, "must be an object"),
        ({"on_handoff": take, "input_type": list[str]}, "must be an object"),
        ({"on_handoff": take, "input_type": Any}, "must be an object"),
        ({"on_handoff": take, "input_type": type[int]}, "no JSON"),
        ({"on_handoff": max}, "1 argument"),
    ],
)
def test_a_handoff_that_the_service_would_refuse_is_refused_when_it_is_made(
    arguments: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(errors.ConfigurationError, match=wrong):
        handoff(BILLING, **arguments)


def test_only_an_agent_takes_over() -> None:
    desk: Any = "Billing Desk"
    with pytest.raises(errors.ConfigurationError, match="expected a RealtimeAgent"):
        handoff(desk)
    nobody: Any = None
    with pytest.raises(errors.ConfigurationError, match="expected a RealtimeAgent"):
        AgentHandoff(agent=nobody, name="transfer", description="")


def test_an_agents_long_name_is_cut_to_what_the_service_takes() -> None:
    long = handoff(RealtimeAgent[None](name="returns and refunds, " * 3))
    assert long.name == "transfer_to_returns_and_refunds_returns_and_refunds_returns_and"
    assert len(long.name) <= 64


async def test_something_else_is_no_handoff() -> None:
    agent = RealtimeAgent[None](name="A", handoffs=["Billing"])
    peer = ScriptedPeer()
    with pytest.raises(errors.ConfigurationError, match="no agent and no handoff"):
        async with open_realtime_session(agent, endpoint=TEST_ENDPOINT, transport=peer.connect):
            raise AssertionError("it opened")
