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
from trio_realtime.testing.faults import Drop, FailDial, FaultPlan, Incoming, SlowDial

from .case import (
    FRAME_SECONDS,
    SILENCE,
    FaultCase,
    Service,
    Session,
    Subject,
    check_answers,
    check_calls,
    check_restored,
    seconds,
    speak,
    spoken_frames,
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


async def _frozen_with_a_request(subject: Subject) -> str:
    default = subject.config.request_timeout
    limited = {"request_timeout": 10.0, "ping_interval": 5.0, "ping_timeout": 5.0}
    usual = await _notice_frozen_request(subject, 15.0 if default is None else default)
    lower = await _notice_frozen_request(subject, 10.0, **limited)
    return (
        f"noticed after {seconds(usual)}, or after {seconds(lower)} with lower limits; "
        "the message is answered on the next connection"
    )


async def _notice_frozen_request(subject: Subject, bound: float, **settings: float) -> float:
    """Freeze the peer when it owes a response. Return the seconds until it is noticed."""
    service = Service()
    async with subject.open(service, **settings) as session:
        await check_answers(session)
        await trio.sleep(
            1
        )  # an event that follows the message would show that the service is alive
        with session.subscribe(ev.Reconnecting) as lost, session.subscribe(ev.AgentEnd) as ends:
            service.connector.link.freeze()
            began = trio.current_time()
            await session.send_message("Are you still there?")
            with within(bound + 0.1, "the frozen peer is noticed"):
                await lost.receive()
            noticed = trio.current_time() - began
            with within(60, "the message is answered"):
                await ends.receive()
        service.check_conversation(session)
        questions = [item for item in service.items if item.get("role") == "user"]
        assert len(questions) == 2, f"the service has {len(questions)} of 2 messages"
    return noticed


async def _calls_answered_once(subject: Subject) -> str:
    @function_tool(timeout=50)
    async def fault_matrix_wait(duration: float) -> str:
        """Wait for a while."""
        await trio.sleep(duration)
        return f"waited for {duration:g} s"

    def call(duration: float) -> list[Call]:
        return [Call("fault_matrix_wait", {"duration": duration})]

    fine = [Say("fine")]
    service = Service(
        *(call(0), fine),
        *(call(90), fine),
        call(40),
        *(call(20), fine),
        *(call(3), fine),
        call(30),
        dials=[[], [], [SlowDial(5)]],
    )
    async with subject.open(service, fault_matrix_wait) as session:
        with (
            session.subscribe(ev.ToolStart) as starts,
            session.subscribe(ev.AgentEnd) as ends,
            within(240, "each call is answered"),
        ):

            async def begin(message: str) -> None:
                await session.send_message(message)
                await starts.receive()

            await begin("Wait")
            await ends.receive()
            await begin("Wait for too long")
            await ends.receive()
            await begin("Wait for long")
            await session.interrupt()
            await ends.receive()
            await begin("Wait while the connection is replaced")
            service.connector.link.drop()
            await ends.receive()
            await begin("Wait for less than the outage")
            service.connector.link.drop()
            await ends.receive()
            check_calls(session.history, 5)
            outputs = [item for item in service.items if item["type"] == "function_call_output"]
            assert len(outputs) == 5, f"the service has {len(outputs)} of 5 outputs"
            texts = [item["output"] for item in outputs]
            for duration in (20, 3):
                assert f"waited for {duration} s" in texts, f"the service was told {texts}"
            service.check_conversation(session)
            await begin("Wait until the end")
    kinds = [item["type"] for item in service.items]
    calls, answers = kinds.count("function_call"), kinds.count("function_call_output")
    assert (calls, answers) == (6, 6), f"at the end, the service has {answers} of {calls} outputs"
    return (
        "of six calls, one completed, one timed out, one was interrupted, one outlived its connection, "
        "one ended without a connection and one was cut off by the end of the session: each has one output"
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


async def _long_outage(subject: Subject) -> str:
    remembered = 5.0
    service = Service(dials=[[], [SlowDial(20)]])
    policy = subject.policy(max_audio_while_away=remembered)
    async with subject.open(
        service,
        reconnect=policy,
        connect_timeout=30.0,
        turn_detection=ServerVad(),
        max_history_audio=100_000_000,
    ) as session:
        with session.subscribe(ev.Reconnected) as channel:
            await speak(session, 2)
            service.connector.link.drop()
            await speak(session, 22)
            await speak(session, 2, SILENCE)
            event = await channel.receive()
        assert event.duration == 20, f"the outage took {event.duration:g} s"
        arrived = spoken_frames(session) * FRAME_SECONDS
        # 5 s from the outage and the 2 s after it
        expected = remembered + 2
        assert abs(arrived - expected) <= 2 * FRAME_SECONDS, (
            f"{arrived:g} s of speech arrived, expected {expected:g} s"
        )
        lost = event.lost_audio_ms / 1000
        assert abs(lost + arrived - 24) <= 2 * FRAME_SECONDS, (
            f"{lost:g} s of speech are counted as lost, and {arrived:g} of 24 s arrived"
        )
        await check_answers(session)
    return (
        f"the last {seconds(remembered)} of the outage arrived, {seconds(lost)} of older speech were "
        "dropped and counted"
    )


async def _refresh_without_a_gap(subject: Subject) -> str:
    count, length = 8, 12.0
    # A response takes as long as its audio, so a refresh is nearly always due while the agent speaks.
    replies = [[Say("It is a fine day.", audio_ms=round(length * 1000))] for _ in range(count)]
    service = Service(*replies, session_seconds=60, pacing=1.0)
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
                for _ in range(count):
                    await session.ask("How is the weather?")
                    await trio.sleep(2)
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
    played = len(frames) * 0.02
    assert abs(played - count * length) < 0.01, (
        f"{played:g} of {count * length:g} s of audio were played"
    )
    return f"{len(refreshes)} refreshes, no gap in the agent's audio"


CLAIMS: tuple[FaultCase, ...] = (
    FaultCase("typed-end", "The service cannot be reached any more", _end_has_a_reason),
    FaultCase(
        "drops-during-replay",
        "Two drops in a row, at each frame of the replay",
        _drops_during_the_replay,
    ),
    FaultCase(
        "frozen-with-request",
        "The peer freezes when it owes an answer",
        _frozen_with_a_request,
    ),
    FaultCase(
        "calls-answered-once",
        "Each function call has one output, over a timeout, an interruption, drops, an outage and the end",
        _calls_answered_once,
    ),
    FaultCase("no-task-left", "The session is left during an outage", _no_task_left),
    FaultCase("long-outage", "The user speaks during an outage of 20 s", _long_outage),
    FaultCase(
        "bounded-memory",
        "The user speaks during a long outage and nobody reads the events",
        _bounded_memory,
    ),
    FaultCase(
        "refresh-without-gap",
        "Connections are to be replaced while the agent speaks",
        _refresh_without_a_gap,
    ),
)
