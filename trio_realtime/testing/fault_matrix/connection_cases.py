"""Cases in which the connection fails, or is replaced before the service ends it."""

from __future__ import annotations

from typing import Any, Final

import trio

from trio_realtime import EventChannel, ReconnectPolicy, ServerVad, events as ev, function_tool
from trio_realtime.local import Call, Fail, Pause, Say
from trio_realtime.testing.faults import Drop, Incoming, SlowDial

from .case import (
    SILENCE,
    SPEECH,
    FaultCase,
    Service,
    Session,
    Subject,
    check_answers,
    check_calls,
    check_restored,
    failure_of,
    seconds,
    speak,
    spoken_frames,
    wait_reconnected,
    within,
)

NO_RECONNECT: Final = "does not reconnect"
NO_REFRESH: Final = "does not refresh"


async def _closed_at_the_cap(subject: Subject) -> str:
    service = Service()
    async with subject.open(service) as session:
        await check_answers(session)
        event = await wait_reconnected(
            session, lambda: service.connector.link.close(1001, "maximum duration")
        )
        restored = check_restored(event, items=2)
        service.check_conversation(session)
        await check_answers(session)
    return f"connected again after {seconds(event.duration)}, {restored}"


async def _second_drop(subject: Subject) -> str:
    acknowledged = Incoming(4, "conversation.item.added", moment="before")
    service = Service(dials=[[], [Drop(acknowledged)]])
    async with subject.open(service) as session:
        for number in range(10):
            await session.send_message(f"Message {number}", respond=False)
        await trio.sleep(1)
        event = await wait_reconnected(session, service.connector.link.drop)
        assert service.dials == 3, f"expected 3 connections, got {service.dials}"
        restored = check_restored(event, items=10)
        assert service.check_conversation(session) == 10, "items are missing"
        await check_answers(session)
    return (
        f"connected again after {seconds(event.duration)} at attempt {event.attempts}, {restored}"
    )


def _refreshing(subject: Subject) -> ReconnectPolicy:
    """Return a policy that looks for a moment to refresh from 30 s on, and refreshes at 50 s."""
    return subject.policy(
        max_duration=60.0, refresh_before=30.0, force_before=10.0, max_speech=60.0
    )


async def _failed_while_refresh_waits(subject: Subject) -> str:
    service = Service([Say("Well"), Pause(10), Fail()])
    began = trio.current_time()
    async with subject.open(service, reconnect=_refreshing(subject)) as session:
        with session.subscribe(ev.Reconnected) as channel:
            await trio.sleep(25)
            failure = await failure_of(session.ask("Hello"))
            assert failure.code == "server_error", f"the response ended otherwise: {failure}"
            failed_at = trio.current_time() - began
            with within(14, "the refresh follows the failed response"):
                event = await channel.receive()
        refreshed_at = trio.current_time() - began
        assert event.duration == 0, f"{event.duration} s without a connection"
        restored = check_restored(event)
        service.check_conversation(session)
        await check_answers(session)
    return f"the response failed at {seconds(failed_at)}, refreshed at {seconds(refreshed_at)}, {restored}"


async def _drop_while_refresh_waits(subject: Subject) -> str:
    service = Service([Say("Well"), Pause(15)])
    async with subject.open(service, reconnect=_refreshing(subject)) as session:
        with session.subscribe(ev.Reconnected) as channel:
            restored, duration = await _drop_and_watch(service, session, channel)
    return f"the response failed, connected again after {seconds(duration)}, {restored}"


async def _drop_and_watch(
    service: Service, session: Session, channel: EventChannel[Any]
) -> tuple[str, float]:
    await trio.sleep(25)
    response = await session.create_response()
    await trio.sleep(10)
    early = channel.statistics().buffered_events
    assert not early, "the refresh did not wait for the response"
    # The next connection may be open already, so that it is ready for the moment to refresh.
    event = await wait_reconnected(session, service.connector.links[0].drop)
    with within(1, "the response ends"):
        failure = await failure_of(response)
    assert failure.reason == "disconnected", f"the reason is {failure.reason}"
    restored = check_restored(event)
    await check_answers(session)
    await trio.sleep(10)
    count = channel.statistics().buffered_events
    assert count == 1, f"the session connected again {count} times"
    return restored, event.duration


