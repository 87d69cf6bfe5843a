"""What each client does."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import AsyncExitStack
from typing import Final

from benchmarks.conversation import Conversation, OpenConversation
from benchmarks.memory_usage import resident_bytes

WARM_UP: Final = 5
"""Sessions before the first look at the memory."""

MICROPHONE: Final = bytes(range(1, 9)) * 120
"""20 ms of the user's audio: quiet noise."""


async def run_client(
    open_conversation: OpenConversation, *, sessions: int, frames: int, traced: bool
) -> dict[str, float]:
    """Open sessions, exchange audio, and return the bytes per session."""
    if traced:
        tracemalloc.start()
    async with AsyncExitStack() as stack:
        await _converse(
            [await stack.enter_async_context(open_conversation()) for _ in range(WARM_UP)], frames
        )
    base = _bytes_in_use()
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_conversation()) for _ in range(sessions)]
        idle = _bytes_in_use()
        await _converse(opened, frames)
        busy = _bytes_in_use()
    return {"idle": (idle - base) / sessions, "conversation": (busy - base) / sessions}


async def _converse(conversations: list[Conversation], frames: int) -> None:
    for conversation in conversations:
        await conversation.send_message("Go on.")
        for _ in range(frames):
            await conversation.next_audio()
            await conversation.send_audio(MICROPHONE)


def _bytes_in_use() -> int:
    if not tracemalloc.is_tracing():
        return resident_bytes()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
