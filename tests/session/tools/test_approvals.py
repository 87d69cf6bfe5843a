"""Decisions about calls: rejections and their messages, and lasting decisions."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events, next_approval_request
from support.payments import PAYMENTS, make_payment_tool, payment_outputs, send_payment_call
from support.service import accept_create, function_call_item, send_call_and_wait
from support.sessions import open_test_session
from support.tools import make_note_tool
from support.wire import CREATE, ITEM, sent_outputs
from trio_realtime import RealtimeAgent, ToolContext, events, function_tool
from trio_realtime.core.calls.function_calls import REPEATED_OUTPUT
from trio_realtime.errors import UsageError
from trio_realtime.testing import ScriptedPeer

HELLO = '{"text": "hello"}'


# --- rejections --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "output"),
    [("Not today.", "Not today."), (None, "Tool execution was not approved.")],
)
async def test_rejected_call_is_answered_and_followed_by_a_create(
    message: str | None, output: str, autojump_clock: MockClock
) -> None:
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        assert await session.reject_tool_call("call_1", message=message)
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        ended = [event for event in drain_channel(session.events) if event.type.startswith("tool")]
        assert [event.type for event in ended] == ["tool_approval_required", "tool_end"]
        end = ended[-1]
        assert isinstance(end, events.ToolEnd)
        assert (end.outcome, end.output_text) == ("rejected", output)
    assert (runs, sent_outputs(peer)) == ([], [("call_1", output)])


def format_with_names(context: ToolContext[None]) -> str:
    return f"{context.tool_name} is not for {context.agent.name}."


async def format_later(context: ToolContext[None]) -> str:
    await trio.sleep(1)
    return format_with_names(context)


async def output_after_rejection(message: str | None, format_rejection: Any) -> str:
    peer = ScriptedPeer()
    async with open_test_session(
        peer, make_payment_tool(), format_rejection=format_rejection
    ) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        await session.reject_tool_call("call_1", message=message)
        await trio.sleep(2)
        (output,) = payment_outputs(peer)
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, end.output_text) == ("rejected", output)
        return output


@pytest.mark.parametrize("format_rejection", [format_with_names, format_later])
async def test_format_rejection_words_the_message(
    format_rejection: Any, autojump_clock: MockClock
) -> None:
    assert await output_after_rejection(None, format_rejection) == "pay is not for Assistant."


@pytest.mark.parametrize("message", ["Not today.", ""])
@pytest.mark.parametrize("format_rejection", [format_with_names, None])
async def test_message_of_the_rejection_takes_precedence_even_if_empty(
    message: str, format_rejection: Any, autojump_clock: MockClock
) -> None:
    assert await output_after_rejection(message, format_rejection) == message


def raise_lookup_error(_: ToolContext[None]) -> str:
    raise LookupError("no message")


async def raise_later(_: ToolContext[None]) -> str:
    await trio.sleep(1)
    raise LookupError("no message")


async def return_none_later(_: ToolContext[None]) -> Any:
    await trio.sleep(1)


@pytest.mark.parametrize(
    "format_rejection",
    [raise_lookup_error, raise_later, return_none_later, lambda _: None, lambda _: 3],
)
async def test_failing_format_rejection_falls_back_to_the_default_message(
    format_rejection: Any, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert (
        await output_after_rejection(None, format_rejection) == "Tool execution was not approved."
    )
    (record,) = [one for one in caplog.records if one.name == "trio_realtime.tools"]
    assert record.levelname == "ERROR"
    assert record.exc_info is not None


async def test_rejection_message_must_be_a_string(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool()) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        message: Any = ValueError("no")
        with pytest.raises(UsageError, match="must be a str"):
            await session.reject_tool_call("call_1", message=message)
        assert await session.reject_tool_call("call_1", message="No.")
        await wait_all_tasks_blocked()
        assert payment_outputs(peer) == ["No."]


async def format_politely(about: ToolContext[None]) -> str:
    await trio.sleep(1)
    return f"Please no {about.tool_name} ({about.call_id})."


@pytest.mark.parametrize("meanwhile", ["it comes again", "the user interrupts"])
async def test_call_is_answered_once_while_its_rejection_is_formatted(
    meanwhile: str, autojump_clock: MockClock
) -> None:
    """An interruption answers it as cancelled."""
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, note, format_rejection=format_politely) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        await wait_all_tasks_blocked()
        assert await session.reject_tool_call("call_1")
        await trio.sleep(0.5)
        if meanwhile == "it comes again":
            peer.close_item("resp_1", function_call_item("item_1", "call_1", "note", HELLO))
        else:
            await session.interrupt()
        assert not await session.approve_tool_call("call_1")
        await trio.sleep(5)
        ((_, output),) = sent_outputs(peer)
        assert output.startswith("Please no" if meanwhile == "it comes again" else "The call was")
    assert runs == []


async def test_rejected_call_that_is_repeated_never_runs(
    autojump_clock: MockClock,
) -> None:
    note, runs = make_note_tool(needs_approval=True)
    repeat = function_call_item("item_1", "call_1", "note", HELLO)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        peer.close_item("resp_1", repeat)
        assert await session.reject_tool_call("call_1")
        peer.close_item("resp_1", repeat)
        assert not await session.approve_tool_call("call_1")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.close_item("resp_2", repeat)
        peer.end_response("resp_2")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_3")
        peer.end_response("resp_3")
        await peer.expect_nothing()
        assert drain_events(session.events, events.ToolStart) == []
    assert runs == []
    rejection, repeated = sent_outputs(peer)
    assert repeated == ("call_1", REPEATED_OUTPUT) != rejection


# --- lasting decisions -------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [True, False])
async def test_lasting_decision_applies_to_later_calls(
    approved: bool, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool()) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        if approved:
            await session.approve_tool_call("call_1", always=True)
        else:
            await session.reject_tool_call("call_1", always=True, message="Never.")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_2", create)
        peer.call("resp_2", "item_2", "call_2", "pay", '{"amount": 6}')
        peer.end_response("resp_2")
        await peer.expect("conversation.item.create")
        assert payment_outputs(peer) == (["paid 5", "paid 6"] if approved else ["Never.", "Never."])


@pytest.mark.parametrize("approved", [True, False])
async def test_approval_function_is_not_called_after_a_lasting_decision(
    approved: bool, autojump_clock: MockClock
) -> None:
    judged: list[str] = []

    def dear(context: ToolContext[None], _: dict[str, Any]) -> bool:
        judged.append(context.call_id)
        return True

    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool(dear)) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        if approved:
            await session.approve_tool_call("call_1", always=True)
        else:
            await session.reject_tool_call("call_1", always=True)
        send_payment_call(peer, 2)
        await wait_all_tasks_blocked()
        assert judged == ["call_1"]
        assert len(payment_outputs(peer)) == 2


@pytest.mark.parametrize("approved", [True, False])
async def test_lasting_decision_applies_to_a_call_that_is_being_evaluated(
    approved: bool, autojump_clock: MockClock
) -> None:
    async def needs_approval(_: ToolContext[None], arguments: dict[str, Any]) -> bool:
        await trio.sleep(5 if arguments["text"] == "slowly" else 0)
        return True

    note, runs = make_note_tool(needs_approval=needs_approval)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        peer.call("resp_1", "item_2", "call_2", "note", '{"text": "slowly"}')
        peer.end_response("resp_1")
        await trio.sleep(1)
        decide = session.approve_tool_call if approved else session.reject_tool_call
        assert await decide("call_1", always=True)
        await peer.expect(ITEM)
        await peer.expect_nothing()
        await peer.expect(ITEM)
        await peer.expect(CREATE)
        requested = [
            event.call_id for event in drain_events(session.events, events.ToolApprovalRequired)
        ]
    assert requested == ["call_1"]
    assert runs == (["hello", "slowly"] if approved else [])
    assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]


@pytest.mark.parametrize("verdict", [True, False])
async def test_lasting_rejection_overrides_a_pending_approval_function(
    verdict: bool, autojump_clock: MockClock
) -> None:
    async def dear(context: ToolContext[None], _: dict[str, Any]) -> bool:
        await trio.sleep(5 if context.call_id == "call_2" else 0)
        return verdict or context.call_id == "call_1"

    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool(dear)) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        send_payment_call(peer, 2)
        await wait_all_tasks_blocked()
        await session.reject_tool_call("call_1", always=True, message="Never.")
        await trio.sleep(10)
        assert payment_outputs(peer) == ["Never.", "Never."]
        assert not PAYMENTS
        assert not drain_events(session.events, events.ToolApprovalRequired)


async def test_lasting_rejection_overrides_a_function_that_requires_no_approval(
    autojump_clock: MockClock,
) -> None:
    """The decision concerns the tool, not its arguments."""

    def is_dear(_: ToolContext[None], arguments: dict[str, Any]) -> bool:
        return bool(arguments["text"] == "hello")

    note, runs = make_note_tool(needs_approval=is_dear)
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        await send_call_and_wait(peer, "note", HELLO)
        assert await session.reject_tool_call("call_1", always=True, message="Never.")
        await peer.expect(ITEM)
        await accept_create(peer, "resp_2")
        peer.call("resp_2", "item_2", "call_2", "note", '{"text": "cheap"}')
        peer.end_response("resp_2")
        await peer.expect(ITEM)
        await peer.expect(CREATE)
    assert (runs, sent_outputs(peer)) == ([], [("call_1", "Never."), ("call_2", "Never.")])


async def test_lasting_approval_does_not_apply_to_another_agents_tool_of_that_name(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    first = RealtimeAgent[None](name="First", tools=[make_payment_tool()])
    second = RealtimeAgent[None](name="Second", tools=[make_payment_tool()])
    async with open_test_session(peer, agent=first) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        await session.approve_tool_call("call_1", always=True)
        await session.update_agent(second)
        send_payment_call(peer, 2)
        assert (await next_approval_request(session)).call_id == "call_2"
        assert PAYMENTS == ["paid 5"]


async def test_lasting_approval_applies_to_tools_with_the_same_approval_key(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    first = RealtimeAgent[None](
        name="First", tools=[attrs.evolve(make_payment_tool(), approval_key="pay")]
    )
    second = RealtimeAgent[None](
        name="Second", tools=[attrs.evolve(make_payment_tool(), approval_key="pay")]
    )
    async with open_test_session(peer, agent=first) as session:
        send_payment_call(peer, 1)
        await next_approval_request(session)
        await session.approve_tool_call("call_1", always=True)
        await session.update_agent(second)
        send_payment_call(peer, 2)
        await wait_all_tasks_blocked()
        assert PAYMENTS == ["paid 5", "paid 5"]


@pytest.mark.parametrize("approved", [True, False])
async def test_lasting_decision_applies_to_calls_that_wait_already(
    approved: bool, autojump_clock: MockClock
) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool()) as session:
        for number in (1, 2, 3):
            send_payment_call(peer, number)
        for _ in range(3):
            await next_approval_request(session)
        assert await session.reject_tool_call("call_3", message="Not this one.")
        if approved:
            assert await session.approve_tool_call("call_1", always=True)
        else:
            assert await session.reject_tool_call("call_1", always=True, message="Never.")
        await wait_all_tasks_blocked()
        assert not await session.approve_tool_call("call_2")
        others = ["paid 5"] * 2 if approved else ["Never."] * 2
        assert sorted(payment_outputs(peer)) == sorted(["Not this one.", *others])


async def test_lasting_decision_leaves_waiting_calls_of_other_tools_alone(
    autojump_clock: MockClock,
) -> None:
    note, runs = make_note_tool(needs_approval=True)
    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool(), note) as session:
        send_payment_call(peer, 1)
        peer.begin_response("resp_2")
        peer.call("resp_2", "item_2", "call_2", "note", HELLO)
        peer.end_response("resp_2")
        for _ in range(2):
            await next_approval_request(session)
        await session.approve_tool_call("call_1", always=True)
        await wait_all_tasks_blocked()
        assert (runs, PAYMENTS) == ([], ["paid 5"])
        assert await session.approve_tool_call("call_2")


# --- the time limit ----------------------------------------------------------------------------


async def test_call_without_a_decision_in_time_is_rejected(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_test_session(peer, make_payment_tool(), approval_timeout=30.0) as session:
        send_payment_call(peer, 1)
        await trio.sleep(29)
        assert payment_outputs(peer) == []
        await trio.sleep(2)
        assert payment_outputs(peer) == ["Nobody approved this call within 30 seconds."]
        assert not await session.approve_tool_call("call_1")
        (end,) = drain_events(session.events, events.ToolEnd)
        assert (end.outcome, PAYMENTS) == ("rejected", [])


async def test_decision_in_time_stops_the_time_limit(autojump_clock: MockClock) -> None:
    """What the tool does afterwards is not limited by it."""
    note, runs = make_note_tool(needs_approval=True)

    @function_tool(needs_approval=True)
    async def dawdle() -> str:
        await trio.sleep(60)
        return "at last"

    peer = ScriptedPeer()
    async with open_test_session(peer, note, dawdle, approval_timeout=30.0) as session:
        await send_call_and_wait(peer, "dawdle")
        await trio.sleep(29)
        assert await session.approve_tool_call("call_1")
        await trio.sleep(61)
        assert (runs, sent_outputs(peer)) == ([], [("call_1", "at last")])
