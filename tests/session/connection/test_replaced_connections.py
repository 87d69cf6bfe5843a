"""A connection that works and is replaced: by hand, or before its maximum duration."""

from __future__ import annotations

import json

import attrs
import pytest
import trio
from trio.testing import MockClock

from support.events import collect_events, drain_channel, drain_events
from support.reconnecting import POLICY, Service, lose_and_wait
from trio_realtime import (
    RealtimeAgent,
    ReconnectPolicy,
    Transcription,
    errors,
    events as ev,
)
from trio_realtime.local import Pause, Say
from trio_realtime.testing.faults import (
    Close,
    Drop,
    FailDial,
    FaultPlan,
    Freeze,
    Incoming,
    Inject,
    RejectDial,
    SlowDial,
)
from trio_realtime.wire import MessageItem

# --- by hand -------------------------------------------------------------------------------------


async def test_reconnect_by_hand_replaces_a_connection_that_works(
    autojump_clock: MockClock,
) -> None:
    service = Service()
    async with service.open() as s:
        await s.ask("One")
        with s.subscribe(ev.Reconnected) as channel:
            await s.reconnect()
            (event,) = drain_events(channel, ev.Reconnected)
        assert event.attempts == 1
        assert (await s.ask("Two")).text == "fine"
        assert service.texts == ["One", "fine", "Two", "fine"]
    assert len(service.dial_times) == 2


async def test_reconnect_by_hand_works_without_a_policy(autojump_clock: MockClock) -> None:
    service = Service()
    async with service.open(policy=None) as s:
        await s.ask("One")
        await s.reconnect()
        assert (await s.ask("Two")).text == "fine"


async def test_two_requests_at_once_are_one(autojump_clock: MockClock) -> None:
    service = Service()
    async with service.open() as s, trio.open_nursery() as nursery:
        nursery.start_soon(s.reconnect)
        nursery.start_soon(s.reconnect)
    assert len(service.dial_times) == 2


async def test_reconnect_by_hand_fails_and_the_connection_stays(autojump_clock: MockClock) -> None:
    service = Service([], FailDial())
    async with service.open() as s:
        with pytest.raises(errors.ConnectFailed):
            await s.reconnect()
        assert (await s.ask("Hello")).text == "fine"
        await s.reconnect()
    assert len(service.dial_times) == 3


async def test_reconnect_by_hand_while_waiting_makes_one_attempt_at_once(
    autojump_clock: MockClock,
) -> None:
    """The other attempts keep their delays, or an outage would use up the budget at once."""
    service = Service()
    policy = attrs.evolve(POLICY, initial_delay=10.0, max_attempts=5)
    async with service.open(policy=policy) as s:
        service.faults.plan = FaultPlan(every=[FailDial()])
        service.faults.link.drop()
        await trio.sleep(3)
        with trio.move_on_after(1):
            await s.reconnect()
        assert [round(time, 3) for time in service.dial_times] == [0, 0, 3]
        service.faults.plan = FaultPlan()
        await s.reconnect()
    assert [round(time, 3) for time in service.dial_times] == [0, 0, 3, 23]


async def test_reconnect_by_hand_succeeds_while_waiting(autojump_clock: MockClock) -> None:
    service = Service([], FailDial())
    policy = attrs.evolve(POLICY, initial_delay=10.0)
    async with service.open(policy=policy) as s:
        service.faults.link.drop()
        await trio.sleep(3)
        await s.reconnect()
        assert trio.current_time() < 3.1
        assert (await s.ask("Hello")).text == "fine"


async def test_reconnect_by_hand_replaces_a_frozen_connection(autojump_clock: MockClock) -> None:
    service = Service()
    async with service.open(ping_interval=None, request_timeout=None) as s:
        service.faults.link.apply(Freeze())
        for number in range(20):
            await s.send_message(f"Message {number} {'x' * 20_000}", respond=False)
        with trio.fail_after(10):
            await s.reconnect()
        assert (await s.ask("Hello")).text == "fine"
        assert len(service.texts) == 22


async def test_reconnect_after_the_end_raises(autojump_clock: MockClock) -> None:
    async with Service().open() as s:
        pass
    with pytest.raises(errors.SessionClosed):
        await s.reconnect()


async def test_reconnect_raises_if_the_session_ends_first(autojump_clock: MockClock) -> None:
    service = Service([], SlowDial(), RejectDial(401))
    async with service.open() as s, trio.open_nursery() as nursery:

        async def reconnect() -> None:
            with pytest.raises(errors.SessionClosed):
                await s.reconnect()

        nursery.start_soon(reconnect)
        await trio.sleep(1)
        await s.aclose()


