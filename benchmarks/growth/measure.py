"""The measurements of a growing conversation."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator, Sequence
from itertools import count
from statistics import median
from typing import Final, final

import attrs

from benchmarks.burst import frames as fr
from benchmarks.memory_session import MemorySession, open_memory_session
from benchmarks.stopwatch import Stopwatch
from trio_realtime import events

RESPONSE: Final = "resp_" + "0" * 21
ITEM: Final = "item_" + "0" * 21
WARM_UP: Final = 1000
"""Deltas before the first measurement."""

BATCHES: Final = 5
"""The number of batches. Each figure is the median over them."""


@attrs.frozen(kw_only=True)
class ItemFigures:
    """Seconds of CPU time at one number of items."""

    items: int
    audio: float
    transcript: float
    item: float
    history: float


@attrs.frozen(kw_only=True)
class DeltaFigures:
    """Seconds of CPU time when an item has grown by a number of deltas."""

    deltas: int
    transcript: float
    history: float


async def measure_items(sizes: Sequence[int], batch: int) -> list[ItemFigures]:
    """Return the figures at each number of items. The sizes are in ascending order."""
    async with open_memory_session() as memory:
        growth = _Growth(memory, batch)
        await growth.begin()
        return [await growth.measure_at(size) for size in sizes]


async def measure_deltas(sizes: Sequence[int], batch: int) -> list[DeltaFigures]:
    """Return the figures at each number of deltas. The sizes are in ascending order."""
    async with open_memory_session() as memory:
        growth = _Growth(memory, batch)
        await growth.begin()
        return [await growth.measure_after(deltas) for deltas in sizes]


@final
class _Growth:
    """A session whose conversation grows."""

    def __init__(self, memory: MemorySession, batch: int) -> None:
        self._memory = memory
        self._batch = batch
        self._numbers = count(1)
        self._last = ITEM
        self._added = 1
        self._deltas = 0
        noise = random.Random(1).randbytes(960)
        self._audio = fr.encode(fr.audio_frame(RESPONSE, ITEM, noise))
        self._transcript = fr.encode(fr.transcript_frame(RESPONSE, ITEM))

    async def begin(self) -> None:
        """Begin a response, and handle some deltas before anything is measured."""
        opening = [fr.encode(one) for one in fr.opening_frames(RESPONSE, ITEM, None, None)]
        await self._memory.deliver(opening, events.HistoryAdded, 1)
        await self._memory.deliver([self._audio] * WARM_UP, events.Audio, WARM_UP)

    async def measure_at(self, items: int) -> ItemFigures:
        """Fill the conversation up to a number of items, and measure."""
        await self._fill(max(items - self._added, 0))
        gc.collect()
        return ItemFigures(
            items=items,
            audio=await self._cost(self._audio, events.Audio),
            transcript=await self._cost(self._transcript, events.TranscriptDelta),
            item=await self._cost_of_items(),
            history=await self._cost_of_history(),
        )

    async def measure_after(self, deltas: int) -> DeltaFigures:
        """Send deltas of one transcript up to a number, and measure."""
        missing = max(deltas - self._deltas, 0)
        await self._memory.deliver([self._transcript] * missing, events.TranscriptDelta, missing)
        gc.collect()
        self._deltas += missing + BATCHES * (self._batch + 1)
        return DeltaFigures(
            deltas=deltas,
            transcript=await self._cost(self._transcript, events.TranscriptDelta),
            history=await self._cost_of_history(),
        )

    async def _fill(self, items: int) -> None:
        frames = (fr.encode(one) for _ in range(items) for one in self._next_item())
        await self._memory.deliver(frames, events.HistoryAdded, items)
        self._added += items

    def _next_item(self) -> Iterator[fr.Frame]:
        previous, self._last = self._last, f"item_{next(self._numbers):021}"
        content = [{"type": "input_text", "text": "Go on."}]
        item = {"id": self._last, "type": "message", "role": "user", "content": content}
        return fr.item_frames(item, previous)

    async def _cost(self, frame: str, kind: type[events.SessionEvent]) -> float:
        costs: list[float] = []
        for _ in range(BATCHES):
            watch = Stopwatch()
            await self._memory.deliver([frame] * self._batch, kind, self._batch)
            costs.append(watch.cpu() / self._batch)
        return median(costs)

    async def _cost_of_items(self) -> float:
        costs: list[float] = []
        for _ in range(BATCHES):
            before = self._last
            frames, deletions = self._batch_of_items()
            watch = Stopwatch()
            await self._memory.deliver(frames, events.HistoryAdded, self._batch)
            costs.append(watch.cpu() / self._batch)
            # The next batch begins with the same number of items.
            await self._memory.deliver(deletions, events.HistoryUpdated, self._batch)
            self._last = before
        return median(costs)

    def _batch_of_items(self) -> tuple[list[str], list[str]]:
        frames: list[str] = []
        deletions: list[str] = []
        for _ in range(self._batch):
            frames += map(fr.encode, self._next_item())
            deleted = {"type": "conversation.item.deleted", "item_id": self._last}
            deletions.append(fr.encode(deleted))
        return frames, deletions

    async def _cost_of_history(self) -> float:
        costs: list[float] = []
        for _ in range(BATCHES):
            await self._memory.deliver([self._transcript], events.TranscriptDelta, 1)
            begin = time.process_time()
            assert self._memory.session.history[-1].id == self._last
            costs.append(time.process_time() - begin)
        return median(costs)
