"""Guarantees that hold whatever fails: how sessions end, what is lost, and what is left behind."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import pairwise

import trio

from trio_realtime import ServerVad, SessionEnd, events as ev, function_tool
from trio_realtime.errors import RealtimeError
from trio_realtime.local import Call, Pause, Say
from trio_realtime.session import PacedAudio
from trio_realtime.testing.faults import Drop, FailDial, FaultPlan, Incoming

from .case import (
    FaultCase,
    Service,
    Session,
    Subject,
    check_answers,
    check_calls,
    check_restored,
    seconds,
    speak,
    wait_reconnected,
    within,
)

MEGABYTE = 1024 * 1024


async def _end_has_a_reason(subject: Subject) -> str:
    service = Service()
    caught: RealtimeError | None = None
    end: SessionEnd | None = None
    lost_at = trio.current_time()
    with within(3600, "the session ends"):
        try:
            async with subject.open(service) as session:
                await check_answers(session)
                service.connector.plan = FaultPlan(every=[FailDial()])
                lost_at = trio.current_time()
                service.connector.link.drop()
                try:
                    async for _ in session:
                        pass
                finally:
                    end = session.end
        except RealtimeError as exc:
            caught = exc
    assert caught is not None, "the session ended without an error"
    assert end is not None, "the session has no end"
    assert (end.by, end.reason) == ("network", "reconnect_failed"), f"the end is {end}"
    assert end.error is not None, "the end has no error"
    return (
        f"the block raises {type(caught).__name__} {seconds(trio.current_time() - lost_at)} after the "
        f"loss, after {service.dials - 1} attempts; the reason is {end.reason}"
    )


async def _drops_during_the_replay(subject: Subject) -> str:
    """Drop twice in a row, after each frame of the replay and in the middle of each."""
    count = 0
    for number in range(1, 11):
        for moment in ("before", "mid_frame", "after"):
            drop = Drop(Incoming(number, moment=moment))
            service = Service(dials=[[], [drop], [drop]])
            async with subject.open(service) as session:
                for message in range(4):
                    await session.send_message(f"Message {message}", respond=False)
                await trio.sleep(1)
                await _lose_and_check(service, session)
                await check_answers(session)
                # Where the replay is shorter, the connection drops during the answer or not at all.
                await trio.sleep(60)
                users = [item for item in service.items if item.get("role") == "user"]
                assert len(users) == 5, f"{len(users)} of 5 messages arrived with {drop}"
                service.check_conversation(session)
            count += 1
    return f"no item was lost in {count} sessions with two drops each"


async def _lose_and_check(service: Service, session: Session) -> None:
    event = await wait_reconnected(session, service.connector.link.drop)
    check_restored(event, items=4)


async def _calls_answered_once(subject: Subject) -> str:
    @function_tool
    async def fault_matrix_wait(duration: float) -> str:
        """Wait for a while."""
        await trio.sleep(duration)
        return "waited"

    def call(duration: float) -> list[Call]:
        return [Call("fault_matrix_wait", {"duration": duration})]

    service = Service(call(0), [Say("fine")], call(100), call(5))
    async with subject.open(service, fault_matrix_wait) as session:
        with (
            session.subscribe(ev.ToolStart) as starts,
            session.subscribe(ev.AgentEnd) as ends,
            within(120, "each call is answered"),
        ):
            await session.send_message("Wait")
            await starts.receive()
            await ends.receive()
            await session.send_message("Wait for long")
            await starts.receive()
            await session.interrupt()
            await ends.receive()
            await session.send_message("Wait for a moment")
            await starts.receive()
            service.connector.link.drop()
            await ends.receive()
        check_calls(session.history, 3)
        outputs = [item for item in service.items if item["type"] == "function_call_output"]
        assert len(outputs) == 3, f"the service has {len(outputs)} of 3 outputs"
        service.check_conversation(session)
    return (
        "one call completed, one was interrupted, one outlived its connection: each has one output"
    )


async def _no_task_left(subject: Subject) -> str:
    @function_tool
    async def fault_matrix_wait() -> str:
        """Wait forever."""
        await trio.sleep_forever()
        raise AssertionError

    before = trio.lowlevel.current_statistics().tasks_living
    service = Service([Call("fault_matrix_wait")], [Say("Well"), Pause(1000)])
    async with subject.open(service, fault_matrix_wait) as session:
        with session.subscribe(ev.ToolStart) as starts, within(60, "the tool starts"):
            await session.send_message("Wait")
            await starts.receive()
        await session.create_response()
        service.connector.plan = FaultPlan(every=[FailDial()])
        service.connector.link.drop()
        await trio.sleep(2)
        left_at = trio.current_time()
    took = trio.current_time() - left_at
    after = trio.lowlevel.current_statistics().tasks_living
    assert after == before, f"{after - before} tasks are left"
    assert took <= subject.config.close_timeout + 1, f"leaving the block took {took:g} s"
    return f"leaving the block during an outage took {seconds(took)} and left no task"


async def _bounded_memory(subject: Subject) -> str:
    policy = subject.policy(max_attempts=10_000, max_attempts_in_session=10_000)
    minutes = 10
    service = Service()
    async with subject.open(
        service, reconnect=policy, turn_detection=ServerVad(), max_history_audio=0
    ) as session:
        await check_answers(session)
        service.connector.plan = FaultPlan(every=[FailDial()])
        service.connector.link.freeze()
        await _speak_into_outage(session, 120)
        was_tracing = tracemalloc.is_tracing()
        if not was_tracing:
            tracemalloc.start()
        try:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            await _speak_into_outage(session, minutes * 60)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            if not was_tracing:
                tracemalloc.stop()
        statistics = session.statistics()
    bound = 5 * MEGABYTE
    assert grown < bound, f"{grown / MEGABYTE:.1f} MB more after {minutes} minutes"
    assert statistics.outgoing_audio <= subject.config.max_outgoing_audio, (
        f"{statistics.outgoing_audio} bytes of audio wait to be sent"
    )
    return (
        f"{minutes} minutes of speech without a connection or a reader take less than "
        f"{bound // MEGABYTE} MB of memory"
    )


async def _speak_into_outage(session: Session, duration: float) -> None:
    with trio.move_on_after(duration):  # sending may wait until the connection is lost
        await speak(session, duration)


async def _refresh_without_a_gap(subject: Subject) -> str:
    replies = [[Say("It is a fine day.", audio_ms=3000)] for _ in range(12)]
    service = Service(*replies, session_seconds=60, pacing=4.0)
    policy = subject.policy(max_duration=None, refresh_before=30.0, force_before=5.0)
    frames: list[tuple[str, float]] = []

    async def play(paced: PacedAudio) -> None:
        async for frame in paced:
            frames.append((frame.item_id, trio.current_time()))  # noqa: PERF401 - frames arrive one by one

    refreshes: list[ev.Reconnected] = []
    async with subject.open(service, reconnect=policy, output_modalities=("audio",)) as session:
        async with session.paced_audio(frame_ms=20) as paced, trio.open_nursery() as nursery:
            nursery.start_soon(play, paced)
            with session.subscribe(ev.Reconnected, ev.Reconnecting) as channel:
                for _ in range(12):
                    await session.ask("How is the weather?")
                    await trio.sleep(12)
                for _ in range(channel.statistics().buffered_events):
                    event = await channel.receive()
                    assert isinstance(event, ev.Reconnected), "the connection was lost"
                    refreshes.append(event)
            nursery.cancel_scope.cancel()
        service.check_conversation(session)
    assert len(refreshes) >= 2, f"the session refreshed {len(refreshes)} times"
    assert all(event.duration == 0 for event in refreshes), "there was no connection for a while"
    pause = max(b[1] - a[1] for a, b in pairwise(frames) if a[0] == b[0])
    assert pause < 0.021, f"the agent's audio has a gap of {pause:g} s"
    assert len(frames) == 12 * 150, f"{len(frames)} of {12 * 150} frames were played"
    return f"{len(refreshes)} refreshes, no gap in the agent's audio"


CLAIMS: tuple[FaultCase, ...] = (
    FaultCase("typed-end", "The service cannot be reached any more", _end_has_a_reason),
    FaultCase(
        "drops-during-replay",
        "Two drops in a row, at each frame of the replay",
        _drops_during_the_replay,
    ),
    FaultCase(
        "calls-answered-once",
        "Each function call has one output, over an interruption and a drop",
        _calls_answered_once,
    ),
    FaultCase("no-task-left", "The session is left during an outage", _no_task_left),
    FaultCase(
        "bounded-memory",
        "The user speaks during a long outage and nobody reads the events",
        _bounded_memory,
    ),
    FaultCase(
        "refresh-without-gap",
        "Connections are replaced while the agent's audio plays",
        _refresh_without_a_gap,
    ),
)