async def test_a_reconnection_while_the_agent_speaks_ends_its_response(
    autojump_clock: MockClock,
) -> None:
    service = Service(pacing=1.0)
    service.steps.append([Say("This is going to take a while, so sit down.", audio_ms=8000)])
    async with service.open(output_modalities=("audio",)) as s:
        with s.subscribe(ev.AudioInterrupted, ev.ResponseEnd, ev.AgentEnd) as channel:
            await s.send_message("Tell me")
            await trio.sleep(3)
            await s.reconnect()
            kinds = [type(event) for event in drain_channel(channel)]
        assert kinds == [ev.AudioInterrupted, ev.ResponseEnd, ev.AgentEnd]
        heard = service.texts[1]
        assert heard
        assert heard != "This is going to take a while, so sit down."
        (_, reply) = s.history
        assert isinstance(reply, MessageItem)
        assert (await s.ask("Again")).text == "fine"


# --- before the maximum duration -----------------------------------------------------------------

REFRESH = ReconnectPolicy(jitter=0.0, max_duration=100.0, refresh_before=40.0, force_before=10.0)


async def test_a_connection_is_replaced_in_a_quiet_moment(autojump_clock: MockClock) -> None:
    service = Service()
    async with service.open(policy=REFRESH) as s:
        await s.ask("One")
        await trio.sleep(59)
        assert len(service.dial_times) == 1
        await trio.sleep(2)
        assert len(service.dial_times) == 2
        assert service.texts == ["One", "fine"]
        await trio.sleep(200)
        assert [round(time) for time in service.dial_times] == [0, 60, 120, 180, 240]


async def test_a_connection_is_replaced_by_force_where_no_moment_is_quiet(
    autojump_clock: MockClock,
) -> None:
    service = Service(pacing=1.0)
    service.steps.append([Say("Once", audio_ms=50), Pause(1000)])
    async with service.open(policy=REFRESH) as s:
        with s.subscribe(ev.ResponseEnd) as ends:
            await s.send_message("Go")
            await trio.sleep(89)
            assert drain_events(ends, ev.ResponseEnd) == []
            assert len(service.dial_times) == 2
            await trio.sleep(2)
            assert [end.reason for end in drain_events(ends, ev.ResponseEnd)] == ["disconnected"]
        assert (await s.ask("Hello")).text == "fine"


async def test_a_frozen_connection_that_is_due_is_replaced(autojump_clock: MockClock) -> None:
    service = Service()
    async with service.open(policy=REFRESH, ping_interval=None, request_timeout=None) as s:
        service.faults.link.apply(Freeze())
        for number in range(20):
            await s.send_message(f"Message {number} {'x' * 20_000}", respond=False)
        await trio.sleep(95)
        assert len(service.dial_times) == 2
        assert len(service.texts) == 20


async def test_a_connection_that_cannot_be_replaced_stays_in_use(autojump_clock: MockClock) -> None:
    service = Service([], FailDial(), RejectDial(503))
    policy = attrs.evolve(REFRESH, max_delay=5.0)
    async with service.open(policy=policy) as s:
        await trio.sleep(75)
        assert [round(time) for time in service.dial_times] == [0, 60, 65, 70]
        assert (await s.ask("Hello")).text == "fine"
        assert s.end is None


async def test_the_connection_is_lost_while_the_next_one_replays(autojump_clock: MockClock) -> None:
    service = Service([], Freeze(Incoming(1, "session.updated"), duration=5.0))
    async with service.open(policy=REFRESH) as s:
        await s.ask("One")
        await trio.sleep(61)
        old = service.faults.links[0]
        assert service.faults.link is not old
        with s.subscribe(ev.Reconnected) as channel:
            old.drop()
            await s.send_message("Two", respond=False)
            event = await channel.receive()
        assert event.attempts == 1
        await trio.sleep(1)
        assert service.texts == ["One", "fine", "Two"]
        assert len(service.dial_times) == 2


async def test_the_next_connection_is_lost_while_it_replays(autojump_clock: MockClock) -> None:
    service = Service([], Drop(Incoming(1, "session.updated")))
    policy = attrs.evolve(REFRESH, max_delay=5.0)
    async with service.open(policy=policy) as s:
        await s.ask("One")
        await trio.sleep(62)
        assert (await s.ask("Two")).text == "fine"
        await trio.sleep(10)
        assert [round(time) for time in service.dial_times] == [0, 60, 65]
        assert service.texts == ["One", "fine", "Two", "fine"]


async def test_a_fatal_end_while_the_next_connection_replays_ends_the_session(
    autojump_clock: MockClock,
) -> None:
    service = Service([], Freeze(Incoming(1, "session.updated"), duration=5.0))
    seen: list[ev.SessionEvent] = []
    with pytest.raises(errors.ConnectionLost):
        async with service.open(policy=REFRESH) as s:
            await s.ask("One")
            await trio.sleep(61)
            service.faults.links[0].apply(Close(1008))
            await trio.sleep(10)
            await collect_events(s, seen)
    assert isinstance(seen[-1], ev.SessionEnded)
    assert not any(isinstance(event, ev.Reconnected) for event in seen)


