"""Collecting turns and recording sessions, on the virtual clock."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_realtime import (
    RealtimeAgent,
    RealtimeSession,
    SessionConfig,
    errors,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.local import Call, Fail, Pause, Say, ScriptedResponder, Step, local_connector
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer, collect_turn, record_session


@function_tool
async def get_weather(city: str) -> str:
    """Weather."""
    return f"Sunny in {city}"


@function_tool(needs_approval=True)
async def pay(euros: int) -> str:
    """Pay."""
    return f"{euros} EUR paid"


other = RealtimeAgent[None](name="Other")
agent = RealtimeAgent[None](name="Clerk", tools=[get_weather, pay], handoffs=[other])
TEXT = SessionConfig(output_modalities=("text",))


@asynccontextmanager
async def session_with(
    *script: Step | Sequence[Step], config: SessionConfig | None = None
) -> AsyncGenerator[RealtimeSession[None]]:
    server = local_connector(responder=ScriptedResponder(script))
    async with open_realtime_session(
        agent, endpoint=server.endpoint, transport=server, config=config
    ) as session:
        yield session


async def test_a_spoken_turn_with_a_tool(autojump_clock: MockClock) -> None:
    answer = Say("Sunny, I think.", audio_ms=500)
    async with session_with(Call("get_weather", {"city": "Oslo"}), answer) as session:
        turn = await collect_turn(session, "Weather?")
        assert (turn.text, turn.transcript) == ("", "Sunny, I think.")
        assert len(turn.audio) == 500 * 48
        (call,) = turn.tool_calls
        assert (call.name, call.arguments, call.outcome) == (
            "get_weather",
            {"city": "Oslo"},
            "completed",
        )
        assert call.output == "Sunny in Oslo"
        assert turn.handoffs == ()
        assert turn.usage.responses == 2
        assert turn.outcome.status == "completed"
        assert [event.type for event in turn.events][-1] == "agent_end"
        turn.assert_completed()
        turn.assert_said("Sunny")
        turn.assert_said(regex="^Sunny")
        assert turn.assert_called("get_weather", city="Oslo") is not None
        turn.assert_not_called("pay")


async def test_a_written_turn_with_a_handoff(autojump_clock: MockClock) -> None:
    async with session_with(Call("transfer_to_other"), Say("Hello."), config=TEXT) as session:
        turn = await collect_turn(session, "Somebody else, please")
        assert (turn.text, turn.transcript, turn.audio) == ("Hello.", "", b"")
        assert turn.handoffs == ("Other",)
        turn.assert_handed_off("Other")
        with pytest.raises(
            AssertionError, match="a handoff to Nobody\nbut the handoffs were: Other"
        ):
            turn.assert_handed_off("Nobody")


async def test_failed_assertions_show_the_conversation(autojump_clock: MockClock) -> None:
    async with session_with(
        Call("get_weather", {"city": "Oslo"}), Say("Sunny."), config=TEXT
    ) as session:
        turn = await collect_turn(session, "Weather?")
    with pytest.raises(AssertionError) as caught:
        turn.assert_called("get_weather", city="Paris")
    assert str(caught.value).splitlines()[:3] == [
        'expected: a call of get_weather with {"city": "Paris"}',
        'but the calls were: get_weather {"city":"Oslo"} (completed)',
        "",
    ]
    assert "user: Weather?" in str(caught.value)
    assert "Clerk: Sunny." in str(caught.value)
    with pytest.raises(AssertionError, match="no call of get_weather"):
        turn.assert_not_called("get_weather")
    with pytest.raises(AssertionError, match="the calls were: get_weather"):
        turn.assert_called("pay")
    with pytest.raises(AssertionError, match="equal to 'Rain'\nbut it said 'Sunny"):
        turn.assert_said(equals="Rain")


async def test_a_failed_turn_is_collected_too(autojump_clock: MockClock) -> None:
    async with session_with(Fail("quota"), config=TEXT) as session:
        turn = await collect_turn(session, "Hello")
        assert turn.outcome.status == "failed"
        with pytest.raises(AssertionError, match="a turn that completes\nbut it was failed"):
            turn.assert_completed()


async def test_turns_are_collected_in_order_without_a_message(autojump_clock: MockClock) -> None:
    async with session_with(Say("One"), Say("Two"), config=TEXT) as session:
        await session.send_message("a")
        await session.send_message("b")
        first = await collect_turn(session)
        second = await collect_turn(session)
        assert (first.text, second.text) == ("One", "Two")
        assert not {id(event) for event in first.events} & {id(event) for event in second.events}


async def test_a_message_drops_the_unread_turns_before_it(autojump_clock: MockClock) -> None:
    async with session_with(Say("One"), Say("Two"), config=TEXT) as session:
        await session.ask("a")
        turn = await collect_turn(session, "b")
        assert turn.text == "Two"


async def test_a_message_during_a_turn_gets_its_own_turn(autojump_clock: MockClock) -> None:
    first: list[Step] = [Say("One"), Pause(2), Say("more")]
    async with session_with(first, Say("Two"), config=TEXT) as session:
        with session.subscribe(events.TextDelta) as deltas:
            await session.send_message("a")
            await deltas.receive()
        turn = await collect_turn(session, "b")
        assert turn.outcome.output == "Two"


@pytest.mark.parametrize(("approve", "outcome"), [(True, "completed"), (False, "rejected")])
async def test_calls_that_need_approval_are_decided(
    autojump_clock: MockClock, outcome: str, *, approve: bool
) -> None:
    async with session_with(Call("pay", {"euros": 5}), Say("Done"), config=TEXT) as session:
        turn = await collect_turn(session, "Pay!", approve=approve)
        assert turn.assert_called("pay", euros=5).outcome == outcome


async def test_a_turn_that_does_not_end_names_the_calls_that_wait(
    autojump_clock: MockClock,
) -> None:
    async with session_with(Call("pay", {"euros": 5}), config=TEXT) as session:
        began = trio.current_time()
        with pytest.raises(AssertionError) as caught:
            await collect_turn(session, "Pay!", timeout=7)
        assert trio.current_time() - began == pytest.approx(7, abs=0.1)
        assert str(caught.value).startswith(
            'the turn did not end within 7 s; these calls have not ended: pay {"euros":5} (pending)'
        )
        assert "needs approval" in str(caught.value)


async def test_a_session_that_ends_before_the_turn(autojump_clock: MockClock) -> None:
    async with session_with(Pause(60), config=TEXT) as session, trio.open_nursery() as nursery:
        await session.send_message("Hello")

        async def close() -> None:
            await trio.sleep(1)
            await session.aclose()

        nursery.start_soon(close)
        with pytest.raises(AssertionError, match="the session ended before the turn"):
            await collect_turn(session)


async def test_a_session_that_fails_before_the_turn(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    async with open_realtime_session(
        agent,
        endpoint=TEST_ENDPOINT,
        transport=peer.connect,
        config=SessionConfig(reconnect=None),
    ) as session:
        peer.close(1011, "bye")
        with pytest.raises(errors.ClosedByService):
            await collect_turn(session)


# --- records -------------------------------------------------------------------------------------


async def test_a_record_has_every_event_with_its_time(autojump_clock: MockClock) -> None:
    async with session_with(Say("One")) as session, record_session(session) as record:
        await trio.sleep(3)
        await session.ask("a")
        await trio.testing.wait_all_tasks_blocked()
        types = [event.type for _, event in record.events]
        assert "agent_end" in types
        assert "audio" not in types
        times = [moment for moment, _ in record.events]
        assert times == sorted(times)
        assert record.log.entries[0].time == pytest.approx(3, abs=0.01)
        # The main channel was not read.
        assert (await collect_turn(session)).transcript == "One"


async def test_a_record_leaves_the_failure_of_its_session_to_the_session(
    autojump_clock: MockClock,
) -> None:
    peer = ScriptedPeer()
    with pytest.raises(errors.ClosedByService):
        async with (
            open_realtime_session(
                agent,
                endpoint=TEST_ENDPOINT,
                transport=peer.connect,
                config=SessionConfig(reconnect=None),
            ) as session,
            record_session(session) as record,
        ):
            peer.close(1011, "bye")
            await trio.sleep(1)
            assert "the session ended: ClosedByService" in str(record.log)
            assert record.is_complete


def slow_tool(seconds: float, ends: list[float]) -> Any:
    @function_tool(timeout=5)
    def work() -> str:
        """Work in a thread."""
        time.sleep(seconds)
        ends.append(1.0)
        return "done"

    return work


async def test_a_virtual_clock_waits_for_tools_in_threads(autojump_clock: MockClock) -> None:
    ends: list[float] = []
    worker = RealtimeAgent[None](name="Worker", tools=[slow_tool(0.05, ends)])
    server = local_connector(responder=ScriptedResponder([Call("work"), Say("Done")]))
    async with (
        open_realtime_session(
            worker, endpoint=server.endpoint, transport=server, config=TEXT
        ) as session,
        record_session(session),
    ):
        turn = await collect_turn(session, "Work!")
        assert turn.assert_called("work").outcome == "completed"
        assert ends == [1.0]
        assert autojump_clock.autojump_threshold == 0, "time passes at once again"


async def test_a_record_that_ends_during_a_tool_leaves_the_clock_as_it_was(
    autojump_clock: MockClock,
) -> None:
    worker = RealtimeAgent[None](name="Worker", tools=[slow_tool(0.05, [])])
    server = local_connector(responder=ScriptedResponder([Call("work")]))
    async with open_realtime_session(
        worker, endpoint=server.endpoint, transport=server, config=TEXT
    ) as session:
        async with record_session(session) as record:
            await session.send_message("Work!")
            while not any(isinstance(event, events.ToolStart) for _, event in record.events):
                await record.wait_more()
            assert autojump_clock.autojump_threshold > 1
        assert autojump_clock.autojump_threshold == 0
