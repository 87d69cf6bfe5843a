"""Sockets in memory that take and return as much as they like, and what a simulation finds with them."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, strategies as st
from trio.testing import wait_all_tasks_blocked

from trio_realtime.testing import run_virtual
from trio_realtime.testing.simulation import TransportName, draw_plan, run_plan
from trio_realtime.testing.simulation.websockets import BUFFER, SimulatedSocket, simulated_sockets
from trio_realtime.transports._buffered_stream import BufferedStream


async def write_all(socket: SimulatedSocket, data: bytes) -> None:
    while data:
        data = data[await socket.write(data) :]
    socket.send_eof()


@given(st.lists(st.integers(0, 3 * BUFFER), max_size=5), st.integers(0, 9))
def test_all_bytes_arrive_in_order(sizes: list[int], seed: int) -> None:
    data = b"".join(bytes([number]) * size for number, size in enumerate(sizes))

    async def transfer() -> bytes:
        near, far = simulated_sockets(seed)
        received = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_all, near, data)
            while piece := await far.receive_some():
                received += piece
        return received

    assert run_virtual(transfer) == data


async def test_a_write_without_waiting_takes_what_there_is_space_for() -> None:
    near, far = simulated_sockets()
    assert near.write_now(bytes(BUFFER - 1)) == BUFFER - 1
    assert near.write_now(b"xyz") == 1
    with pytest.raises(BlockingIOError):
        near.write_now(b"yz")
    assert await far.receive_some() == bytes(BUFFER - 1) + b"x"
    assert near.write_now(b"yz") == 2


async def test_a_closed_peer_ends_reads_and_breaks_writes() -> None:
    near, far = simulated_sockets()
    far.write_now(b"last")
    await far.aclose()
    assert await near.receive_some() == b"last"
    assert await near.receive_some() == b""
    with pytest.raises(BrokenPipeError):
        near.write_now(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await near.write(b"x")


async def test_closing_ends_what_waits() -> None:
    near, _ = simulated_sockets()
    near.write_now(bytes(BUFFER))
    ended: list[str] = []

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await near.receive_some()
        ended.append("read")

    async def write() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await near.write(b"x")
        ended.append("write")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(write)
        await wait_all_tasks_blocked()
        await near.aclose()
    assert sorted(ended) == ["read", "write"]


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["trio-websocket", "fast"])
def test_a_rest_that_is_not_sent_is_found(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = BufferedStream._push_bytes

    def lose_rest(stream: BufferedStream, data: bytes) -> None:
        push(stream, data)
        stream._buffer.clear()

    monkeypatch.setattr(BufferedStream, "_push_bytes", lose_rest)
    violations = (run_plan(draw_plan(seed), transport).violation for seed in range(200))
    assert any(violation is not None for violation in violations)
