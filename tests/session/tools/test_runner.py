"""The tool runner: a task for each call, and what interruptions do to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from support.events import drain_channel, drain_events
from support.service import send_call, send_call_and_wait, silence, start_call
from support.sessions import open_test_session
from support.tools import (
    endless,
    make_booking_tool,
    make_cleanup_tool,
    make_note_tool,
    make_pay_tool,
    wait,
)
from support.wire import CANCEL, CREATE, ITEM, sent_frames, sent_outputs, sent_types
from trio_realtime import RealtimeSession, events, function_tool
from trio_realtime.errors import ConnectionLost
from trio_realtime.testing import ScriptedPeer

# --- interruption policies ---------------------------------------------------------------------


async def test_interrupt_cancels_tools_waits_for_their_cleanup_and_answers(
    autojump_clock: MockClock,
) -> None:
    """No ``response.create`` follows, since no response was requested."""
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await send_call_and_wait(peer, "careful")
        began = trio.current_time()
        await session.interrupt()
        assert trio.current_time() - began == pytest.approx(0.5)
        assert careful.log == ["started", "cleaned up"]
        assert await sent_types(peer) == [ITEM]
        ((call_id, output),) = sent_outputs(peer)
        assert call_id == "call_1"
        assert "cancelled" in output
        found = drain_channel(session.events)
        (cancelled,) = [event for event in found if isinstance(event, events.ToolCancelled)]
        assert (cancelled.call_id, cancelled.output_text) == ("call_1", output)
        assert not any(isinstance(event, events.ToolEnd) for event in found)


async def test_order_of_frames_and_events_of_an_interruption(autojump_clock: MockClock) -> None:
    """The response is cancelled and truncated at once.

    When the slower tool has cleaned up, both calls are answered. Then the queued message may
    request its response, which waits for the end of the cancelled one.
    """
    slow, quick = make_cleanup_tool(2.0), make_cleanup_tool(0.5)
    quick_tool = attrs.evolve(quick.tool, name="quick")
    peer = ScriptedPeer()
    async with open_test_session(peer, slow.tool, quick_tool) as session:
        peer.begin_response("resp_1")
        peer.open_message("resp_1", "item_1")
        peer.audio("resp_1", "item_1", silence(10))
        peer.call("resp_1", "item_2", "call_slow", "careful")
        peer.call("resp_1", "item_3", "call_quick", "quick")
        await trio.sleep(0.75)
        await session.send_message("And what about Oslo?")
        began = trio.current_time()
        await session.interrupt()

        assert trio.current_time() - began == pytest.approx(2.0), "as long as the slower cleanup"
        frames = [
            (frame["type"], *map(frame.get, ("response_id", "item_id", "audio_end_ms")))
            for frame in await sent_frames(peer)
        ]
        assert frames == [
            (ITEM, None, None, None),
            ("response.cancel", "resp_1", None, None),
            ("conversation.item.truncate", None, "item_1", 750),
            (ITEM, None, None, None),
            (ITEM, None, None, None),
        ]
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_quick", "call_slow"]
        found = [event.type for event in drain_channel(session.events)]
        assert found[found.index("audio_interrupted") :] == [
            "audio_interrupted",
            "tool_cancelled",
            "tool_cancelled",
        ]
        peer.end_response("resp_1", "cancelled")
        assert (await sent_types(peer))[5:] == [CREATE]


async def test_speech_cancels_tools_before_the_next_create(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await send_call_and_wait(peer, "careful")
        peer.start_user_speech()
        await wait_all_tasks_blocked()
        await session.send_message("Something else.")
        assert await sent_types(peer) == [ITEM]  # the message; its create is queued
        await trio.sleep(1)
        assert await sent_types(peer) == [ITEM, ITEM, CREATE]
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1"]


@pytest.mark.parametrize("how", ["the user speaks", "interrupt()", "the service cancels"])
async def test_tools_are_cancelled_however_the_response_is_interrupted(
    how: str, autojump_clock: MockClock
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool) as session:
        await start_call(peer, "careful")
        if how == "the user speaks":
            peer.start_user_speech()
        elif how == "interrupt()":
            await session.interrupt()
        peer.end_response("resp_1", "cancelled", reason="turn_detected")
        await trio.sleep(60)
        assert careful.log == ["started", "cleaned up"]
        ((call_id, _),) = sent_outputs(peer)
        assert call_id == "call_1"
        assert CREATE not in await sent_types(peer)


async def test_shielded_tool_is_answered_with_its_result(
    autojump_clock: MockClock,
) -> None:
    """The result does not make the agent speak again."""

    @function_tool
    async def commit() -> str:
        """Run for a second, shielded."""
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return "committed"

    peer = ScriptedPeer()
    async with open_test_session(peer, commit) as session:
        await send_call_and_wait(peer, "commit")
        await session.interrupt()
        await wait_all_tasks_blocked()
        assert sent_outputs(peer) == [("call_1", "committed")]
        assert await sent_types(peer) == [ITEM]
        (end,) = drain_events(session.events, events.ToolEnd)
        assert end.outcome == "completed"


async def test_no_create_follows_if_one_of_two_calls_was_interrupted(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, wait, careful.tool) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "wait", '{"seconds": 0}')
        peer.call("resp_1", "item_2", "call_2", "careful")
        peer.end_response("resp_1")
        await wait_all_tasks_blocked()
        await session.interrupt()
        assert await sent_types(peer) == [ITEM, ITEM]
        assert [call_id for call_id, _ in sent_outputs(peer)] == ["call_1", "call_2"]


async def test_tools_of_a_later_response_run_normally(
    autojump_clock: MockClock,
) -> None:
    careful = make_cleanup_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, careful.tool, wait) as session:
        await send_call_and_wait(peer, "careful")
        await session.interrupt()
        peer.begin_response("resp_2")
        peer.call("resp_2", "item_2", "call_2", "wait", '{"seconds": 1}')
        peer.end_response("resp_2")
        await trio.sleep(2)
        assert sent_outputs(peer)[-1] == ("call_2", "waited 1")
        assert (await sent_types(peer))[-1] == CREATE


async def test_finish_policy_lets_the_tool_finish_without_a_response(
    autojump_clock: MockClock,
) -> None:
    done: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, make_booking_tool(done, on_interrupt="finish")) as session:
        send_call(peer, "book")
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


async def test_late_call_is_cancelled_although_its_sibling_may_finish(
    autojump_clock: MockClock,
) -> None:
    @function_tool(on_interrupt="finish")
    async def finish() -> str:
        await trio.sleep(1)
        return "finished"

    log: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(peer, finish, make_pay_tool(log)) as session:
        await start_call(peer, "finish")
        await session.interrupt()
        peer.call("resp_1", "item_2", "call_2", "pay")
        peer.end_response("resp_1", "cancelled")
        await trio.sleep(3)
        outputs = dict(sent_outputs(peer))
    assert outputs["call_1"] == "finished"
    assert "cancelled" in outputs["call_2"]
    assert log == []


async def test_background_policy_requests_a_response_for_the_result(
    autojump_clock: MockClock,
) -> None:
    done: list[str] = []
    peer = ScriptedPeer()
    async with open_test_session(
        peer, make_booking_tool(done, on_interrupt="background")
    ) as session:
        send_call(peer, "book")
        await trio.sleep(1)
        await session.interrupt()
        answer = await peer.expect("conversation.item.create")
        assert answer["item"]["output"] == "booked"
        await peer.expect("response.create")


async def test_interrupt_does_not_wait_for_a_background_call(
    autojump_clock: MockClock,
) -> None:
    @function_tool(on_interrupt="background")
    async def book() -> str:
        await trio.sleep(300)
        return "booked"

    peer = ScriptedPeer()
    async with open_test_session(peer, book) as session:
        await start_call(peer, "book")
        with trio.fail_after(1):
            await session.interrupt()
        assert session.statistics().running_tools == 1


@pytest.mark.parametrize(
    ("policies", "ends"), [(("cancel", "finish"), 1), (("finish", "cancel"), 0)]
)
async def test_policy_is_taken_from_the_enabled_tool_of_that_name(
    policies: tuple[Any, Any], ends: int, autojump_clock: MockClock
) -> None:
    """Two tools may have the same name if only one of them is enabled."""
    done: list[str] = []
    off, on = (
        make_booking_tool(
            done, is_enabled=lambda _about, runs=runs: runs, on_interrupt=policy, finish_timeout=9
        )
        for policy, runs in zip(policies, (False, True), strict=True)
    )
    peer = ScriptedPeer()
    async with open_test_session(peer, off, on) as session:
        send_call(peer, "book")
        await trio.sleep(1)
        await session.interrupt()
    assert done == ["booked"] * ends


async def test_connection_loss_cancels_tools(autojump_clock: MockClock) -> None:
    """Their answers could not be delivered."""
    peer = ScriptedPeer()
    async with open_test_session(peer, endless) as session:
        await start_call(peer, "endless")
        assert session.statistics().running_tools == 1
        peer.close(1011)
        await wait_all_tasks_blocked()
        assert session.statistics().running_tools == 0
        with pytest.raises(ConnectionLost):
            await session.interrupt()


# --- tools that interrupt ----------------------------------------------------------------------


Session: TypeAlias = RealtimeSession[None]


async def test_interrupt_inside_a_tool_cancels_that_tool(
    autojump_clock: MockClock,
) -> None:
    sessions: list[RealtimeSession[None]] = []
    continued: list[bool] = []

    @function_tool
    async def hush() -> None:
        """Interrupt the agent."""
        await sessions[0].interrupt()
        continued.append(True)

    peer = ScriptedPeer()
    async with open_test_session(peer, hush) as session:
        sessions.append(session)
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "hush")
        assert await sent_types(peer) == ["response.cancel", ITEM]
        assert continued == []


async def test_background_call_may_interrupt(autojump_clock: MockClock) -> None:
    sessions: list[Session] = []

    @function_tool(on_interrupt="background")
    async def hush() -> str:
        await sessions[0].interrupt()
        return "hushed"

    peer = ScriptedPeer()
    async with open_test_session(peer, hush) as session:
        sessions.append(session)
        await start_call(peer, "hush")
        await peer.expect(CANCEL)
        await peer.expect(ITEM)
        assert sent_outputs(peer) == [("call_1", "hushed")]


async def test_shielded_tool_may_interrupt(autojump_clock: MockClock) -> None:
    sessions: list[RealtimeSession[None]] = []
    timed_out: list[bool] = []

    @function_tool
    async def hush() -> None:
        """Interrupt the agent."""
        with trio.move_on_after(5, shield=True) as timeout:
            await sessions[0].interrupt()
        timed_out.append(timeout.cancelled_caught)

    peer = ScriptedPeer()
    async with open_test_session(peer, hush) as session:
        sessions.append(session)
        await send_call_and_wait(peer, "hush")
        await trio.sleep(10)
        assert timed_out == [False]


# --- calls that have ended ---------------------------------------------------------------------


HELLO = '{"text": "hello"}'


async def by_interrupt_call(session: Session, _peer: ScriptedPeer) -> None:
    await session.interrupt()


async def by_speech(_session: Session, peer: ScriptedPeer) -> None:
    peer.start_user_speech()


async def by_closing(session: Session, _peer: ScriptedPeer) -> None:
    await session.aclose()


@pytest.mark.parametrize("stop", [by_interrupt_call, by_speech, by_closing])
async def test_interruption_after_the_answer_changes_nothing(
    stop: Callable[[Session, ScriptedPeer], Awaitable[None]], autojump_clock: MockClock
) -> None:
    note, _ = make_note_tool()
    peer = ScriptedPeer()
    async with open_test_session(peer, note) as session:
        peer.begin_response("resp_1")
        peer.call("resp_1", "item_1", "call_1", "note", HELLO)
        await peer.expect(ITEM)
        await stop(session, peer)
        await wait_all_tasks_blocked()
        ended = [
            event.type for event in drain_channel(session.events) if event.type.startswith("tool")
        ]
        assert ended == ["tool_start", "tool_end"]
    assert sent_outputs(peer) == [("call_1", "noted hello")]


async def test_cancelled_receive_of_tool_end_causes_no_second_answer(
    autojump_clock: MockClock,
) -> None:
    """The event stays available."""
    peer = ScriptedPeer()
    async with open_test_session(peer, wait) as session:
        with session.subscribe(events.ToolEnd) as ends:
            await send_call_and_wait(peer, "wait", '{"seconds": 2}')
            with trio.move_on_after(1):
                await ends.receive()
            end = await ends.receive()
            assert isinstance(end, events.ToolEnd)
            assert end.call_id == "call_1"
        assert await sent_types(peer) == [ITEM, CREATE]


async def test_a_call_that_arrives_while_a_cancelled_block_waits_for_a_tool_is_answered(
    autojump_clock: MockClock,
) -> None:
    @function_tool(finish_timeout=5)
    async def slow() -> str:
        await trio.sleep(3)
        return "done"

    peer = ScriptedPeer()
    block = trio.CancelScope()

    async def cancel_block_and_call_again() -> None:
        await trio.sleep(1)
        block.cancel()
        await trio.sleep(1)
        peer.call("resp_1", "item_2", "call_2", "slow")
        peer.end_response("resp_1")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_block_and_call_again)
        with block:
            async with open_test_session(peer, slow):
                peer.begin_response("resp_1")
                peer.call("resp_1", "item_1", "call_1", "slow")
                await trio.sleep_forever()
    assert dict(sent_outputs(peer)) == {
        "call_1": "done",
        "call_2": "The call was cancelled: the user interrupted before it finished.",
    }


@pytest.mark.parametrize("exception", [SystemExit(3), KeyboardInterrupt()])
async def test_a_tool_that_ends_the_program_ends_the_session(
    exception: BaseException, autojump_clock: MockClock
) -> None:
    @function_tool
    async def leave() -> None:
        raise exception

    peer = ScriptedPeer()
    began = trio.current_time()
    with pytest.raises(type(exception)):
        async with open_test_session(peer, leave):
            peer.begin_response("resp_1")
            peer.call("resp_1", "item_1", "call_1", "leave")
            await trio.sleep(60)
    assert trio.current_time() - began < 2