async def _refresh_while_the_user_speaks(subject: Subject) -> str:
    service = Service()
    async with subject.open(
        service,
        reconnect=_refreshing(subject),
        turn_detection=ServerVad(),
        max_history_audio=100_000_000,
    ) as session:
        kinds = (ev.SpeechStarted, ev.SpeechStopped, ev.Reconnected, ev.AgentStart)
        with session.subscribe(*kinds) as channel:
            await speak(session, 25, SILENCE)
            sent = await speak(session, 35)
            await speak(session, 2, SILENCE)
            seen = [await channel.receive() for _ in range(channel.statistics().buffered_events)]
        types: list[type[ev.SessionEvent]] = [type(event) for event in seen]
        assert ev.AgentStart in types, "the agent does not answer"
        seen = seen[: types.index(ev.AgentStart)]
        refreshes = [event for event in seen if isinstance(event, ev.Reconnected)]
        assert len(refreshes) == 1, f"{len(refreshes)} refreshes during the speech"
        event = refreshes[0]
        assert (event.duration, event.lost_audio_ms) == (0, 0), f"audio was lost: {event}"
        speech = [kind for kind in types[: len(seen)] if kind is not ev.Reconnected]
        pairs: list[type[ev.SessionEvent]] = [ev.SpeechStarted, ev.SpeechStopped] * (
            len(speech) // 2
        )
        assert speech == pairs, f"the events of the speech are {speech}"
        arrived = spoken_frames(session)
        assert arrived == sent, f"{arrived} of {sent} frames of the speech arrived"
        check_restored(event)
    return f"the speech of {sent / 10:g} s is one item, and all of its audio arrived"


async def _drop_while_a_tool_runs(subject: Subject) -> str:
    ended: list[float] = []

    @function_tool
    async def fault_matrix_wait() -> str:
        """Wait for five seconds."""
        await trio.sleep(5)
        ended.append(trio.current_time())
        return "waited"

    service = Service([Call("fault_matrix_wait")])
    async with subject.open(service, fault_matrix_wait) as session:
        with session.subscribe(ev.AgentEnd) as ends, session.subscribe(ev.Reconnected) as channel:
            with session.subscribe(ev.ToolStart) as starts:
                await session.send_message("Please wait")
                await starts.receive()
            await trio.sleep(2)
            service.connector.link.drop()
            with within(60, "the agent answers"):
                await ends.receive()
            event = await channel.receive()
        assert len(ended) == 1, f"the tool ended {len(ended)} times"
        kinds = [item["type"] for item in service.items]
        assert kinds == ["message", "function_call", "function_call_output", "message"], (
            f"the conversation of the new connection is {kinds}"
        )
        call, output = service.items[1:3]
        assert call["call_id"] == output["call_id"], "the output belongs to another call"
        check_calls(session.history, 1)
        service.check_conversation(session)
        await check_answers(session)
    return (
        f"the tool went on, connected again after {seconds(event.duration)}, "
        "the call and its output arrived and the agent answered"
    )


async def _microphone_during_an_outage(subject: Subject) -> str:
    service = Service(dials=[[], [SlowDial(0.4)]])
    async with subject.open(
        service, turn_detection=ServerVad(), max_history_audio=100_000_000
    ) as session:
        largest = 0
        with (
            session.subscribe(ev.Reconnected) as reconnections,
            session.subscribe(ev.AgentStart) as answers,
        ):
            sent = await speak(session, 2)
            service.connector.link.drop()
            for _ in range(10):
                sent += await speak(session, 0.1)
                largest = max(largest, session.statistics().outgoing_audio)
            # The service waits for half a second of silence.
            await speak(session, 0.7, SILENCE)
            is_answered = answers.statistics().buffered_events
            event = await reconnections.receive()
        assert is_answered, "the end of the speech reached the service late"
        assert event.lost_audio_ms == 0, f"{event.lost_audio_ms} ms of audio were lost"
        assert largest <= 2 * len(SPEECH), f"{largest} bytes of audio waited to be sent"
        arrived = spoken_frames(session)
        assert arrived == sent, f"{arrived} of {sent} frames of the speech arrived"
    return (
        f"{seconds(event.duration)} without a connection, all {sent / 10:g} s of speech arrived in time "
        "as one item"
    )


