"""What a tool may choose: what an interrupt does to it, how long it may finish, what it answers."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from support.sessions import open_test_session
from trio_realtime import BackgroundResult, ToolContext, errors, events, function_tool
from trio_realtime.testing import ScriptedPeer


def slow(done: list[str], **options: Any) -> Any:
    @function_tool(**options)
    async def book() -> str:
        await trio.sleep(5)
        done.append("booked")
        return "booked"

    return book


def call(peer: ScriptedPeer, name: str = "book") -> None:
    peer.begin_response("resp_1")
    peer.call("resp_1", "item_1", "call_1", name)
    peer.end_response("resp_1")


async def test_a_tool_that_finishes_is_left_alone_and_no_response_follows(
    autojump_clock: MockClock,
) -> None:
    done: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, slow(done, on_interrupt="finish")) as session:
        call(peer)
        await trio.sleep(1)
        peer.start_user_speech()
        await trio.sleep(1)
        assert peer.sent_types() == ["session.update"]
        await session.send_message("and something else")
        await peer.expect("conversation.item.create")
        create = await peer.expect("response.create")
        peer.begin_response("resp_2", create)
        peer.end_response("resp_2")
        answer = await peer.expect("conversation.item.create")
        assert answer["item"]["output"] == "booked"
        await peer.expect_nothing()
    assert done == ["booked"]


async def test_a_tool_in_the_background_is_spoken_of_when_it_is_done(
    autojump_clock: MockClock,
) -> None:
    done: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, slow(done, on_interrupt="background")) as session:
        call(peer)
        await trio.sleep(1)
        await session.interrupt()
        answer = await peer.expect("conversation.item.create")
        assert answer["item"]["output"] == "booked"
        await peer.expect("response.create")


@pytest.mark.parametrize(("finish_timeout", "finishes"), [(10, True), (1, False), (None, False)])
async def test_at_the_end_of_the_session_a_tool_has_the_time_it_asked_for(
    finish_timeout: float | None, finishes: bool, autojump_clock: MockClock
) -> None:
    done: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, slow(done, finish_timeout=finish_timeout)):
        call(peer)
        await trio.sleep(1)
        left = trio.current_time()
    assert trio.current_time() - left <= (finish_timeout or 0) + 1
    assert done == (["booked"] if finishes else [])
    outputs = [
        frame["item"]["output"]
        for frame in peer.received
        if frame["type"] == "conversation.item.create"
    ]
    assert (outputs == ["booked"]) is finishes
    assert len(outputs) == 1


async def test_a_result_in_the_background_is_told_and_not_spoken_of(
    autojump_clock: MockClock,
) -> None:
    @function_tool
    async def note() -> BackgroundResult:
        return BackgroundResult({"noted": True})

    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        with session.subscribe(events.ToolEnd, events.AgentEnd) as channel:
            call(peer, "note")
            answer = await peer.expect("conversation.item.create")
            assert answer["item"]["output"] == '{"noted":true}'
            await peer.expect_nothing()
            end = await channel.receive()
            assert isinstance(end, events.ToolEnd)
            assert end.output == {"noted": True}
            turn = await channel.receive()
            assert isinstance(turn, events.AgentEnd), "the turn ends all the same"


async def test_the_answer_to_a_failure_is_the_tools_to_word(autojump_clock: MockClock) -> None:
    async def word(context: ToolContext[None], exc: Exception) -> str:
        return f"{context.tool_name}: sorry ({exc})"

    @function_tool(format_error=word)
    async def fail() -> None:
        raise LookupError("lost")

    peer = ScriptedPeer()
    async with open_test_session(peer, fail):
        call(peer, "fail")
        answer = await peer.expect("conversation.item.create")
        assert answer["item"]["output"] == "fail: sorry (lost)"


async def test_a_tool_sees_the_conversation_and_its_cost(autojump_clock: MockClock) -> None:
    seen: list[ToolContext[None]] = []

    @function_tool
    async def look(context: ToolContext[None]) -> str:
        seen.append(context)
        return "seen"

    peer = ScriptedPeer()
    async with open_test_session(peer, look):
        user = {
            "id": "item_u",
            "type": "message",
            "role": "user",
            "status": "completed",
            "content": [{"type": "input_text", "text": "Look!"}],
        }
        peer.add_item(user)
        call(peer, "look")
        await peer.expect("conversation.item.create")
    assert [item.id for item in seen[0].history] == ["item_u", "item_1"]
    assert seen[0].usage.responses in (0, 1)


@pytest.mark.parametrize("options", [{"finish_timeout": 0}, {"timeout": -1}])
def test_times_have_to_be_positive(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        slow([], **options)


def test_policies_are_a_closed_list() -> None:
    with pytest.raises(ValueError, match="on_interrupt"):
        slow([], on_interrupt="ignore")


@pytest.mark.parametrize(
    ("policies", "ends"), [(("cancel", "finish"), 1), (("finish", "cancel"), 0)]
)
async def test_of_tools_with_one_name_the_policy_is_of_the_one_that_runs(
    policies: tuple[Any, Any], ends: int, autojump_clock: MockClock
) -> None:
    """Two may have one name while a condition lets the model see only one of them."""
    done: list[str] = []
    off, on = (
        slow(done, is_enabled=lambda _about, runs=runs: runs, on_interrupt=policy, finish_timeout=9)
        for policy, runs in zip(policies, (False, True), strict=True)
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, off, on) as session:
        call(peer)
        await trio.sleep(1)
        await session.interrupt()
    assert done == ["booked"] * ends
