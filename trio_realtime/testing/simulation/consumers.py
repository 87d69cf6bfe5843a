"""The consumers of a simulated session."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import trio

from trio_realtime import RealtimeSession, errors, events as ev

from .log import Log
from .plan import ConsumerPlan

__all__ = ["Consumer", "read_main", "read_raw", "run_consumer"]


@attrs.define(eq=False)
class Consumer:
    """What one consumer has received.

    Attributes:
        name: its name.
        received: its events in order. Of raw events, only the text of the frames.
        failure: the error that ended its channel; ``None`` for a plain end.
        finished: whether its channel has ended.
        first_text: the number of messages that the session had read when it began.
        statistics: returns the statistics of its channel; ``None`` if it has none.
        resume: set it so that a consumer that stopped reading goes on.
    """

    name: str
    received: list[Any] = attrs.field(factory=list[Any])
    failure: Exception | None = None
    finished: bool = False
    first_text: int = 0
    statistics: Any = None
    resume: trio.Event = attrs.field(factory=trio.Event)

    async def consume(self, channel: Any, log: Log, plan: ConsumerPlan) -> None:
        """Read a channel until it ends."""
        try:
            async for event in channel:
                self.received.append(event)
                log.note("event", (self.name, event))
                if plan.pause:
                    await trio.sleep(plan.pause)
                if plan.stops_at is not None and trio.current_time() >= plan.stops_at:
                    await self.resume.wait()
        except errors.RealtimeError as failure:
            self.failure = failure
        self.finished = True


async def read_main(consumer: Consumer, session: RealtimeSession[Any], log: Log) -> None:
    """Read the main channel of a session."""
    consumer.statistics = session.events.statistics
    await consumer.consume(session.events, log, ConsumerPlan())


async def read_raw(
    consumer: Consumer,
    session: RealtimeSession[Any],
    texts: list[str],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Read the raw events of a session."""
    with session.subscribe(ev.RawModelEvent) as channel:
        consumer.first_text = len(texts)
        task_status.started()
        try:
            async for event in channel:
                consumer.received.append(event.frame)
        except errors.RealtimeError as failure:
            consumer.failure = failure
    consumer.finished = True


async def run_consumer(
    consumer: Consumer,
    session: RealtimeSession[Any],
    log: Log,
    plan: ConsumerPlan,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a consumer of a plan."""
    opened_at = trio.current_time()
    if plan.stops_at is not None:
        plan = attrs.evolve(plan, stops_at=opened_at + plan.stops_at)
    deadline = float("inf") if plan.cancelled_at is None else opened_at + plan.cancelled_at
    task_status.started()
    with trio.CancelScope(deadline=deadline):
        if plan.kind == "paced":
            await _play(consumer, session)
            return
        types: tuple[Any, ...] = () if plan.kind == "all" else (ev.Audio, ev.AudioInterrupted)
        with session.subscribe(*types, overflow=plan.overflow) as channel:
            consumer.statistics = channel.statistics
            await consumer.consume(channel, log, plan)


async def _play(consumer: Consumer, session: RealtimeSession[Any]) -> None:
    """Play the audio of the agent in real time."""
    # The end of the session ends the frames, too.
    with suppress(errors.RealtimeError):
        async with session.paced_audio() as frames:
            async for frame in frames:
                consumer.received.append(frame)
    consumer.finished = True
