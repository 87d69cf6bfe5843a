"""A connector whose connections have faults."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import final

import attrs
import trio

from trio_realtime._nursery import open_bare_nursery
from trio_realtime.transports import (
    ConnectOptions,
    Connector,
    HandshakeRejected,
    Transport,
    TransportConnectError,
    TransportConnectTimeout,
)

from .link import FaultyLink
from .plan import DialFault, FailDial, Fault, FaultPlan, RejectDial, SlowDial

__all__ = ["Dial", "FaultyConnector", "faulty_connector"]

BUFFER = 64 * 1024


def faulty_connector(
    connector: Connector,
    *dials: Fault | Iterable[Fault],
    every: Fault | Iterable[Fault] = (),
    buffer: int = BUFFER,
) -> FaultyConnector:
    """Return a connector whose connections have faults. Pass it as ``transport=``.

    Args:
        connector: Opens the connections.
        *dials: The faults of the first dial, of the second one, and so on: a fault or several.
            Later dials have none.
        every: Faults of every dial.
        buffer: The characters that may be under way in each direction before sending blocks.

    Raises:
        TypeError: Something is not a fault.
    """
    return FaultyConnector(connector, FaultPlan(dials, every), buffer=buffer)


@final
@attrs.define(eq=False)
class Dial:
    """An attempt to connect.

    Attributes:
        number: Which attempt, from 1.
        options: The options of the connection.
        time: When it began, on trio's clock.
        error: Why it failed; ``None`` if it did not.
        link: The connection; ``None`` if there is none yet.
    """

    number: int
    options: ConnectOptions
    time: float
    error: BaseException | None = None
    link: FaultyLink | None = None


@final
class FaultyConnector:
    """A connector whose connections have faults. :func:`faulty_connector` creates it.

    Args:
        connector: Opens the connections.
        plan: The faults.
        buffer: The characters that may be under way in each direction before sending blocks.

    Attributes:
        plan: The faults. Assign another plan to change those of later dials: an outage lasts from
            ``connector.plan = FaultPlan(every=[FailDial()])`` to ``connector.plan = FaultPlan()``.
        dials: All attempts to connect, in order.
    """

    def __init__(self, connector: Connector, plan: FaultPlan, *, buffer: int = BUFFER) -> None:
        self.plan: FaultPlan = plan
        self.dials: list[Dial] = []
        self._connector = connector
        self._buffer = buffer
        self._opened = trio.lowlevel.ParkingLot()

    @property
    def links(self) -> list[FaultyLink]:
        """The connections that were opened, in order."""
        return [dial.link for dial in self.dials if dial.link is not None]

    @property
    def link(self) -> FaultyLink:
        """The latest connection.

        Raises:
            IndexError: No connection was opened.
        """
        return self.links[-1]

    async def wait_link(self, count: int = 1) -> FaultyLink:
        """Wait until so many connections were opened, and return the last of them.

        Cancellation changes nothing.
        """
        await trio.lowlevel.checkpoint()
        while len(self.links) < count:
            await self._opened.park()
        return self.links[count - 1]

    def __call__(self, options: ConnectOptions) -> AbstractAsyncContextManager[Transport]:
        """Open a connection for the duration of an ``async with`` block.

        Raises:
            HandshakeRejected: The plan has a :class:`RejectDial`.
            TransportConnectError: The plan has a :class:`FailDial`.
            TransportConnectTimeout: The plan has a :class:`SlowDial` beyond ``connect_timeout``.
            TransportError: The connector that is wrapped failed.
        """
        return self._connect(options)

    @asynccontextmanager
    async def _connect(self, options: ConnectOptions) -> AsyncGenerator[Transport]:
        dial = Dial(len(self.dials) + 1, options, trio.current_time())
        self.dials.append(dial)
        faults = self.plan.faults_of(dial.number)
        async with AsyncExitStack() as stack:
            try:
                for fault in faults:
                    if isinstance(fault, DialFault):
                        await _apply_to_dial(fault, options, dial.time)
                inner = await stack.enter_async_context(self._connector(options))
            except BaseException as exc:
                dial.error = exc
                raise
            link = FaultyLink(inner, options, number=dial.number, buffer=self._buffer)
            nursery = await stack.enter_async_context(open_bare_nursery(AssertionError))
            others = [fault for fault in faults if not isinstance(fault, DialFault)]
            await nursery.start(link.run, others)
            dial.link = link
            self._opened.unpark_all()
            try:
                yield link
            finally:
                await link.aclose()


async def _apply_to_dial(fault: DialFault, options: ConnectOptions, began: float) -> None:
    match fault:
        case SlowDial(seconds=seconds):
            with trio.move_on_at(began + options.connect_timeout) as scope:
                await trio.sleep(seconds)
            if scope.cancelled_caught:
                raise TransportConnectTimeout(f"no connection within {options.connect_timeout:g} s")
        case RejectDial(status=status, body=body, headers=headers, retry_after=retry_after):
            if retry_after is not None:
                headers = (*headers, ("Retry-After", f"{retry_after:g}"))
            raise HandshakeRejected(status, body, headers)
        case FailDial(message=message):
            raise TransportConnectError(message)
