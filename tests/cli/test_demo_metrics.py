"""The measurements that the demo takes from session events."""

from __future__ import annotations

import trio
import trio.testing
from rich.console import Console

from trio_realtime import RealtimeAgent, events
from trio_realtime.cli.demo_metrics import DemoMetrics
from trio_realtime.cli.event_log import EventLog

AGENT = RealtimeAgent[None](name="Clerk")


def audio(ms: int, response_id: str = "resp_1") -> events.Audio:
    return events.Audio(
        data=b"\1\0" * (24 * ms), response_id=response_id, item_id="item_1", content_index=0
    )


def interrupted(ms: int) -> events.AudioInterrupted:
    return events.AudioInterrupted(
        response_id="resp_1", item_id="item_1", content_index=0, played_ms=ms
    )


def end() -> events.AgentEnd:
    return events.AgentEnd(agent=AGENT, turn_id="resp_1", response_id="resp_1", status="completed")


async def test_audio_after_the_interruption_of_its_response_is_counted() -> None:
    metrics = DemoMetrics(EventLog(Console(quiet=True)))
    metrics.handle_event(audio(100))
    metrics.handle_event(interrupted(40))
    assert metrics.stale_audio_events == 0
    metrics.handle_event(audio(20))
    metrics.handle_event(audio(20, response_id="resp_2"))
    assert metrics.stale_audio_events == 1
    assert metrics.audio_ms("resp_1") == 120


async def test_a_waiting_task_is_woken_by_the_event_it_waits_for(nursery: trio.Nursery) -> None:
    metrics = DemoMetrics(EventLog(Console(quiet=True)))
    woken = trio.Event()

    async def wait() -> None:
        await metrics.wait_until(lambda: bool(metrics.turn_ends))
        woken.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    metrics.handle_event(audio(20))
    await trio.testing.wait_all_tasks_blocked()
    assert not woken.is_set()
    metrics.handle_event(end())
    await trio.testing.wait_all_tasks_blocked()
    assert woken.is_set()
