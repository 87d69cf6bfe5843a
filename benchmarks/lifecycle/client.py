"""What each client does."""

from __future__ import annotations

from typing import Final

from benchmarks.conversation import OpenConversation
from benchmarks.stopwatch import Stopwatch

WARM_UP: Final = 5
"""Sessions before the clock starts."""


async def run_client(open_conversation: OpenConversation, *, sessions: int) -> dict[str, float]:
    """Open and close sessions. Returns seconds of one session."""
    await _open_and_close(open_conversation, WARM_UP)
    await _answer(open_conversation, WARM_UP)
    watch = Stopwatch()
    await _open_and_close(open_conversation, sessions)
    figures = {"open_cpu": watch.cpu() / sessions, "open_wall": watch.wall() / sessions}
    watch = Stopwatch()
    await _answer(open_conversation, sessions)
    return figures | {"answer_cpu": watch.cpu() / sessions, "answer_wall": watch.wall() / sessions}


async def _open_and_close(open_conversation: OpenConversation, sessions: int) -> None:
    for _ in range(sessions):
        async with open_conversation():
            pass


async def _answer(open_conversation: OpenConversation, sessions: int) -> None:
    for _ in range(sessions):
        async with open_conversation() as conversation:
            await conversation.send_message("Go on.")
            await conversation.next_audio()
