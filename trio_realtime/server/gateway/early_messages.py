"""What a client asks for before its session is connected."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, final

import trio

from trio_realtime.server.managed import ManagedSession

__all__ = ["Action", "EarlyMessages"]

Action: TypeAlias = Callable[[], Awaitable[object]]
"""Carries out what a message asks for."""

#: Bytes of messages that wait until the session is connected, and what each counts besides its length.
_MAX_EARLY: Final = 1024 * 1024
_ACTION_SIZE: Final = 200


@final
class EarlyMessages:
    """What a client asks for before the session is connected, in order. Up to 1 MiB waits."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Action]] = deque()
        self._size = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._over = trio.Event()

    @property
    def is_over(self) -> bool:
        """Whether everything was carried out, and the session is connected or has ended."""
        return self._over.is_set()

    async def wait_over(self) -> None:
        """Wait until everything was carried out."""
        await self._over.wait()

    async def put(self, size: int, action: Action) -> None:
        """Add an action. Waits while there is too much."""
        self._waiting.append((size, action))
        self._size += size + _ACTION_SIZE
        while self._size > _MAX_EARLY:
            await self._changed.park()
        await trio.lowlevel.checkpoint()

    async def carry_out(self, session: ManagedSession) -> None:
        """Wait until the session is connected or has ended, and carry out everything.

        Nothing may be put after that.
        """
        await session.wait_connected()
        while self._waiting:
            size, action = self._waiting.popleft()
            await action()
            self._size -= size + _ACTION_SIZE
            self._changed.unpark_all()
        self._over.set()
