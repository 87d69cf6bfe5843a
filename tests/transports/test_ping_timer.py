"""When a connection sends pings."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_realtime.transports._ping_timer import PingTimer


async def first_pings(count: int, opened_at: list[float]) -> list[float]:
    """Return when connections ping that were opened at these times, and all send a message at 10 s."""
    pinged: list[float] = []
    timers = [PingTimer() for _ in range(count)]

    async def run(timer: PingTimer, at: float, nursery: trio.Nursery) -> None:
        async def send_ping(_payload: bytes) -> None:
            await trio.lowlevel.checkpoint()
            pinged.append(trio.current_time() - 10)

        await trio.sleep_until(at)
        await timer.wait_lost(send_ping, lambda: False, nursery, interval=20.0, timeout=20.0)

    async with trio.open_nursery() as nursery:
        for timer, at in zip(timers, opened_at, strict=True):
            nursery.start_soon(run, timer, at, nursery)
        await trio.sleep_until(10)
        for timer in timers:
            timer.begin_message()
        await trio.sleep_until(16)
        nursery.cancel_scope.cancel()
    return sorted(pinged)


async def test_connections_that_send_at_the_same_time_ping_at_different_times(
    autojump_clock: MockClock,
) -> None:
    pinged = await first_pings(200, [number * 0.000618034 for number in range(200)])
    assert len(pinged) == 200
    assert pinged[0] >= 2.5
    assert pinged[-1] <= 5.0
    assert all(later - earlier > 0.1 for earlier, later in zip(pinged, pinged[20:], strict=False))


@pytest.mark.parametrize(("opened_at", "after"), [(1.0, 5.0), (1.0005, 3.75), (1.00098, 2.55)])
async def test_the_time_of_opening_decides_how_soon_a_ping_follows_a_message(
    opened_at: float, after: float, autojump_clock: MockClock
) -> None:
    assert await first_pings(1, [opened_at]) == pytest.approx([after])
