"""Run a plan: open the session, carry out the actions, wait until it is quiet, and leave."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

import attrs
import trio

from trio_realtime import (
    Endpoint,
    RealtimeSession,
    errors,
    events as ev,
    open_realtime_session,
)

from .agents import FIRST_AGENT, GUARDRAIL_TIMEOUT, PROTECTED, Cast
from .checks import (
    AudioCheck,
    BoundsCheck,
    CallCheck,
    CreateCheck,
    CreateReasons,
    DeliveryCheck,
    EndCheck,
    GuardrailCheck,
    HistoryCheck,
    InterruptionCheck,
    LogRecords,
    RequestCheck,
    SecretCheck,
)
from .configs import server_config, session_config
from .consumers import Consumer, read_main, read_raw, run_consumer
from .log import InvariantViolation, Log
from .network import Network
from .plan import Action, ActionKind, Decision, Plan, Settings
from .scheduling import Deadlock, run_seeded
from .subject import API_KEY, REQUEST_TIMEOUT, WRONG_KEY, Subject
from .user import Performer
from .websockets import TransportName

__all__ = ["Result", "run_plan"]

_LIMIT: Final = 1000.0
_QUIET_LIMIT: Final = 60.0
_ENDINGS: Final = {"drop", "server closes", "long stall", "aclose", "end call", "expired"}
_MAX_ENTRIES: Final = 200_000


@attrs.frozen(kw_only=True)
class Result:
    """The result of one simulated session.

    Attributes:
        plan: its plan.
        violation: the invariant that does not hold; ``None`` if all hold.
        end: how the session ended.
        log: what has happened.
        outcomes: how often which action ended in which way.
        consumer_ends: how each consumer ended.
        virtual_seconds: how long it took on the virtual clock.
        seconds: how long it took.
    """

    plan: Plan
    violation: InvariantViolation | None
    end: str
    log: Log
    outcomes: Counter[str]
    consumer_ends: tuple[str, ...]
    virtual_seconds: float
    seconds: float


def run_plan(plan: Plan, transport: TransportName = "memory") -> Result:
    """Run one simulated session, and check all invariants after every step.

    The same plan gives the same result.

    Args:
        plan: The plan.
        transport: What the session connects with.
    """
    began = time.perf_counter()
    simulation = _Simulation(plan, transport)
    with simulation.collected_records():
        try:
            run_seeded(plan.seed, simulation.run)
        except Deadlock as deadlock:
            simulation.log.report(InvariantViolation(7, f"the session does not end: {deadlock}"))
    return Result(
        plan=plan,
        violation=simulation.log.violation,
        end=simulation.end,
        log=simulation.log,
        outcomes=simulation.outcomes,
        consumer_ends=tuple(map(_end_of, simulation.subject.consumers)),
        virtual_seconds=simulation.virtual_seconds,
        seconds=time.perf_counter() - began,
    )


def _end_of(consumer: Consumer) -> str:
    if consumer.failure is not None:
        return type(consumer.failure).__name__
    return "finished" if consumer.finished else "cancelled"


class _LeftOnPurpose(Exception):
    """Raised in the user's block."""


