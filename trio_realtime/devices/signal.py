"""Wake trio tasks from the threads of the audio system."""

from __future__ import annotations

from contextlib import suppress

import trio


class ThreadSignal:
    """Wakes the waiting tasks of one trio run. It may be called in any thread.

    Several calls before the tasks run count as one.
    """

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._waiting = trio.lowlevel.ParkingLot()

    def notify(self) -> None:
        """Wake all waiting tasks soon. Does nothing after the end of the run."""
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._waiting.unpark_all, idempotent=True)

    async def wait(self) -> None:
        """Wait for the next :meth:`notify`."""
        await self._waiting.park()
