"""The queue of events to one client, bounded in bytes."""

from __future__ import annotations

import math
from typing import Final

import trio

__all__ = ["Outbox"]

_MAX_BYTES: Final = 4 * 1024 * 1024


class Outbox:
    """A queue of texts with one sender and one receiver, bounded in bytes.

    A memory channel bounds the number of its items, and one event may take megabytes. A text that is
    larger than the bound is queued alone.
    """

    def __init__(self) -> None:
        self._send_channel, self._receive_channel = trio.open_memory_channel[str](math.inf)
        self._size = 0
        self._is_receiving = False
        self._space = trio.lowlevel.ParkingLot()

    @property
    def is_idle(self) -> bool:
        """Whether every text was sent to the client: the receiver waits for the next one."""
        return self._is_receiving and not self._size

    async def send(self, text: str) -> None:
        """Queue a text; waits while the queue is full.

        Raises:
            trio.BrokenResourceError: the receiver is gone.
        """
        while self._size and self._size + len(text) > _MAX_BYTES:
            await self._space.park()
        await self._send_channel.send(text)
        self._size += len(text)

    def close(self) -> None:
        """End the queue: the receiver still gets the texts in it."""
        self._send_channel.close()

    async def receive(self) -> str:
        """Remove and return the next text.

        Raises:
            trio.EndOfChannel: the queue was closed, and is empty.
        """
        self._is_receiving = True
        try:
            text = await self._receive_channel.receive()
        finally:
            self._is_receiving = False
        self._size -= len(text)
        self._space.unpark_all()
        return text

    def close_receiver(self) -> None:
        """Discard the queue: the client is gone."""
        self._receive_channel.close()
        self._size = 0
        self._space.unpark_all()
