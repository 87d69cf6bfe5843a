"""The queue of events to one client."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_realtime.local.outbox import Outbox

MEBIBYTE = "x" * 1024 * 1024


async def send(outbox: Outbox, count: int, sent: list[int]) -> None:
    for number in range(count):
        await outbox.send(MEBIBYTE)
        sent.append(number)


async def test_sending_waits_while_four_mebibytes_are_queued() -> None:
    outbox, sent = Outbox(), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, outbox, 6, sent)
        await trio.testing.wait_all_tasks_blocked()
        assert len(sent) == 4
        assert await outbox.receive() == MEBIBYTE
        await trio.testing.wait_all_tasks_blocked()
        assert len(sent) == 5
        await outbox.receive()


async def test_a_text_larger_than_the_bound_is_queued_alone() -> None:
    outbox = Outbox()
    with trio.fail_after(1):
        await outbox.send(MEBIBYTE * 5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.send, "small")
        await trio.testing.wait_all_tasks_blocked()
        assert len(await outbox.receive()) == len(MEBIBYTE) * 5
        assert await outbox.receive() == "small"


async def test_closing_delivers_what_is_queued() -> None:
    outbox = Outbox()
    await outbox.send("last")
    outbox.close()
    assert await outbox.receive() == "last"
    with pytest.raises(trio.EndOfChannel):
        await outbox.receive()


async def test_a_sender_that_waits_is_released_when_the_client_is_gone() -> None:
    outbox, sent = Outbox(), list[int]()
    with pytest.RaisesGroup(trio.BrokenResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, outbox, 6, sent)
            await trio.testing.wait_all_tasks_blocked()
            outbox.close_receiver()
    assert len(sent) == 4
