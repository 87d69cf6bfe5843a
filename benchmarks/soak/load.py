"""The sessions of a soak, and what they count."""

from __future__ import annotations

import traceback
from collections import Counter
from random import Random
from typing import final

import attrs
import trio

from trio_realtime import (
    Endpoint,
    RealtimeAgent,
    RealtimeSession,
    ReconnectPolicy,
    SessionConfig,
    ToolContext,
    errors,
    events,
    function_tool,
    open_realtime_session,
)
from trio_realtime.items import FunctionCallOutputItem
from trio_realtime.transports import Connector

QUESTIONS_PER_SESSION = 5
"""Questions after which a session ends, on average.

Conversations grow, so memory is compared only once sessions of all ages exist: the warm-up is several times
as long as a session lives.
"""

PAUSE = 3.0
"""Seconds between two questions of a session, on average."""

PATIENCE = 240.0
"""Seconds after which a question without any outcome counts as lost: above the limits below together."""

CONFIG = SessionConfig(
    ping_interval=2.0,
    ping_timeout=2.0,
    request_timeout=8.0,
    connect_timeout=15.0,
    reconnect=ReconnectPolicy(
        initial_delay=0.1, max_delay=2.0, max_attempts=8, max_attempts_in_session=100_000
    ),
)


@final
@attrs.define
class Counts:
    """What the sessions have counted. ``failed``, ``raised`` and ``ended`` are by reason."""

    asked: int = 0
    answered: int = 0
    failed: Counter[str] = attrs.field(factory=Counter[str])
    lost: int = 0
    calls: int = 0
    outputs: int = 0
    cancelled: int = 0
    unanswered: int = 0
    unnamed_calls: int = 0
    repeated_runs: int = 0
    repeated_outputs: int = 0
    sessions: int = 0
    raised: Counter[str] = attrs.field(factory=Counter[str])
    ended: Counter[str] = attrs.field(factory=Counter[str])
    reconnects: int = 0

    def problems(self) -> list[str]:
        """Return what does not add up."""
        failed = sum(self.failed.values())
        over = self.outputs + self.cancelled + self.unanswered
        checks = {
            f"{self.lost} questions have no outcome": self.lost == 0,
            f"{self.asked} asked, but {self.answered} answered and {failed} failed": (
                self.asked == self.answered + failed + self.lost
            ),
            f"{self.calls} calls, but {over} outputs, cancelled or unanswered": self.calls == over,
            f"{self.unnamed_calls} calls ended with their session, which does not name them": (
                self.unnamed_calls == 0
            ),
            f"{self.repeated_runs} calls ran twice": self.repeated_runs == 0,
            f"{self.raised['InternalError']} internal errors": not self.raised["InternalError"],
            f"{self.repeated_outputs} calls have two outputs": self.repeated_outputs == 0,
            "nothing was answered": self.answered > 0,
        }
        return [problem for problem, is_right in checks.items() if not is_right]


@final
class Load:
    """Keeps a number of sessions busy.

    Args:
        endpoint: where they connect.
        random: chooses questions and pauses.
        connector: opens their connections.
    """

    def __init__(self, endpoint: Endpoint, random: Random, connector: Connector) -> None:
        self.counts = Counts()
        self._endpoint = endpoint
        self._random = random
        self._connector = connector
        self._is_over = trio.Event()

    def stop(self) -> None:
        """Let each session end after its current question."""
        self._is_over.set()

    async def keep_session(self) -> None:
        """Open one session after another until :meth:`stop`."""
        while not self._is_over.is_set():
            await self._pause()
            runs: Counter[str] = Counter()
            agent = RealtimeAgent[None](name="Assistant", tools=[make_tool(runs)])
            try:
                async with open_realtime_session(
                    agent, endpoint=self._endpoint, config=CONFIG, transport=self._connector
                ) as session:
                    self.counts.sessions += 1
                    await self._use(session)
            except errors.RealtimeError as exc:
                self.counts.raised[type(exc).__name__] += 1
                if isinstance(exc, errors.InternalError):
                    traceback.print_exception(exc)
            self.counts.repeated_runs += sum(count > 1 for count in runs.values())

    async def _use(self, session: RealtimeSession[None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._count_events, session)
                questions = round(self._random.expovariate(1 / QUESTIONS_PER_SESSION)) + 1
                for number in range(questions):
                    if self._is_over.is_set() or session.end is not None:
                        break
                    await self._ask(session, number)
                    await self._pause()
                await session.aclose()
        finally:
            assert session.end is not None
            self.counts.ended[session.end.reason] += 1
            outputs = Counter(
                item.call_id for item in session.history if isinstance(item, FunctionCallOutputItem)
            )
            self.counts.repeated_outputs += sum(count > 1 for count in outputs.values())

    async def _pause(self) -> None:
        with trio.move_on_after(self._random.expovariate(1 / PAUSE)):
            await self._is_over.wait()

    async def _ask(self, session: RealtimeSession[None], number: int) -> None:
        question = self._random.choice(("Say {}.", "What is the status of order {}?"))
        self.counts.asked += 1
        try:
            with trio.fail_after(PATIENCE):
                await session.ask(question.format(number))
        except errors.ResponseFailed as exc:
            self.counts.failed[exc.reason or "failed"] += 1
        except errors.RealtimeError as exc:
            self.counts.failed[type(exc).__name__] += 1
        except trio.TooSlowError:
            self.counts.lost += 1
        else:
            self.counts.answered += 1

    async def _count_events(self, session: RealtimeSession[None]) -> None:
        # Reading everything also leaves nothing in the main channel.
        open_calls: set[str] = set()
        try:
            async for event in session:
                match event:
                    case events.ToolStart(call_id=call_id):
                        self.counts.calls += 1
                        open_calls.add(call_id)
                    case events.ToolEnd(call_id=call_id):
                        self.counts.outputs += 1
                        open_calls.remove(call_id)
                    case events.ToolCancelled(call_id=call_id) if call_id in open_calls:
                        self.counts.cancelled += 1
                        open_calls.remove(call_id)
                    case events.Reconnected():
                        self.counts.reconnects += 1
                    case _:
                        pass
        except errors.RealtimeError:
            pass  # the session has ended, which its end counts
        self.counts.unanswered += len(open_calls)
        assert session.end is not None
        self.counts.unnamed_calls += len(open_calls.difference(session.end.unanswered_calls))


def make_tool(runs: Counter[str]) -> object:
    """Return a tool that counts how often each call ran."""

    @function_tool
    async def get_order_status(context: ToolContext[None], number: int) -> str:
        """Return the status of an order."""
        runs[context.call_id] += 1
        await trio.sleep(0.2)
        return f"Order {number} is on its way."

    return get_order_status