class _Simulation:
    """One session, everything around it, and the checks."""

    def __init__(self, plan: Plan, transport: TransportName) -> None:
        self.plan = plan
        self.end = ""
        self.outcomes: Counter[str] = Counter()
        self.virtual_seconds = 0.0
        self._abort = trio.CancelScope()
        self.log = Log(self._abort.cancel)
        self.network = Network(
            self.log,
            server_config(plan),
            latency=plan.settings.latency,
            send_buffer=plan.settings.send_buffer,
            extra_fields=plan.settings.extra_fields,
            repeat=plan.settings.repeat,
            transport=transport,
        )
        self.subject = Subject(plan, self.log, self.network)
        self._cast = Cast(self.log, deque(plan.checks))
        self._block = trio.CancelScope()
        self._decide_all = trio.Event()
        self._ended_by: errors.RealtimeError | None = None

    # --- checks

    @contextmanager
    def collected_records(self) -> Generator[None]:
        """Collect the records of the library's loggers instead of printing them."""
        logger = logging.getLogger("trio_realtime")
        handler = LogRecords(self.subject.reports)
        level, propagates = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagates

    def _observe(self) -> tuple[EndCheck, DeliveryCheck, SecretCheck]:
        log, settings = self.log, self.plan.settings
        CallCheck(log)
        sends_at_once = settings.send_buffer >= Settings().send_buffer
        CreateCheck(log, request_timeout=REQUEST_TIMEOUT, sends_at_once=sends_at_once)
        RequestCheck(log)
        CreateReasons(log)
        AudioCheck(log)
        InterruptionCheck(
            log,
            protected=PROTECTED,
            timed={"too_slow"},
            reconnects=settings.reconnects,
            sends_at_once=sends_at_once,
        )
        HistoryCheck(self.subject)
        BoundsCheck(self.subject)
        GuardrailCheck(log, gated=settings.gated)
        return EndCheck(self.subject), DeliveryCheck(self.subject), SecretCheck(self.subject)

    # --- the run

    async def run(self) -> None:
        """Run the session. A violation is recorded in the log."""
        began = trio.current_time()
        end_check, delivery_check, secret_check = self._observe()
        with self._abort, trio.move_on_after(_LIMIT) as limit:
            async with trio.open_nursery() as nursery:
                await self._open(nursery)
                self._finish_consumers()
                nursery.start_soon(_cancel_later, nursery)
        if limit.cancelled_caught:
            self.log.report(InvariantViolation(0, f"the session hangs after {_LIMIT:g} s"))
        self.virtual_seconds = trio.current_time() - began
        self._name_end()
        for check in (
            self._check_end,
            end_check.check_tasks,
            delivery_check.check,
            secret_check.check,
        ):
            if self.log.violation is None:
                try:
                    check()
                except InvariantViolation as violation:
                    self.log.report(violation)

    async def _open(self, nursery: trio.Nursery) -> None:
        """Run the session to its end, and note how it ended."""
        settings = self.plan.settings
        key = WRONG_KEY if settings.wrong_key else API_KEY
        self.end = "cancelled"
        try:
            with self._block:
                async with (
                    self._left(),
                    open_realtime_session(
                        FIRST_AGENT,
                        endpoint=Endpoint.compatible(
                            "ws://localhost/v1/realtime",
                            api_key=key,
                            model="gpt-realtime-2.1",
                            proxy="",
                        ),
                        transport=self.network.connect,
                        config=session_config(settings),
                        context=self._cast,
                    ) as session,
                ):
                    await self._use(session, nursery)
        except _LeftOnPurpose:
            self.end = "raised"
        except errors.InternalError as bug:
            self.subject.failure = bug
            self.end = "InternalError"
            self.log.report(
                InvariantViolation(0, f"the session crashed: {bug!r} {bug.__cause__!r}")
            )
        except errors.RealtimeError as failure:
            self.subject.failure = failure
            self.end = type(failure).__name__
        except Exception as failure:  # noqa: BLE001 - what a simulation looks for
            self.subject.failure = failure
            self.end = "crash"
            self.log.report(InvariantViolation(0, f"the session raised {failure!r}"))

    @asynccontextmanager
    async def _left(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self.log.note("left")

    async def _use(self, session: RealtimeSession[Cast], nursery: trio.Nursery) -> None:
        try:
            self.subject.session = self._cast.session = session
            await self._start_consumers(session, nursery)
            performer = Performer(session, self.log, self.network, self.plan.settings)
            self.outcomes = performer.outcomes
            how: ActionKind | None = None
            async with trio.open_nursery() as users:
                users.start_soon(self._decide, session)
                how = await self._perform_all(performer, users, nursery)
                if how is None:
                    await self._settle(session, users)
                users.cancel_scope.cancel()
            if how is not None:
                self.end = "left early"
            if how == "raise":
                raise _LeftOnPurpose
        finally:
            self.log.note("leaving")

    async def _perform_all(
        self, performer: Performer, users: trio.Nursery, nursery: trio.Nursery
    ) -> ActionKind | None:
        """Start all actions at their times. Return the one that leaves the block, if any."""
        began = trio.current_time()
        for action in self.plan.actions:
            await trio.sleep_until(began + action.at)
            match action.kind:
                case "leave" | "raise":
                    return action.kind
                case "cancel block":
                    nursery.start_soon(self._cancel_block, action)
                case _:
                    users.start_soon(performer.perform, action, name=f"user: {action.kind}")
        return None

    async def _cancel_block(self, action: Action) -> None:
        for _ in range(action.value):
            await trio.lowlevel.checkpoint()
        self.log.note("ending", "cancel block")
        self._block.cancel()

    # --- consumers and decisions

    async def _start_consumers(self, session: RealtimeSession[Cast], nursery: trio.Nursery) -> None:
        main = Consumer("main")
        self.subject.consumers.append(main)
        nursery.start_soon(read_main, main, session, self.log)
        await nursery.start(read_raw, self.subject.raw, session, self.network.texts)
        for number, plan in enumerate(self.plan.consumers):
            consumer = Consumer(f"{plan.kind} {number}")
            self.subject.consumers.append(consumer)
            await nursery.start(run_consumer, consumer, session, self.log, plan)

    def _finish_consumers(self) -> None:
        for consumer in self.subject.consumers:
            consumer.resume.set()

    async def _decide(self, session: RealtimeSession[Cast]) -> None:
        decisions = deque(self.plan.decisions)
        with session.subscribe(ev.ToolApprovalRequired) as channel:
            async with trio.open_nursery() as nursery:
                with suppress(errors.RealtimeError):
                    async for event in channel:
                        decision = decisions.popleft() if decisions else Decision()
                        nursery.start_soon(self._decide_one, session, event.call_id, decision)

    async def _decide_one(
        self, session: RealtimeSession[Cast], call_id: str, decision: Decision
    ) -> None:
        with trio.move_on_after(decision.seconds):
            await self._decide_all.wait()
        with suppress(errors.RealtimeError):
            if decision.approve:
                waited = await session.approve_tool_call(call_id, always=decision.always)
            else:
                waited = await session.reject_tool_call(call_id, always=decision.always)
            if waited:
                self.log.note("decided", (call_id, decision.approve))
                if not decision.approve:
                    self.log.note("rejected", call_id)

    # --- the end

    async def _settle(self, session: RealtimeSession[Cast], users: trio.Nursery) -> None:
        """Wait until nothing is under way, check what holds then, and end the other tasks."""
        try:
            if await self._wait_quiet(session, users):
                self.log.note("quiet")
                self.end = "left"
        except errors.RealtimeError as failure:
            self.end = type(failure).__name__
            self._ended_by = failure

    def _check_end(self) -> None:
        """Check that something in the plan has ended a session that ended before its time."""
        failure = self._ended_by
        if failure is None:
            return
        expected = {*self.log.of("fault"), *self.log.of("ending")}
        if self.plan.settings.session_seconds < 3600:
            expected.add("expired")
        if not expected & _ENDINGS:
            raise InvariantViolation(0, f"the session ended with {failure!r}")

    def _name_end(self) -> None:
        """Name the end of the session as the session itself does, and note whether it was quiet."""
        session = self.subject.session
        if session is not None and session.end is not None:
            quiet = " when quiet" if self.log.of("quiet") else ""
            self.end = f"{session.end.by}: {session.end.reason}{quiet}"

    async def _wait_quiet(self, session: RealtimeSession[Cast], users: trio.Nursery) -> bool:
        self._decide_all.set()
        for attempt in range(10):
            with trio.move_on_after(_QUIET_LIMIT) as limit:
                while True:
                    count = len(self.log.entries)
                    await session.drain()
                    # The last checks, transcriptions and unanswered requests take some time.
                    await trio.sleep(max(GUARDRAIL_TIMEOUT, REQUEST_TIMEOUT) + 1)
                    await session.drain()
                    busy = sum(task.name.startswith("user: ") for task in users.child_tasks)
                    if len(self.log.entries) == count and self.network.is_idle and not busy:
                        return True
                    if len(self.log.entries) > _MAX_ENTRIES:
                        self.log.report(InvariantViolation(0, "the session never becomes quiet"))
                        return False
            assert limit.cancelled_caught
            if attempt == 0:
                # The agent may be in the middle of a pause without end.
                self.log.note("interrupting", "settle")
                await session.interrupt()
                self.log.note("interrupted", "settle")
        waiting = sorted(task.name for task in users.child_tasks)
        self.log.report(InvariantViolation(3, f"the session does not become quiet: {waiting}"))
        return False


async def _cancel_later(nursery: trio.Nursery) -> None:
    """Give the consumers time to read what is left, then end those that never finish."""
    await trio.sleep(600)
    nursery.cancel_scope.cancel()
