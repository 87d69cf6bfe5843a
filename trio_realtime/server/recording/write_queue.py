"""A bounded queue between the calls of a recorder and its files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, final

import trio

from .segments import AudioChunk, SegmentWriter, end_line
from .timeline import Output, PlacedAudio

FLUSH_SECONDS: Final = 1.0
"""Seconds that audio waits at most before it is written."""


@final
class WriteQueue:
    """Takes audio without blocking, and writes it in a thread.

    Args:
        writer: writes the files.
        max_bytes: bytes of audio that may wait. More is dropped and counted.
        on_chunk: called with each piece of audio that was written.
        on_failure: called with the first error.
        limiter: limits the threads.

    Attributes:
        buffered_bytes: bytes of audio that wait.
        limiter: limits the threads.
    """

    def __init__(
        self,
        writer: SegmentWriter,
        *,
        max_bytes: int,
        on_chunk: Callable[[AudioChunk], None] | None,
        on_failure: Callable[[Exception], None] | None,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.buffered_bytes: int = 0
        self.limiter: trio.CapacityLimiter = limiter
        self._writer = writer
        self._max_bytes = max_bytes
        self._on_chunk = on_chunk
        self._on_failure = on_failure
        self._queue: deque[Output] = deque()
        self._dropped = 0
        self._first_error: OSError | None = None
        self._has_output = trio.Event()
        self._is_filling = trio.Event()
        self._writing = trio.Lock()

    @property
    def dropped_bytes(self) -> int:
        """Bytes of audio that were not written: the disk failed, or was too slow."""
        return self._dropped + self._writer.dropped_bytes

    def put(self, outputs: Sequence[Output]) -> None:
        """Add what is to be written. Audio beyond the limit is dropped."""
        for output in outputs:
            size = _size(output)
            # A single piece that is larger is in memory anyway.
            if self.buffered_bytes and self.buffered_bytes + size > self._max_bytes and size:
                self._dropped += size
                self._report(OSError("the disk is too slow for the recording"))
                continue
            self.buffered_bytes += size
            self._queue.append(output)
        if self._queue:
            self._has_output.set()
        if self.buffered_bytes > self._max_bytes // 4:
            self._is_filling.set()

    async def run(self) -> None:
        """Write what is in the queue about once a second, until this is cancelled."""
        while True:
            await self._has_output.wait()
            with trio.move_on_after(FLUSH_SECONDS):
                await self._is_filling.wait()
            await self._write()

    async def open(self) -> None:
        """Create the manifest. An error is reported."""
        self._report(await trio.to_thread.run_sync(self._writer.open, limiter=self.limiter))

    async def close(self, *, duration_ms: float | None = None, dropped_bytes: int = 0) -> None:
        """Write what is left, and complete the files. A second call has no effect.

        Args:
            duration_ms: how long the run was, if it was finished.
            dropped_bytes: bytes of audio that were dropped before they came here, for the manifest.
        """
        await self._write()
        dropped = dropped_bytes + self.dropped_bytes
        end = b"" if duration_ms is None else end_line(duration_ms, dropped)
        async with self._writing:
            error = await trio.to_thread.run_sync(
                lambda: self._writer.close(end=end), limiter=self.limiter
            )
        self._report(error)

    async def _write(self) -> None:
        async with self._writing:
            outputs, self._queue = self._queue, deque()
            self._has_output, self._is_filling = trio.Event(), trio.Event()
            try:
                written = await trio.to_thread.run_sync(
                    self._writer.write, outputs, limiter=self.limiter
                )
            except trio.Cancelled:
                # It was waiting for a thread, so nothing was written.
                self._queue.extendleft(reversed(outputs))
                raise
            self.buffered_bytes -= sum(map(_size, outputs))
            self._report(written.error)
            if self._on_chunk is not None:
                for chunk in written.chunks:
                    self._on_chunk(chunk)

    def _report(self, error: OSError | None) -> None:
        """Report the first error. What later ones cost is only counted."""
        if error is not None and self._first_error is None:
            self._first_error = error
            if self._on_failure is not None:
                self._on_failure(error)


def _size(output: Output) -> int:
    return len(output.data) if isinstance(output, PlacedAudio) else 0
