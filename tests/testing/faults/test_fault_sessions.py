"""Whole sessions with the local server and with a scripted peer, over connections with faults.

Sessions that connect again are tested with the sessions; here, each has one connection.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from support.sessions import task_count
from trio_realtime import (
    RealtimeAgent,
    SessionConfig,
    errors,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.local import Call, Say, ScriptedResponder, local_connector
from trio_realtime.testing import TEST_ENDPOINT, ScriptedPeer
from trio_realtime.testing.faults import (
    Close,
    Delay,
    Drop,
    Duplicate,
    Elapsed,
    FailDial,
    Fault,
    FaultyConnector,
    Freeze,
    Garbage,
    Incoming,
    OneWay,
    Outgoing,
    Oversize,
    RejectDial,
    SlowDial,
    SlowReader,
    Trickle,
    Truncate,
    faulty_connector,
)


@function_tool
async def get_weather(city: str) -> str:
    """Current weather."""
    await trio.sleep(0.1)  # the response that has called it is over then, with all its events
    return f"Sunny in {city}"


def local_with(*faults: Fault) -> FaultyConnector:
    responder = ScriptedResponder([Call("get_weather", {"city": "Oslo"}), Say("Sunny!")])
    return faulty_connector(local_connector(responder=responder), faults)


async def have_a_turn(connector: FaultyConnector) -> str:
    """Ask a question, and return the answer or the name of the error."""
    agent = RealtimeAgent[None](name="Assistant", tools=[get_weather])
    try:
        with trio.fail_after(120):
            async with open_realtime_session(
                agent,
                endpoint=local_connector().endpoint,
                transport=connector,
                config=SessionConfig(max_message_size=1_000_000, reconnect=None),
            ) as s:
                return (await s.ask("What is the weather in Oslo?")).text
    except (errors.RealtimeError, trio.TooSlowError) as exc:
        return type(exc).__name__


ACKNOWLEDGED = "session.updated"
ANSWER = "Sunny!"

# Frames whose loss or repetition the session must survive, and ends that it must report.
ROWS: Sequence[tuple[str, Sequence[Fault], str]] = [
    ("no fault", [], ANSWER),
    ("drop before the greeting", [Drop()], "ConnectionLost"),
    ("drop before settings apply", [Drop(Incoming(1, ACKNOWLEDGED, moment="before"))], "ConnectionLost"),
    ("drop in mid-frame", [Drop(Incoming(1, "response.done", moment="mid_frame"))], "ConnectionLost"),
    ("drop after a request", [Drop(Outgoing(1, "response.create"))], "ConnectionLost"),
    ("drop while a tool's answer is sent", [Drop(Outgoing(2, "conversation.item.create"))], "ConnectionLost"),
    ("drop of an acknowledgement", [Drop(Incoming(2, "conversation.item.added"))], "ConnectionLost"),
    ("going away", [Close(1001, "restart", at=Incoming(1, "response.created"))], "ClosedByService"),
    ("expired", [Close(1000, "session expired", at=Incoming(5))], "SessionExpired"),
    ("frozen at the start", [Freeze()], "ConnectTimeout"),
    ("frozen for a while", [Freeze(Incoming(1, "response.created"), duration=5)], ANSWER),
    ("frozen in a turn", [Freeze(Incoming(1, "response.created"))], "ConnectionLost"),
    ("requests are lost in a turn", [OneWay("outgoing", at=Incoming(1, "response.created"))], "ConnectionLost"),
    ("nothing arrives in a turn", [OneWay("incoming", at=Outgoing(1, "response.create"))], "ConnectionLost"),
    ("requests are lost at the start", [OneWay("outgoing")], "ConnectTimeout"),
    ("nothing arrives at the start", [OneWay("incoming")], "ConnectTimeout"),
    ("slow network", [Delay(0.5)], ANSWER),
    ("a few bytes per second", [Trickle(5_000)], ANSWER),
    ("slow reader", [SlowReader(5_000)], ANSWER),
    ("a repeated delta", [Duplicate(Incoming(1, "response.output_audio.delta"))], ANSWER),
    ("garbage", [Garbage(Incoming(3))], ANSWER),
    ("truncated JSON", [Truncate(Incoming(1, "response.created"))], ANSWER),
    ("oversized", [Oversize(Incoming(1, "response.created"))], "ConnectionLost"),
    ("garbage from the session", [Garbage(Outgoing(1))], ANSWER),
    ("overloaded", [RejectDial(503, retry_after=3)], "ConnectFailed"),
    ("invalid key", [RejectDial(401)], "AuthenticationFailed"),
    ("server is down", [FailDial()], "ConnectFailed"),
    ("server hangs", [SlowDial()], "ConnectTimeout"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "faults", "expected"), ROWS, ids=[row[0] for row in ROWS])
async def test_a_turn_with_a_fault(
    name: str, faults: Sequence[Fault], expected: str, autojump_clock: MockClock
) -> None:
    before = task_count()
    connector = local_with(*faults)
    assert await have_a_turn(connector) == expected
    assert task_count() == before
    applied = [applied.fault for link in connector.links for applied in link.applied]
    assert all(fault in applied for fault in faults if connector.links)


async def test_an_error_says_when_to_try_again(autojump_clock: MockClock) -> None:
    connector = faulty_connector(ScriptedPeer().connect, RejectDial(429, retry_after=3))
    with pytest.raises(errors.ConnectFailed) as caught:
        async with open_realtime_session(
            RealtimeAgent[None](name="A"),
            endpoint=TEST_ENDPOINT,
            transport=connector,
            config=SessionConfig(reconnect=None),
        ):
            raise AssertionError("the session opened")
    assert (caught.value.status, caught.value.retry_after) == (429, 3)


async def test_garbage_is_reported_and_the_session_goes_on(autojump_clock: MockClock) -> None:
    peer = ScriptedPeer()
    connector = faulty_connector(peer.connect)
    async with open_realtime_session(
        RealtimeAgent[None](name="A"), endpoint=TEST_ENDPOINT, transport=connector
    ) as s:
        with s.subscribe(events.Error) as failures:
            connector.link.apply(Garbage(Incoming(1, "response.created", moment="before")))
            await s.send_message("Hello")
            await peer.expect("conversation.item.create")
            create = await peer.expect("response.create")
            peer.begin_response("resp_1", create)
            assert isinstance((await failures.receive()).error, errors.ProtocolViolation)
        assert connector.link.types("incoming", "injected") == [""]
        peer.end_response("resp_1")


async def test_a_drop_by_hand_ends_the_session_after_its_events(autojump_clock: MockClock) -> None:
    connector = local_with()
    agent = RealtimeAgent[None](name="Assistant", tools=[get_weather])
    seen: list[str] = []
    with trio.fail_after(120), pytest.raises(errors.ConnectionLost) as caught:
        async with open_realtime_session(
            agent,
            endpoint=local_connector().endpoint,
            transport=connector,
            config=SessionConfig(reconnect=None),
        ) as s:
            await s.send_message("What is the weather in Oslo?")
            async for event in s:
                seen.append(event.type)
                if event.type == "tool_end":
                    connector.link.drop()
    assert caught.value.code == 1006
    assert "tool_end" in seen


@pytest.mark.parametrize("fault", [Freeze(Elapsed(5)), OneWay("outgoing", at=Elapsed(5))])
async def test_leaving_takes_the_close_timeout_at_most(
    fault: Fault, autojump_clock: MockClock
) -> None:
    connector = local_with(fault)
    before = task_count()
    async with open_realtime_session(
        RealtimeAgent[None](name="A"),
        endpoint=local_connector().endpoint,
        transport=connector,
        config=SessionConfig(close_timeout=2, reconnect=None),
    ):
        await trio.sleep(10)
    assert 10 < trio.current_time() <= 12
    assert task_count() == before