async def _frozen_peer(subject: Subject) -> str:
    interval, timeout = subject.config.ping_interval, subject.config.ping_timeout
    bound = 30.0 if interval is None or timeout is None else interval + timeout
    service = Service()
    async with subject.open(service, turn_detection=ServerVad()) as session:
        await check_answers(session)
        with session.subscribe(ev.Reconnecting) as lost, session.subscribe(ev.Reconnected) as found:
            service.connector.link.freeze()
            began = trio.current_time()
            with within(bound + 1, "the frozen peer is noticed"):
                await _speak_until(session, lost)
            noticed = trio.current_time() - began
            with within(60, "the session connects again"):
                event = await found.receive()
        assert isinstance(event, ev.Reconnected)
        restored = check_restored(event)
    return f"noticed after {seconds(noticed)}, connected again, {restored}"


async def _speak_until(session: Session, channel: EventChannel[Any]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak, session, 3600, SILENCE)
        await channel.receive()
        nursery.cancel_scope.cancel()


CONNECTION_CASES: tuple[FaultCase, ...] = (
    FaultCase(
        "closed-at-the-cap",
        "The service closes the connection at its maximum duration (1001)",
        _closed_at_the_cap,
        {
            "LiveKit": "reconnects and replays",
            "Pipecat": "the receive task ends and the pipeline goes on: an error for each audio frame, "
            "until the idle timeout of 300 s",
            "openai-agents": "the iterator ends normally, without an error event",
            "pydantic-ai": "reconnects with a policy; an error without one",
        },
    ),
    FaultCase(
        "second-drop",
        "A second drop before the replay of 10 items is acknowledged",
        _second_drop,
        {
            "LiveKit": "10 items replayed first, none the second time",
            "Pipecat": NO_RECONNECT,
            "openai-agents": NO_RECONNECT,
            "pydantic-ai": "10 items replayed each time",
        },
    ),
    FaultCase(
        "failed-response-before-refresh",
        "A response fails while a refresh waits for it",
        _failed_while_refresh_waits,
        {
            "LiveKit": "the session ends with an error that is not recoverable",
            "Pipecat": NO_REFRESH,
            "openai-agents": NO_REFRESH,
            "pydantic-ai": NO_REFRESH,
        },
    ),
    FaultCase(
        "drop-before-refresh",
        "The connection drops while a refresh waits for a response",
        _drop_while_refresh_waits,
        {
            "LiveKit": "hangs: no second connection and no error within 12 s",
            "Pipecat": NO_REFRESH,
            "openai-agents": NO_REFRESH,
            "pydantic-ai": NO_REFRESH,
        },
    ),
    FaultCase(
        "refresh-during-speech",
        "A refresh is due while the user speaks",
        _refresh_while_the_user_speaks,
        {
            "LiveKit": "reconnects in the middle of the speech and loses the audio that was sent",
            "Pipecat": NO_REFRESH,
            "openai-agents": NO_REFRESH,
            "pydantic-ai": NO_REFRESH,
        },
    ),
    FaultCase(
        "drop-during-tool",
        "The connection drops while a tool runs",
        _drop_while_a_tool_runs,
        {
            "LiveKit": "1.7.0 sends the output without its call; 1.8.9 replays both",
            "Pipecat": NO_RECONNECT,
            "openai-agents": NO_RECONNECT,
            "pydantic-ai": "cancels the tool, replays the call without an output and does not answer",
        },
    ),
    FaultCase(
        "microphone-during-outage",
        "The user speaks during an outage of 0.4 s",
        _microphone_during_an_outage,
        {
            "LiveKit": "queues without a bound and delivers old audio",
            "Pipecat": "the audio is lost, with errors in the log",
            "openai-agents": "sending raises",
            "pydantic-ai": "sending succeeds and the audio is dropped silently",
        },
    ),
    FaultCase(
        "frozen-peer",
        "The peer freezes and the connection stays open",
        _frozen_peer,
        {
            "LiveKit": "not noticed within 90 s; a requested reply fails after 10 s",
            "Pipecat": "1.14.0 notices after 46 s; the pipeline goes on without a connection",
            "openai-agents": "sending blocks after 43 s, the iterator raises after 48 s",
            "pydantic-ai": "sending blocks after 38 s, the iterator raises after 82.7 s",
        },
    ),
)