async def test_what_happens_while_the_session_waits_for_quiet_is_not_lost(
    autojump_clock: MockClock,
) -> None:
    """The next connection is told of the conversation long before it is used."""
    service = Service(pacing=1.0)
    service.steps.append([Say("Once", audio_ms=50), Pause(20)])
    async with service.open(policy=REFRESH) as s:
        await s.send_message("One", respond=False)
        await s.send_message("Two", respond=False)
        await trio.sleep(55)
        await s.send_message("Go")
        await trio.sleep(10)
        assert len(service.dial_times) == 2
        await s.update_history(lambda items: items[1:])
        await s.send_message("First", respond=False, previous_item_id="root")
        await s.update_settings(max_output_tokens=77)
        await s.update_agent(RealtimeAgent[None](name="B", instructions="Be B."))
        await trio.sleep(12)
        assert len(service.faults.dials) == 2
        assert (await s.ask("Hello")).text == "fine"
        assert len(service.faults.dials) == 2
        server = service.local.connections[-1]
        updated = [f["session"] for f in server.sent if f["type"] == "session.updated"][-1]
        assert (updated["instructions"], updated["max_output_tokens"]) == ("Be B.", 77)
        assert service.texts == ["First", "Two", "Go", "Once", "Hello", "fine"]
        assert [item.id for item in s.history] == [item["id"] for item in service.items]


async def test_the_next_connection_is_lost_while_the_session_waits_for_quiet(
    autojump_clock: MockClock,
) -> None:
    """The session makes another one while it still uses the connection that works."""
    service = Service(pacing=1.0)
    service.steps.append([Say("Once", audio_ms=50), Pause(24)])
    policy = attrs.evolve(REFRESH, max_delay=5.0)
    async with service.open(policy=policy) as s, trio.open_nursery() as nursery:
        await trio.sleep(59)
        nursery.start_soon(s.ask, "Go")
        await trio.sleep(5)
        assert len(service.dial_times) == 2
        service.faults.link.drop()
        await trio.sleep(6)
        assert [round(time) for time in service.dial_times] == [0, 60, 69]
        with s.subscribe(ev.Reconnecting, ev.Reconnected) as channel:
            await trio.sleep(30)
            assert [event.type for event in drain_channel(channel)] == ["reconnected"]
        assert service.texts == ["Go", "Once"]


async def test_the_age_of_a_connection_counts_from_its_beginning(autojump_clock: MockClock) -> None:
    service = Service(pacing=1.0)
    service.steps.append([Say("Once", audio_ms=50), Pause(24)])
    async with service.open(policy=REFRESH) as s:
        await trio.sleep(59)
        await s.send_message("Go")
        await trio.sleep(200)
    # The second connection was opened at 60 and used from 83 on.
    assert [round(time) for time in service.dial_times[:3]] == [0, 60, 120]


async def test_the_service_says_when_it_ends_the_connection(autojump_clock: MockClock) -> None:
    service = Service(session_seconds=400.0)
    policy = attrs.evolve(REFRESH, max_duration=None)
    async with service.open(policy=policy):
        await trio.sleep(800)
    assert [round(time, -1) for time in service.dial_times] == [0, 360, 720]


async def test_the_user_speaks_while_the_connection_is_replaced(autojump_clock: MockClock) -> None:
    service = Service(transcripts=["hello there"] * 3)
    loud = b"\x00\x20" * 480
    transcription = Transcription(model="whisper-1")
    async with service.open(policy=REFRESH, transcription=transcription) as s:
        with s.subscribe(ev.SpeechStarted, ev.SpeechStopped, ev.UserTranscript) as channel:
            await trio.sleep(57)
            for _ in range(1700):
                await s.send_audio(loud)
                await trio.sleep(0.02)
            for _ in range(100):
                await s.send_audio(bytes(960))
                await trio.sleep(0.02)
            await trio.sleep(5)
            kinds = [event.type for event in drain_channel(channel)]
    assert kinds == [
        "speech_started",
        "speech_stopped",
        "speech_started",
        "speech_stopped",
        "user_transcript",
    ]
    assert len(service.dial_times) == 2


async def test_an_item_that_the_dialect_cannot_express_is_left_out(
    autojump_clock: MockClock,
) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    item = {"id": "item_image", "type": "message", "role": "user", "content": [image]}
    added = {"type": "conversation.item.created", "previous_item_id": None, "item": item}
    at = Incoming(1, "response.done")
    service = Service([Inject(json.dumps(added), at)], dialect="beta")
    async with service.open() as s:
        await s.ask("One")
        await trio.sleep(1)
        assert "item_image" in [item.id for item in s.history]
        reconnected = await lose_and_wait(service, s)
        assert (reconnected.items_sent, reconnected.items_acknowledged) == (3, 2)
        assert not reconnected.state_restored
        assert (await s.ask("Two")).text == "fine"
        assert service.texts == ["One", "fine", "Two", "fine"]
